"""Data sets of two classes or more, and the tables that they are read from."""
