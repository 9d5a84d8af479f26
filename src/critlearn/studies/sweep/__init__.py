"""Sweeps: studies of many runs, on processes or on a Ray cluster, with stored results."""
