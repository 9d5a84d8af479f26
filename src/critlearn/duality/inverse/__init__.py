"""The inverse of the duality map on its image."""
