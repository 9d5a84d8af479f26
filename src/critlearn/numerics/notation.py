"""Notation of powers and intervals, the same in every place where one is shown."""

import math
import re
from typing import Final

_MOST_DIGITS: Final = 6
"""Decimals at which it is no longer tried to tell the ends of an interval apart."""
_ZERO: Final = re.compile(r"-?0(\.0+)?")
"""Exponent that reads as zero, with a sign or decimals."""


LAW_GRADES: Final = ("power law", "power law with cut-off")
"""Grades of a fit that claim a power law, as tables and records have them."""

COMPATIBLE_GRADE: Final = "compatible"
"""Grade of a fit that the data do not reject, where rivals do as well."""

SHOWN_GRADES: Final = (*LAW_GRADES, COMPATIBLE_GRADE)
"""Grades whose exponents stand in overviews: the nearest one of data that follow no power law may be any number."""

FEW_GRADE: Final = "too few data"
"""Grade of a fit of which nothing more can be said."""


def power_text(name: str, exponent: float | str) -> str:
    """``name`` to the power of minus the exponent; a number gets two digits, and zero none.

    >>> power_text("delta", 1.5), power_text("delta", -0.021), power_text("delta", "4/3"), power_text("delta", "0")
    ('delta^-1.50', 'delta^-(-0.02)', 'delta^-4/3', 'delta^0')
    """
    number = exponent if isinstance(exponent, str) else f"{exponent:.2f}"
    if _ZERO.fullmatch(number):
        return f"{name}^0"
    return f"{name}^-({number})" if number.startswith("-") else f"{name}^-{number}"


def estimate_text(value: float, ends: tuple[float, float]) -> str:
    """A number with its interval, by two digits or by as many more as it takes to tell the ends apart.

    >>> estimate_text(1.0103, (0.987, 1.034)), estimate_text(1.5, (1.4987, 1.5012)), estimate_text(1.5, (1.5, 1.5))
    ('1.01 [0.99, 1.03]', '1.500 [1.499, 1.501]', '1.50 [1.50, 1.50]')
    """
    return " ".join(estimate_parts(value, ends))


def estimate_parts(value: float, ends: tuple[float, float], *, fewest: int = 2) -> tuple[str, str]:
    """A number and its interval by the digits of `estimate_text`, for two cells: never a number outside its interval.

    >>> estimate_parts(0.9932, (0.991, 0.994)), estimate_parts(1.0103, (0.987, 1.034), fewest=3)
    (('0.993', '[0.991, 0.994]'), ('1.010', '[0.987, 1.034]'))
    """
    return f"{value:.{_digits(*ends, fewest)}f}", interval_text(*ends, fewest=fewest)


def with_error(value: float, error: float) -> str:
    """A number and its standard error, which gets one digit and no more than four decimals; "none" if it is not finite.

    >>> with_error(1.7823, 0.021), with_error(0.1, 3e-9), with_error(0.25, math.nan), with_error(math.nan, math.nan)
    ('1.78 ± 0.02', '0.1000 ± 0.0000', '0.250', 'none')
    """
    if not math.isfinite(value):
        return "none"
    if not math.isfinite(error):
        return f"{value:.3f}"
    digits = 4 if error <= 0 else min(4, max(0, -math.floor(math.log10(error))))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def law_text(name: str, exponent: float, ends: tuple[float, float]) -> str:
    """A power law with the interval of its exponent, by as many digits as `estimate_text`.

    >>> law_text("delta", 1.0103, (0.987, 1.034)), law_text("delta", 0.001, (0.0, 0.002))
    ('delta^-1.01 [0.99, 1.03]', 'delta^-0.001 [0.000, 0.002]')
    """
    return f"{power_text(name, f'{exponent:.{_digits(*ends, 2)}f}')} {interval_text(*ends)}"


def interval_text(low: float, high: float, *, fewest: int = 2) -> str:
    """Both ends by the fewest digits, or by as many more as it takes to tell them apart.

    >>> interval_text(0.987, 1.034), interval_text(0.987, 1.034, fewest=3)
    ('[0.99, 1.03]', '[0.987, 1.034]')
    """
    digits = _digits(low, high, fewest)
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def _digits(low: float, high: float, fewest: int) -> int:
    """Number of decimals: the fewest, or as many more as it takes to tell the ends apart."""
    enough = (d for d in range(fewest, _MOST_DIGITS + 1) if f"{low:.{d}f}" != f"{high:.{d}f}")
    return next(enough, fewest)
