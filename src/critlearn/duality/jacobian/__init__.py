"""The Jacobian of the duality map: operators, stacks and spectra."""
