"""Every number that decides whether a state of training is certified as equilibrium.

Their effect on the two-neuron model is shown in docs/toy_exponents.md (column equilibrium), on networks in
docs/reproduction.md and docs/catalogue_exponents.md (runs at certified equilibrium).
"""

from typing import Final

TOLERANCE: Final = 0.1
"""Largest drift of a variable at equilibrium, in units of its fluctuation."""

EXCEPTIONS: Final = 0.05
"""Share of the variables that may drift more."""

LARGEST_R_HAT: Final = 1.05
"""Split R-hat of the last losses, above which the loss still changes. A stationary series has 1."""

LOSS_WINDOW: Final = 20
"""Number of epochs of the loss that are tested: halves of ten are the shortest on which R-hat means something."""

SEPARATED_EPOCHS: Final = 200
"""Number of epochs after which data that stay separated, with no weight decay, are called separable.

The weights then grow without end; one check alone may find data separated by chance.
"""
