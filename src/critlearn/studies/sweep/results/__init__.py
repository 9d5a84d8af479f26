"""Results of sweeps: one folder for each cell, and one table over all of them."""
