"""The size below which measured fluctuations are rounding error, for networks that cannot be made exact."""

import math
from typing import Final

import numpy as np
import torch
from jaxtyping import Float64

from critlearn.fluctuations.per_sample import PerSampleGradients
from critlearn.network import NeuralSystem, floor_between, is_exact
from critlearn.network.tail_exact import tail_exact

_SAMPLES: Final = 4
_ENTRIES: Final = 500
"""Entries of each variable that are compared."""


def measured_floor(system: NeuralSystem, precision: torch.dtype | None = None) -> float | None:
    """``ln|gradient|`` below which gradients are mostly rounding error; None if the network is exact or none is seen.

    The learning pass of a few samples is made in single and in double precision, on the tail-exact copy of the network.
    Source: theory, numbers.
    """
    if is_exact(tail_exact(system.model)):
        return None
    single, double = (_log_gradients(system, kind) for kind in (torch.float32, torch.float64))
    if single is None or double is None:
        return None
    floor = floor_between(single, double)
    if floor is not None and precision != torch.float32:
        floor += math.log(torch.finfo(torch.float64).eps / torch.finfo(torch.float32).eps)
    return floor


def _log_gradients(system: NeuralSystem, precision: torch.dtype) -> Float64[np.ndarray, " value"] | None:
    """``ln|gradient|`` of a few samples, the same entries of all variables whatever the precision."""
    gradients = PerSampleGradients(system, precision=precision, quiet=True)
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
