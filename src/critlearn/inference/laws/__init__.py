"""Laws that are fitted on a window: the power law and its alternatives."""
