"""Checks of networks and data before and during a pass: inputs, finiteness, independence of samples, hooks."""
