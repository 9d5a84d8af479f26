"""Symbolic expressions, and their values on NumPy arrays, torch tensors and mpmath numbers."""
