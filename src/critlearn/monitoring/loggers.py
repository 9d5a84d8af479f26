"""Loggers of users: anything with ``add_scalar``, or a function of name, value and step."""

from collections.abc import Callable
from typing import Any, Final

from critlearn.errors import InvalidInputError
from critlearn.inference import Grade
from critlearn.monitoring.distribution import Distribution

Log = Callable[[str, float, int], Any]
"""Function of the name of a number, the number, and the step."""

PREFIX = "critlearn/"
"""Prefix of every logged name, so that loggers show these numbers in a group of their own."""


_WORST: Final = len(Grade) - 1
"""Place of the grade that claims least."""


def as_logger(log: Any) -> Log | None:
    """Logging function of a writer of TensorBoard's kind, or the function itself; None for None.

    Raises
    ------
    InvalidInputError
        If it is neither.
    """
    if log is None:
        return None
    writer = getattr(log, "add_scalar", None)
    if callable(writer):
        return writer
    if callable(log):
        return log
    raise InvalidInputError(
        f"log must have a method add_scalar(name, value, step) or be such a function; got {type(log).__name__}"
    )


def log_distribution(log: Log, name: str, distribution: Distribution, step: int) -> None:
    """Log exponent, decades and grade of a distribution with an exponent: 5 for a power law down to 0 for too few data.

    The numbers are the places of the `Grade` in its list, from its end.
    """
    fit = distribution.fit
    if fit is None or fit.exponent is None or fit.decades is None:
        return
    log(f"{PREFIX}{name}/exponent", fit.exponent, step)
    log(f"{PREFIX}{name}/decades", fit.decades, step)
    log(f"{PREFIX}{name}/grade", float(_WORST - list(Grade).index(fit.grade)), step)
    log(f"{PREFIX}{name}/is_power_law", float(fit.established), step)
