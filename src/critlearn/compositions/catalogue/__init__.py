"""The catalogue: every activation and every loss known by name, one entry each."""
