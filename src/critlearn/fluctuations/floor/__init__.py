"""The resolution floor: the size below which measured fluctuations are rounding error."""
