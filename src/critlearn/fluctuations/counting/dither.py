"""Dither: an offset within a bin for each sample, so that what is rounded to whole bins is right on the average."""

import math
from typing import Final

from torch import Tensor

_GOLDEN: Final = (math.sqrt(5) - 1) / 2
"""Fractional parts of its multiples are spread evenly, also those of every n-th."""


def dither_of(sample: Tensor) -> Tensor:
    """Offset in [0, 1) of each sample: by its number, not drawn, so that every run and every part has the same."""
    return (sample.double() * _GOLDEN).frac()
