"""A window of scales, kept by its logarithms: fluctuations reach far below the smallest float."""

import math
from dataclasses import dataclass
from typing import Final

from critlearn.results import Result

_LARGEST_LOG: Final = 709.0
"""Logarithm below which every number is a float: the largest is e^709.78."""


@dataclass(frozen=True, init=False, repr=False)
class Window(Result):
    """An interval ``[lo, hi]`` of fluctuation sizes.

    The logarithms are what is stored, as ``lo`` may be below the smallest float (it then reads as 0.0).

    Parameters
    ----------
    lo, hi
        Ends of the window, ``0 < lo < hi < inf``; NaN is refused.

    Raises
    ------
    ValueError
        If the ends are not finite, positive and ascending.

    >>> round(Window(1e-3, 1.0).decades, 9)
    3.0
    """

    log_lo: float
    log_hi: float

    def __init__(self, lo: float, hi: float) -> None:
        if not 0 < lo < hi < math.inf:
            raise ValueError(f"a window needs 0 < lo < hi; got lo={lo}, hi={hi}")
        object.__setattr__(self, "log_lo", math.log(lo))
        object.__setattr__(self, "log_hi", math.log(hi))

    @classmethod
    def from_logs(cls, log_lo: float, log_hi: float) -> "Window":
        """Window with ends ``exp(log_lo)`` and ``exp(log_hi)`` (natural logarithms)."""
        if not -math.inf < log_lo < log_hi < math.inf:
            raise ValueError(f"a window needs finite log_lo < log_hi; got {log_lo}, {log_hi}")
        # Not through `__init__`, which takes the ends themselves: they may be no floats.
        window = object.__new__(cls)
        object.__setattr__(window, "log_lo", float(log_lo))
        object.__setattr__(window, "log_hi", float(log_hi))
        return window

    @property
    def lo(self) -> float:
        """Lower end; 0.0 where it is below the smallest float, ``inf`` where it is above the largest."""
        return exp_or_infinity(self.log_lo)

    @property
    def hi(self) -> float:
        """Upper end; ``inf`` where it is above the largest float."""
        return exp_or_infinity(self.log_hi)

    @property
    def decades(self) -> float:
        """Width of the window in decades, ``log10(hi / lo)``."""
        return (self.log_hi - self.log_lo) / math.log(10.0)

    def to_dict(self) -> dict[str, float]:
        """Ends and width as plain numbers."""
        return {"lo": self.lo, "hi": self.hi, "log_lo": self.log_lo, "log_hi": self.log_hi}

    def summary(self) -> str:
        """One phrase, e.g. ``[1e-05, 0.32] (4.5 decades)``.

        >>> Window(1e-5, 1e-1).summary()
        '[1e-05, 0.1] (4.0 decades)'
        """
        ends = f"{format_exp(self.log_lo)}, {format_exp(self.log_hi)}"
        return f"[{ends}] ({self.decades:.1f} decades)"


def exp_or_infinity(log_value: float) -> float:
    """``exp(log_value)``; ``inf`` where it is above the largest float."""
    return math.exp(log_value) if log_value < _LARGEST_LOG else math.inf


def format_exp(log_value: float, digits: int = 3) -> str:
    """``exp(log_value)`` to some digits, also where a float cannot hold it.

    >>> format_exp(-1000.0)
    '5.08e-435'
    """
    # Near e^-708 floats begin to lose digits, and above e^709 there are none.
    if abs(log_value) < 700.0:
        return f"{math.exp(log_value):.{digits}g}"
    exponent, mantissa = divmod(log_value / math.log(10.0), 1.0)
    text = f"{10.0**mantissa:.{digits}g}"
    # 9.999 is written as 10: one decade up.
    return f"1e{int(exponent) + 1:+d}" if text == "10" else f"{text}e{int(exponent):+d}"
