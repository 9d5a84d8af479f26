"""Tails of a composition: what the intrinsic exponent tends to at each end, zero and pole, and how."""
