"""The study file: what it declares, how it is read and checked, and the cells that it stands for."""
