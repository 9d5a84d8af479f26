"""The size below which measured fluctuations are rounding error, for networks that cannot be made exact."""

import math
from typing import Final

import numpy as np
import torch
from jaxtyping import Float64

from critlearn.fluctuations.per_sample import PerSampleGradients
from critlearn.network import floor_between, is_exact
from critlearn.network.tail_exact import tail_exact

_SAMPLES: Final = 4
_ENTRIES: Final = 500
"""Entries of each variable that are compared."""


def measured_floor(gradients: PerSampleGradients) -> float | None:
    """``ln|gradient|`` below which gradients are mostly rounding error; None if the network is exact or none is seen.

    The learning pass of a few samples is made as it is in the measurement and, for a pass that is partly or wholly in
    single precision, in double precision. A pass in double precision is judged by one in single precision: the floor of
    that one is lowered by the ratio of the spacings of numbers, which is an estimate and not a bound.
    Source: theory, numbers.
    """
    double = gradients.precision == torch.float64
    if double and not gradients.mixed and is_exact(tail_exact(gradients.system.model)):
        return None
    found = _log_gradients(gradients)
    if not double or gradients.mixed:
        return _floor(found, _log_gradients(gradients.in_precision(torch.float64)))
    floor = _floor(_log_gradients(gradients.in_precision(torch.float32)), found)
    if floor is None:
        return None
    return floor + math.log(torch.finfo(torch.float64).eps / torch.finfo(torch.float32).eps)


def _floor(coarse: np.ndarray | None, fine: np.ndarray | None) -> float | None:
    """Floor of one pass judged by another; None if either gives nothing."""
    return None if coarse is None or fine is None else floor_between(coarse, fine)


def _log_gradients(gradients: PerSampleGradients) -> Float64[np.ndarray, " value"] | None:
    """``ln|gradient|`` of a few samples, the same entries of all variables whatever the precision."""
    system = gradients.system
    x, t = next(system.boundary(min(_SAMPLES, len(system))))
    sizes = {name: value.numel() for name, value in system.parameters.items()}
    parts: dict[tuple[str, int], np.ndarray] = {}
    for item in gradients.batch(x, t):
        generator = torch.Generator().manual_seed(0)
        size = sizes[item.name]
        index = torch.randperm(size, generator=generator)[:_ENTRIES] if size > _ENTRIES else torch.arange(size)
        found = item.contribution.chosen(index.to(item.log_scale.device)).double().abs().log()
        parts[item.name, item.start] = (found + item.log_scale[:, None]).flatten().cpu().numpy()
    return np.concatenate([parts[key] for key in sorted(parts)]) if parts else None
