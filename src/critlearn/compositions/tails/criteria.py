"""Criteria for the exponents of a composition that are reported, and for the words that describe them.

`docs/prediction.md` says what they mean to a user. The page `docs/catalogue_exponents.md`, which
`validation/catalogue.py` writes, holds every exponent that they let through against a measured one.
"""

from typing import Final

SYMBOLIC_SECONDS: Final = 0.8
"""Processor time, in seconds, that the exact rules get for all asymptotes of one composition."""

NUMERIC_SECONDS: Final = 0.5
"""Processor time, in seconds, that extrapolation gets after them; an exponent not found by then is "no power law"."""

MOST_PLACES: Final = 6
"""Zeros and poles that are listed, those nearest to 0: a periodic activation has infinitely many."""

MOST_CANDIDATES: Final = 200
"""Candidates for zeros and poles that are examined, those nearest to 0."""

LEAST_SINGULAR_POWER: Final = 0.04
"""Power of ``|y - y0|``, measured in floating point, from which a candidate counts as a zero or a pole."""

LEAST_DIP: Final = 0.02
"""Drop of ``ln g`` below both neighbours on the grid from which a minimum is a candidate for a zero."""

LEAST_ORDER: Final = 1e-3
"""Order of a zero or pole, measured at high precision, below which none is reported: it is a power of a logarithm."""

RATIONAL_ACCURACY: Final = 1e-13
"""Distance of a measured order from a rational number below which it is that number."""

ORDER_ACCURACY: Final = 1e-6
"""Distance of an order by the rules from the measured one within which they agree."""

LEAST_TAIL_POWER: Final = 0.02
"""Power of an extrapolated tail below which it is not called a power law."""

TAIL_ACCURACY: Final = 1e-6
"""Difference of the two extrapolated exponents of a tail, beyond their errors, up to which they agree."""

SLOWEST_STEPS: Final = 0.8
"""Ratio of successive steps of an extrapolation above which no limit is claimed, as for convergence in 1/ln."""

WORST_ERROR: Final = 1e-2
"""Error of an extrapolated limit, relative to its size or 1, above which none is claimed."""

SLOWEST_APPROACH: Final = 0.5
"""Order of the approach to a finite place below which it is called slower than any power."""

STEEPEST_APPROACH: Final = 8.0
"""Order of an approach whose digits run out above which it is called exponential, if it also steepens."""
