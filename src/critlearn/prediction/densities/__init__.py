"""Densities of inputs and margins, which predictions push forward."""
