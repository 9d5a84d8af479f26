"""Resolution floor of a network: whether its modules are tail-exact, and where rounding begins if they are not."""

import math
from typing import Final

import numpy as np
from jaxtyping import Float64
from torch import nn

from critlearn.network.checks.hooks import hooked
from critlearn.network.criteria import WRONG_BY, WRONG_SHARE
from critlearn.network.modules import ActivationModule

EXACT_MODULES: Final = (
    ActivationModule,
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.Sequential,
    nn.ReLU,
    nn.LeakyReLU,
    nn.Identity,
    nn.Flatten,
    nn.Unflatten,
    nn.Dropout,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.AvgPool1d,
    nn.AvgPool2d,
)
"""Modules whose backward pass multiplies by exact factors: nothing in it cancels to zero."""


def is_exact(model: nn.Module) -> bool:
    """Whether every module of the model has an exact backward pass by its type, and no hooks."""
    return all(type(module) in EXACT_MODULES and not hooked(module) for module in model.modules())


def floor_between(single: Float64[np.ndarray, " value"], double: Float64[np.ndarray, " value"]) -> float | None:
    """Resolution floor: largest ``ln|gradient|`` at which the coarser of two precisions is wrong too often.

    Parameters
    ----------
    single, double
        ``ln|gradient|`` of the same gradients in the coarser and in the finer precision; the finer one counts as true.

    Returns
    -------
    float or None
        Upper end of the last stretch of sizes in which too many gradients are wrong; None if there is no such stretch.
        Source: theory, numbers.
    """
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(single - double) <= WRONG_BY)
    # -inf - (-inf) is NaN, which counts as wrong above; exact zeros in both precisions are right.
    wrong &= ~(np.isneginf(single) & np.isneginf(double))
    # A wrong value counts with the larger of its two sizes: rounding of that size was counted, or hides what is there.
    size = np.where(wrong, np.fmax(single, double), double)
    order = np.argsort(size)
    return _last_bad_stretch(wrong[order], size[order])


def _last_bad_stretch(wrong: np.ndarray, log_size: np.ndarray) -> float | None:
    """Upper end of the last stretch of neighbours, in order of size, that holds too many wrong values.

    Where values are few, the stretch reaches far beyond its last wrong one. An error of that size makes gradients wrong
    up to ``1 / WRONG_BY`` times as large, and no others.
    """
    # A hundredth of all, so that the floor is known to about a percent of the gradients; at least 20, or one wrong
    # value would be more than the share that is allowed.
    stretch = max(20, len(wrong) // 100)
    if len(wrong) < stretch:
        return None
    share = np.convolve(wrong, np.ones(stretch) / stretch, mode="valid")
    bad = np.flatnonzero(share > WRONG_SHARE)
    if not bad.size:
        return None
    end = min(bad[-1] + stretch - 1, len(wrong) - 1)
    last_wrong = np.flatnonzero(wrong[: end + 1])[-1]
    return float(min(log_size[end], log_size[last_wrong] - math.log(WRONG_BY)))
