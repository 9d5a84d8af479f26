"""How kernels run: compiled once, on plain threads, in memory that is kept for the next one."""
