"""Push-forward of a density through the channels of a composition."""
