"""Activations and losses from text, from SymPy expressions, or traced from callables."""
