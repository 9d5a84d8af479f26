"""Measure the fluctuations that every boundary state induces in every trainable variable."""

import math
from collections.abc import Callable
from pathlib import Path

import torch

from critlearn.duality import check_rate
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.checkpoint import Checkpoint
from critlearn.fluctuations.fluctuations import Fluctuations
from critlearn.fluctuations.measurement import Measurement
from critlearn.fluctuations.per_sample import PerSampleGradients
from critlearn.fluctuations.quantities import Quantities
from critlearn.fluctuations.resolution import measured_floor
from critlearn.fluctuations.running_moments import running_moments
from critlearn.network import NeuralSystem

GROUPS = 64
"""Groups of samples that a sketch keeps apart for the bootstrap."""


def measure(
    system: NeuralSystem,
    *,
    batch_size: int = 256,
    lr: float = 1.0,
    groups: int = GROUPS,
    quantities: Quantities | None = None,
    exact: bool = False,
    precision: torch.dtype | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fluctuations:
    """Count ``|dq|`` of every sample and every trainable variable, by logarithm.

    Sample ``i`` belongs to group ``i mod groups``. No gradient of a dense layer is written out: its logarithms are sums
    of those of output errors and inputs. The logarithm of the size of the errors is kept apart, so that fluctuations
    far below the smallest float are counted, not lost.

    Parameters
    ----------
    system
        Network, loss and data set.
    batch_size
        Samples in one learning pass; the memory needed is proportional to it. It is rounded up to whole mini-batches.
    lr
        Learning rate gamma: the fluctuation is ``gamma * |gradient|``.
    groups
        Number of groups; at most one for each sample is used.
    quantities
        What is measured beside every variable, every layer and the pool of all; nothing by default.
    exact
        Count every fluctuation in its own bin. Otherwise layers with many variables convolve histograms: much faster,
        numbers exact, bins off by one at most (1.1%), and not at all on the average.
    precision
        Floating-point type of the learning pass, whatever the type of the network. By default double, but in parts of
        a network of single precision that sum over places, for those batches in which nothing there comes near the
        ends of the range of single precision.
    checkpoint
        File in which the state is kept, and from which an interrupted measurement goes on.
    progress
        Called with the samples done and the samples in all.

    Raises
    ------
    InvalidInputError
        If an argument is out of range or the network gives no finite output.
    DataError
        If the checkpoint belongs to another measurement.
    """
    check_rate(lr)
    if groups < 1:
        raise InvalidInputError(f"groups must be at least 1; got {groups}")
    if batch_size < 1:
        raise InvalidInputError(f"batch size must be at least 1; got {batch_size}")
    quantities = quantities or Quantities()
    size = quantities.mini_batch
    samples = len(system) // size * size
    if samples == 0:
        raise InvalidInputError(f"{len(system)} samples do not fill one mini-batch of {size}")
    if any(sample >= samples // size for sample in quantities.samples):
        raise InvalidInputError(f"samples are numbered 0..{samples // size - 1}; got {max(quantities.samples)}")
    batch_size = -(-batch_size // size) * size
    gradients = PerSampleGradients(system, precision=precision)
    drift = running_moments(gradients, batch_size) if quantities.without_drift else None
    groups = min(groups, samples // size)
    saved = Checkpoint(checkpoint, system, quantities, lr=lr, groups=groups, samples=samples)
    earlier, start = saved.load()
    if earlier is not None and start >= samples:
        return earlier.marked("")
    log_rate = math.log(lr)
    measurement = Measurement(gradients, quantities, log_rate=log_rate, groups=groups, exact=exact, drift=drift)
    measurement.done = start
    for x, t in system.boundary(batch_size, start=start):
        kept = min(len(x), samples - measurement.done)
        if kept:
            measurement.add(x[:kept], t[:kept])
        saved.offer(measurement, earlier)
        if progress is not None:
            progress(measurement.done, samples)
    floor = measured_floor(gradients)
    result = measurement.result(None if floor is None else floor + log_rate, since=start)
    saved.remove()
    return result if earlier is None else earlier.merge(result)
