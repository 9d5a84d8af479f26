"""Criteria for certifying a state of training as local learning equilibrium.

Their effect on the two-neuron model is shown in docs/toy_exponents.md (column equilibrium), on networks in
docs/reproduction.md and docs/catalogue_exponents.md (runs at certified equilibrium).
"""

from typing import Final

TOLERANCE: Final = 0.1
"""Largest drift of a variable at equilibrium, in units of its fluctuation."""

EXCEPTIONS: Final = 0.05
"""Largest share of the variables that may drift more."""

LARGEST_R_HAT: Final = 1.05
"""Split R-hat of the last losses above which the loss is not stationary; a stationary series has 1."""

LOSS_WINDOW: Final = 20
"""Number of last epochs whose losses are tested; halves of ten are the shortest for a meaningful R-hat."""

SEPARATED_EPOCHS: Final = 200
"""Number of epochs for which data must stay separated, without weight decay, to be called separable.

The weights of separable data grow without bound; a single check may find data separated by chance.
"""
