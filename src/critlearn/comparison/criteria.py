"""Criteria for the agreement of a measurement with a prediction.

The margin and the widest interval are those of `inference.criteria`, so that the same rule decides everywhere whether
an exponent is resolved and whether two exponents are equal in practice.
"""

from typing import Final

from critlearn.inference.criteria import MARGIN, WIDEST_INTERVAL

__all__ = ["LEAST_PREDICTED_SHARE", "MARGIN", "WIDEST_INTERVAL"]

LEAST_PREDICTED_SHARE: Final = 1e-4
"""Smallest predicted probability of the measured window for which a predicted exponent is computed there.

Below it, the predicted density is the far tail of a kernel estimate, which carries no information. Effect:
docs/reproduction.md (comparisons that are decided).
"""
