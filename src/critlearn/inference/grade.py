"""Words of a fit: its grade, and how its window was chosen."""

from enum import StrEnum
from typing import Final

from critlearn.numerics.notation import FEW_GRADE, LAW_GRADES


class Grade(StrEnum):
    """What the data say about a power law on a window, by stated rules, after the estimate.

    ``power law``: on a window of a decade or more either the local exponent is constant within the tolerance (basis
    equivalence), or the Kolmogorov-Smirnov test does not reject; no rival does as well, and a drift of the exponent by
    0.2 where the values are is excluded. ``compatible``: not rejected, but rivals, each named, do as well, or a drift
    is not excluded, or it is significant and within 0.2. ``power law with cut-off``: from a lower end on, an
    exponential cut-off is needed, the law with it is not rejected, and no rival does as well. ``drifting exponent``: a
    lognormal fits the window significantly better, its exponent drifting by more than 0.2. ``rejected``: the test
    rejects. ``too few data``: fewer than 50 values, less than a decade or too few sizes of them, or an interval wider
    than 0.25 to each side.
    """

    POWER_LAW = "power law"
    COMPATIBLE = "compatible"
    CUT_OFF = "power law with cut-off"
    DRIFTING = "drifting exponent"
    REJECTED = "rejected"
    TOO_FEW = FEW_GRADE


SUPPORTED: Final = tuple(Grade(word) for word in LAW_GRADES)
"""Grades that claim a power law."""


class Basis(StrEnum):
    """How the window was chosen.

    By one of two criteria, as the range of a law with cut-off, by the user, as the one that is nearest to a power law
    where no criterion accepts any, or not at all.
    """

    EQUIVALENCE = "equivalence"
    SIGNIFICANCE = "significance"
    CUT_OFF = "cut-off"
    GIVEN = "given"
    NEAREST = "nearest"
    NONE = "none"
