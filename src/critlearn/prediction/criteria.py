"""Criteria for predictions: exponents, windows, caustics, and the densities that are refused."""

import math
from typing import Final

TOLERANCE: Final = 0.05
"""Largest distance of the predicted local exponent from a constant inside a window.

Fits use the same tolerance (`inference.criteria`), which is not imported here so that predictions cannot depend on
measurements.
Effect: docs/toy_exponents.md (columns predicted, decades).
"""

NARROWEST_EXACT: Final = 1.0
"""Width in decades of the narrowest window on which an exponent is reported as the limit of a composition.

Effect: docs/toy_exponents.md.
"""

NARROWEST: Final = 0.5
"""Width in decades of the narrowest window on which any exponent is predicted; a drifting slope looks flat on less.

Effect: docs/toy_exponents.md (normal inputs).
"""

LEAST_PROBABILITY: Final = 0.01
"""Smallest probability of a window: data show the exponent of no other. Effect: docs/toy_exponents.md."""

NEARLY_WIDEST: Final = 0.9
"""Share of the widest window's width above which windows count as equally wide; the most probable of them is chosen.

Effect: docs/toy_exponents.md (normal inputs).
"""

CONVERGED: Final = 1e-4
"""Change of the local exponent over a decade below which it has reached its limit. Effect: docs/push_forward.md."""

SAME_LIMIT: Final = 1e-4
"""Difference of the data terms at two far inputs, in units of the larger of 1 and the term, at which they converged.

Effect: docs/catalogue_exponents.md (predicted).
"""

DENSITY_JUMP: Final = 0.01
"""Change of the log density between bins, beyond that of its slope, which counts as a jump and ends a window.

Effect: docs/push_forward.md.
"""

REACH: Final = 1e-9
"""Probability of each end of a distribution that is left out. Effect: docs/push_forward.md."""

PROBABILITY_ERROR: Final = 1e-6
"""Largest distance from 1 of a total probability: of an input density, and of all bins and zeros of a prediction.

Effect: docs/push_forward.md.
"""

LARGEST_INPUT: Final = 1e150
"""Largest absolute input up to which a density is followed: its square does not overflow.

Effect: docs/prediction.md (density).
"""

MOST_BRANCHES: Final = 1000
"""Largest number of branches of a fluctuation; slopes are sampled at 4,000 points, which do not resolve more reliably.

Effect: docs/prediction.md (density).
"""

HIGHEST_ORDER: Final = 12
"""Highest order n of ``delta - delta_c ~ (x - x_c)^n`` that is called a caustic.

The order is read from the ratio of slopes at two distances from the caustic. The slopes come from formulas in one
variable, without a fit, so it may be higher than for the duality map (`duality.criteria`).
Effect: docs/prediction.md (density).
"""

ORDER_ERROR: Final = 0.1
"""Largest distance of the measured order of a caustic from an integer. Effect: docs/prediction.md (density)."""

SAME_CAUSTIC: Final = 1e-9
"""Distance in ``ln delta`` up to which two caustics of one order are the same. Effect: docs/prediction.md (density)."""

CAUSTIC_REACHES: Final = (50.0, 5.0, 0.5)
"""Ranges of pre-activations searched for caustics without a density; the smaller ones if the signal oscillates fast.

Effect: docs/prediction.md (density).
"""

DECADE: Final = math.log(10.0)
"""A decade in ``ln delta``."""
