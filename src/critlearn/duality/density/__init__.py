"""Density of fluctuations on as many variables as the boundary has dimensions."""
