"""Losses of torch's that are no composition of the catalogue: means over outputs, weights, counts."""
