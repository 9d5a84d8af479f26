"""Engines that run the cells of a sweep: local processes, or a Ray cluster."""
