"""Stored runs: listed, compared and removed, as one table, with their methods, their network and its duality map."""
