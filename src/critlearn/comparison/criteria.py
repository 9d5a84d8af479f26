"""Criteria for the agreement of a measurement with a prediction.

The margin and the widest interval are those of `inference.criteria`, so that the same rule decides everywhere whether
an exponent is resolved and whether two exponents are equal in practice.
"""

from typing import Final

from critlearn.inference.criteria import MARGIN, WIDEST_INTERVAL

__all__ = ["DISTANCE", "LEAST_PREDICTED_SHARE", "LEVEL", "MARGIN", "RESAMPLED", "WIDEST_INTERVAL"]

LEAST_PREDICTED_SHARE: Final = 1e-4
"""Smallest predicted probability of the measured window for which a predicted exponent is computed there.

Below it, the predicted density is the far tail of a kernel estimate, which carries no information. Effect:
docs/reproduction.md (comparisons that are decided).
"""

DISTANCE: Final = 0.05
"""Largest Kolmogorov-Smirnov distance of two distributions that counts as none in practice: one fluctuation in twenty
is elsewhere. An exponent that is off by `MARGIN` moves as many over 3.5 decades. Effect: docs/ladder.md.
"""

LEVEL: Final = 0.05
"""Level of the test of a distance, and of the bounds that decide on agreement. Effect: docs/ladder.md (calibration)."""

RESAMPLED: Final = 400
"""Bootstrap samples of a distance: the 95% quantile of the noise is known to 3%. Effect: docs/ladder.md (calibration).
"""
