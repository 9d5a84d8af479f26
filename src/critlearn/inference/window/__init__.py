"""The window of a power law: search, goodness of fit, and the local exponent."""
