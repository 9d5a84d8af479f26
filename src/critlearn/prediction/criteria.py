"""Every number that decides what a prediction says: its exponent, its window, its caustics, and what it refuses."""

import math
from typing import Final

TOLERANCE: Final = 0.05
"""How far the predicted local exponent may be from a constant inside a window, in units of the exponent.

Fits measure with the same tolerance (`inference.criteria`), which predictions must not import: they cannot peek.
Effect: docs/toy_exponents.md (columns predicted, decades).
"""

NARROWEST_EXACT: Final = 1.0
"""Width in decades of the narrowest window on which an exponent is reported as the limit of a composition. Effect:
docs/toy_exponents.md.
"""

NARROWEST: Final = 0.5
"""Width in decades of the narrowest window on which any exponent is predicted: below, a slope that drifts is flat, too.
Effect: docs/toy_exponents.md (normal inputs).
"""

LEAST_PROBABILITY: Final = 0.01
"""Probability that a window must hold for its exponent to be one that is ever seen. Effect: docs/toy_exponents.md."""

NEARLY_WIDEST: Final = 0.9
"""Share of the widest window's width from which on windows are as wide, and the one with most probability is taken.
Effect: docs/toy_exponents.md (normal inputs).
"""

CONVERGED: Final = 1e-4
"""Change of the local exponent over a decade below which it has reached its limit. Effect: docs/push_forward.md."""

SAME_LIMIT: Final = 1e-4
"""Difference, relative above 1, between data terms at two far inputs below which they have reached their limit.
Effect: docs/catalogue_exponents.md (predicted).
"""

DENSITY_JUMP: Final = 0.01
"""Change of the logarithm of the density from bin to bin, beyond what its slope accounts for, that ends a window.
Effect: docs/push_forward.md.
"""

REACH: Final = 1e-9
"""Probability beyond which the ends of a distribution are left out. Effect: docs/push_forward.md."""

PROBABILITY_ERROR: Final = 1e-6
"""How far from 1 a total probability may be: of a density that is given, and of all bins and zero fluctuations that a
prediction is made of. Effect: docs/push_forward.md.
"""

LARGEST_INPUT: Final = 1e150
"""Size of the inputs up to which a density is followed: their squares are still floats. Effect: docs/prediction.md
(density).
"""

MOST_BRANCHES: Final = 1000
"""Number of times that a fluctuation may rise and fall; with 4,000 places at which slopes are looked at, more would not
be seen reliably. Effect: docs/prediction.md (density).
"""

HIGHEST_ORDER: Final = 12
"""Highest order n of ``delta - delta_c ~ (x - x_c)^n`` that is called a caustic. Effect: docs/prediction.md
(density).
"""

ORDER_ERROR: Final = 0.1
"""How far the order of a caustic may be from an integer. Effect: docs/prediction.md (density)."""

SAME_CAUSTIC: Final = 1e-9
"""Distance in ``ln delta`` below which two caustics of one order are one. Effect: docs/prediction.md (density)."""

CAUSTIC_REACHES: Final = (50.0, 5.0, 0.5)
"""Sizes of pre-activations within which caustics are looked for where no density says how far to look; the smaller ones
for error signals that oscillate too fast. Effect: docs/prediction.md (density).
"""

DECADE: Final = math.log(10.0)
"""A decade in ``ln delta``."""
