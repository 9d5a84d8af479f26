"""A user's own module: whether its learning pass is exact in the tail, and if not, where it ends."""

import math
from typing import Final

import numpy as np
import torch
from jaxtyping import Float64
from torch import nn
from torch.utils.data import TensorDataset

from critlearn.network.backward.learning_pass import learning_pass
from critlearn.network.checks.hooks import hooked
from critlearn.network.checks.inputs import in_type
from critlearn.network.copying import copied
from critlearn.network.modules import ActivationModule
from critlearn.network.system import NeuralSystem
from critlearn.network.tail_exact import keep_epsilon

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

_SAMPLES: Final = 8
_WRONG: Final = 0.01
_SHARE: Final = 0.05


def is_exact(model: nn.Module) -> bool:
    """Whether every module of the model has an exact backward pass, as far as its type tells: hooks may do anything."""
    return all(type(module) in EXACT_MODULES and not hooked(module) for module in model.modules())


def resolution_floor(system: NeuralSystem) -> float | None:
    """``ln|gradient|`` below which gradients are mostly rounding error; None if the model is exact or none is seen.

    The learning pass of a few samples is made in single and in double precision. The floor in single precision is the
    size below which more than a twentieth of the gradients differ by over a hundredth. Rounding errors scale with the
    spacing of numbers, so the floor in double precision is taken to be lower by the ratio of the two spacings: an
    estimate, not a bound. Source: theory, numbers.
    """
    if is_exact(system.model):
        return None
    double, single = (_log_gradients(system, dtype) for dtype in (torch.float64, torch.float32))
    floor = floor_between(single, double)
    if floor is None:
        return None
    if next(iter(system.parameters.values())).dtype == torch.float64:
        floor += math.log(torch.finfo(torch.float64).eps / torch.finfo(torch.float32).eps)
    return floor


def floor_between(single: Float64[np.ndarray, " value"], double: Float64[np.ndarray, " value"]) -> float | None:
    """Greatest ``ln|gradient|`` below which single precision is wrong too often, judged by double precision."""
    order = np.argsort(double)
    double, single = double[order], single[order]
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(single - double) <= _WRONG)
    wrong &= ~(np.isneginf(single) & np.isneginf(double))
    return _last_bad_stretch(wrong, double)


def _last_bad_stretch(wrong: np.ndarray, log_size: np.ndarray) -> float | None:
    """Upper end of the largest sizes at which a stretch of neighbours holds too many wrong values."""
    stretch = max(20, len(wrong) // 100)
    if len(wrong) < stretch:
        return None
    share = np.convolve(wrong, np.ones(stretch) / stretch, mode="valid")
    bad = np.flatnonzero(share > _SHARE)
    return float(log_size[min(bad[-1] + stretch - 1, len(wrong) - 1)]) if bad.size else None


def _log_gradients(system: NeuralSystem, dtype: torch.dtype) -> Float64[np.ndarray, " value"]:
    """``ln|gradient|`` of a few samples and all trainable variables, computed in a given precision."""
    x, t = next(system.boundary(min(_SAMPLES, len(system))))
    model = copied(system.model)
    keep_epsilon(model)
    model = model.to(dtype)
    x, t = in_type(x, dtype), in_type(t, dtype)
    scaled = learning_pass(NeuralSystem(model, system.loss, TensorDataset(x, t)), x, t)
    logs = [
        (gradient.double().abs().log() + scaled.log_scale.reshape(-1, *[1] * (gradient.dim() - 1))).flatten()
        for gradient in scaled.gradients.values()
    ]
    return torch.cat(logs).cpu().numpy()
