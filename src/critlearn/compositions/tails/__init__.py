"""Tails of a composition: limits of the intrinsic exponent at ends, zeros and poles, and its approach to them."""
