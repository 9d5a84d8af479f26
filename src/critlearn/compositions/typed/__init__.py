"""Activations and losses typed as text, given as SymPy expressions, or traced from callables."""
