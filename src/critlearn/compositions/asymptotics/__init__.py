"""Growth, decay and series of arbitrary expressions, for `tails` and `typed` alone: the catalogue needs none."""
