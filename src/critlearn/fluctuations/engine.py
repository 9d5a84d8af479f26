"""Measure the fluctuations that every boundary state induces in every trainable variable."""

import math
from collections.abc import Callable

import numpy as np
from torch import Tensor

from critlearn.duality import check_rate
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.fluctuations import POOLED, Fluctuations
from critlearn.network import NeuralSystem, learning_pass, resolution_floor
from critlearn.numerics.log_sketch import LogSketch

GROUPS = 64
"""Groups of samples that a sketch keeps apart for the bootstrap."""


def measure(
    system: NeuralSystem,
    *,
    batch_size: int = 256,
    lr: float = 1.0,
    groups: int = GROUPS,
    progress: Callable[[int, int], None] | None = None,
) -> Fluctuations:
    """Count ``|dq|`` of every sample and every trainable variable, by logarithm.

    Sample ``i`` belongs to group ``i mod groups``. The logarithm of the size of the output error is added to that of
    the gradient at unit error, so that fluctuations far below the smallest float are counted, not lost.

    Parameters
    ----------
    system
        Network, loss and data set.
    batch_size
        Samples in one learning pass; the memory needed is proportional to it.
    lr
        Learning rate gamma: the fluctuation is ``gamma * |gradient|``.
    groups
        Number of groups; at most one for each sample is used.
    progress
        Called with the samples done and the samples in all.

    Raises
    ------
    InvalidInputError
        If an argument is out of range or the network gives no finite output.
    """
    check_rate(lr)
    if groups < 1:
        raise InvalidInputError(f"groups must be at least 1; got {groups}")
    samples, groups = len(system), min(groups, len(system))
    sketches: dict[str, LogSketch] = {}
    done = 0
    for x, t in system.boundary(batch_size):
        scaled = learning_pass(system, x, t)
        log_scale = scaled.log_scale.cpu().numpy() + math.log(lr)
        group = (done + np.arange(len(x))) % groups
        for name, gradient in scaled.gradients.items():
            counted = _count(gradient, log_scale, group, groups)
            sketches[name] = sketches[name].merge(counted) if name in sketches else counted
        done += len(x)
        if progress is not None:
            progress(done, samples)
    variables = {name: value.numel() for name, value in system.parameters.items()}
    floor = resolution_floor(system)
    return Fluctuations(*_with_pools(sketches, variables), samples, None if floor is None else floor + math.log(lr))


def _count(gradient: Tensor, log_scale: np.ndarray, group: np.ndarray, groups: int) -> LogSketch:
    """Sketch of one trainable variable's fluctuations in one batch."""
    values = gradient.detach().double().cpu().numpy().reshape(len(group), -1)
    with np.errstate(divide="ignore"):
        log_abs = np.log(np.abs(values)) + log_scale[:, None]
    # The change is minus the gradient.
    return LogSketch.from_logs(log_abs.ravel(), values.ravel() > 0, np.repeat(group, values.shape[1]), groups)


def _with_pools(
    sketches: dict[str, LogSketch], variables: dict[str, int]
) -> tuple[dict[str, LogSketch], dict[str, int]]:
    """Add the pool of each layer that has several variables, and that of all."""
    layers: dict[str, list[str]] = {}
    for name in sketches:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    pools = {layer: names for layer, names in layers.items() if layer and len(names) > 1}
    pools[POOLED] = list(sketches)
    pooled, sizes = dict(sketches), dict(variables)
    for pool, names in pools.items():
        merged = sketches[names[0]]
        for name in names[1:]:
            merged = merged.merge(sketches[name])
        pooled[pool], sizes[pool] = merged, sum(variables[name] for name in names)
    return pooled, sizes
