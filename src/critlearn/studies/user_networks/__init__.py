"""Networks of a user's own for the command line: a function of a file, a checkpoint, a loss and data by name."""
