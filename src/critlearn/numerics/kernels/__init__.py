"""Kernels in machine code: compiled once, run on plain threads, in memory that is kept for the next batch."""
