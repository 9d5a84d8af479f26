"""Numbers that a user gives: of the right kind, or refused in one line."""

import math
from numbers import Integral, Real

from critlearn.errors import InvalidInputError


def check_integer(name: str, given: object) -> None:
    """Refuse what is no integer.

    Raises
    ------
    InvalidInputError
        If it is none.
    """
    if isinstance(given, bool) or not isinstance(given, Integral):
        raise InvalidInputError(f"{name} must be an integer; got {given!r}")


def check_count(name: str, given: object) -> None:
    """Refuse what is no positive integer.

    Raises
    ------
    InvalidInputError
        If it is none.
    """
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InvalidInputError(f"{name} must be at least 1, an integer; got {given}")


def as_number(given: object) -> float:
    """A real number; NaN for anything else."""
    return float(given) if isinstance(given, Real) else math.nan


def check_learning_rate(lr: float) -> None:
    """Raise if the learning rate is not a positive, finite number.

    Raises
    ------
    InvalidInputError
        If it is not.
    """
    try:
        fitting = lr is not True and math.isfinite(lr) and lr > 0
    except TypeError:
        fitting = False
    if not fitting:
        raise InvalidInputError(f"the learning rate must be positive and finite; got {lr!r}")
