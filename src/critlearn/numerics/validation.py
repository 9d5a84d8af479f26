"""Checks of numbers from a user, each of which raises one line that says what is allowed."""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np

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


def check_seed(value: object) -> None:
    """Raise if a value is not a seed of random numbers, an integer that is not negative.

    Raises
    ------
    InvalidInputError
        If it is not.
    """
    check_integer("seed", value)
    if isinstance(value, Integral) and value < 0:
        raise InvalidInputError(f"seed must not be negative; got {value}")


def as_real_array(name: str, values: Any) -> np.ndarray:
    """Return real numbers as an array, without a copy where they are one already.

    Raises
    ------
    InvalidInputError
        If lists in a list differ in length, values are no real numbers, or some are masked.
    """
    # NumPy forgets the mask, and what lies under it would be taken for data.
    if np.ma.is_masked(values):
        masked = int(np.ma.getmaskarray(values).sum())
        raise InvalidInputError(f"{name} has no gaps; got {masked} masked values: fill them, or take a stretch without")
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as problem:
        raise InvalidInputError(f"{name} must be an array of real numbers; got {type(values).__name__}") from problem
    if array.dtype.kind not in "biuf":
        raise InvalidInputError(f"{name} holds real numbers; got an array of {array.dtype}")
    return array


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
