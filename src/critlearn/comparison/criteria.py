"""Every number that decides whether a measurement agrees with a prediction.

The margin and the widest interval are those of `inference.criteria`: a measured exponent is resolved, and two exponents
are equal in practice, by one and the same rule everywhere.
"""

from typing import Final

from critlearn.inference.criteria import MARGIN, WIDEST_INTERVAL

__all__ = ["LEAST_PREDICTED_SHARE", "MARGIN", "WIDEST_INTERVAL"]

LEAST_PREDICTED_SHARE: Final = 1e-4
"""Probability that a prediction must give to the measured window for an exponent to be read off there.

Below it the predicted density is the far tail of a kernel estimate, which says nothing. Effect: docs/reproduction.md
(comparisons that are decided).
"""
