"""Counts of all quantities of a measurement: of all entries or of drawn ones, and of the pools of variables."""
