"""Observations as counts on cells, by group of dependent samples."""
