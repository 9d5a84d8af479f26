"""Checks of numbers from a user, each of which raises one line that says what is allowed."""

import math
from numbers import Integral, Real

from critlearn.errors import InvalidInputError


def check_integer(name: str, value: object) -> None:
    """Raise if a value is not an integer.

    Raises
    ------
    InvalidInputError
        If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidInputError(f"{name} must be an integer; got {value!r}")


def check_number(name: str, value: object) -> None:
    """Raise if a value is not a real number; True and False are none.

    Raises
    ------
    InvalidInputError
        If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidInputError(f"{name} must be a number; got {value!r}")


def check_count(name: str, value: object) -> None:
    """Raise if a value is not a positive integer.

    Raises
    ------
    InvalidInputError
        If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInputError(f"{name} must be at least 1, an integer; got {value}")


def as_number(value: object) -> float:
    """Return a real number as it is, and NaN for anything else."""
    return float(value) if isinstance(value, Real) else math.nan


def check_learning_rate(lr: float) -> None:
    """Raise if the learning rate is not a positive, finite number.

    Raises
    ------
    InvalidInputError
        If it is not.
    """
    try:
        # True is the number 1 to Python, but no learning rate.
        fitting = lr is not True and math.isfinite(lr) and lr > 0
    except TypeError:
        fitting = False
    if not fitting:
        raise InvalidInputError(f"the learning rate must be positive and finite; got {lr!r}")
