"""Stored runs: listed, compared, tabulated, and loaded again."""
