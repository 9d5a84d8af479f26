"""Compositions by name: the composition that two names or expressions mean, and the table of the catalogue."""
