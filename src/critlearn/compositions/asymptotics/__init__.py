"""Growth, decay and series of arbitrary expressions; used by `tails` and `typed`, not by the catalogue's forms."""
