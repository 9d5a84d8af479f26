"""Measure the fluctuations that every boundary state induces in every trainable variable."""

import math
from collections.abc import Callable

import torch

from critlearn.duality import check_rate
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.counter import Counter
from critlearn.fluctuations.fluctuations import POOLED, Fluctuations
from critlearn.fluctuations.per_sample import PerSampleGradients
from critlearn.fluctuations.resolution import measured_floor
from critlearn.network import NeuralSystem
from critlearn.numerics.log_sketch import LogSketch

GROUPS = 64
"""Groups of samples that a sketch keeps apart for the bootstrap."""


def measure(
    system: NeuralSystem,
    *,
    batch_size: int = 256,
    lr: float = 1.0,
    groups: int = GROUPS,
    exact: bool = False,
    precision: torch.dtype = torch.float64,
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
    exact
        Count every fluctuation in its own bin. Otherwise layers with many variables convolve histograms: much faster,
        numbers exact, bins off by one at most (1.1%), and not at all on the average.
    precision
        Floating-point type of the learning pass, whatever the type of the network.
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
    gradients = PerSampleGradients(system, precision=precision)
    counters = {name: Counter(groups, exact=exact) for name in gradients.names}
    done = 0
    for x, t in system.boundary(batch_size):
        group = (done + torch.arange(len(x))) % groups
        for item in gradients.batch(x, t):
            own = slice(item.start, item.start + item.contribution.samples)
            item.contribution.count(counters[item.name], item.log_scale + math.log(lr), group[own])
        done += len(x)
        if progress is not None:
            progress(done, samples)
    variables = {name: value.numel() for name, value in system.parameters.items()}
    sketches = {name: counter.sketch() for name, counter in counters.items()}
    floor = measured_floor(system, precision)
    return Fluctuations(*_with_pools(sketches, variables), samples, None if floor is None else floor + math.log(lr))


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
