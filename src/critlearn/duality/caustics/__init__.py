"""Caustics of the duality map: their kinds, those on a path, and their curves."""
