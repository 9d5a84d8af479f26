"""Two-class data sets, and the tables that they are read from."""
