"""Compositions by their names: the one that two names or expressions mean, and the table of the whole catalogue."""
