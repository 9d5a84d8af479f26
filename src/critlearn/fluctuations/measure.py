"""Measure the fluctuations that every boundary state induces in every trainable variable."""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float64
from torch.utils.data import DataLoader

from critlearn.errors import InvalidInputError
from critlearn.fluctuations.accumulation.accumulator import Accumulator
from critlearn.fluctuations.accumulation.drawn import DrawnGradients
from critlearn.fluctuations.batches import Batches, check_series
from critlearn.fluctuations.checkpoint.fingerprint import fingerprint
from critlearn.fluctuations.checkpoint.state import Checkpoint, check_place
from critlearn.fluctuations.floor.resolution import Resolution, measured_resolution
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.moments.log_domain_means import log_means
from critlearn.fluctuations.quantities import Quantities
from critlearn.fluctuations.result import Fluctuations
from critlearn.network import NeuralSystem
from critlearn.numerics.validation import check_integer, check_learning_rate

GROUPS = 64
"""Groups of samples that a sketch keeps apart for the bootstrap."""

_LONG: Final = 3600.0
"""Seconds of a measurement that are told beforehand: an hour is not waited for by chance."""


def measure(
    system: NeuralSystem,
    *,
    loader: DataLoader[Any] | None = None,
    batch_size: int = 256,
    lr: float = 1.0,
    groups: int = GROUPS,
    quantities: Quantities | None = None,
    exact: bool = False,
    precision: torch.dtype | None = None,
    checkpoint: Path | str | None = None,
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
    loader
        Loader of batches ``(x, t)``, of any size, in place of the system's data set and `batch_size`: also of data that
        do not fit into memory or have no length. Floating-point numbers are taken to the network's precision and
        device.
    batch_size
        Samples in one learning pass; the memory needed is proportional to it. It is rounded up to whole mini-batches.
    lr
        Learning rate gamma: the fluctuation is ``gamma * |gradient|``.
    groups
        Number of groups; at most one for each sample is used, and half as many, or a quarter, ..., with a warning where
        fluctuations reach over so many decades that the counts of all quantities would fill more than 2 GiB.
    quantities
        What is measured beside every variable, every layer and the pool of all; nothing by default.
    exact
        Count every fluctuation in its own bin. Otherwise layers with many variables convolve histograms: much faster,
        numbers exact, bins off by one at most (1.1%), and not at all on the average over many samples.
    precision
        Floating-point type of the learning pass, whatever the type of the network. By default double, but in parts of
        a network of single precision that sum over places, for those batches in which nothing there comes near the
        ends of the range of single precision.
    checkpoint
        File in which the state is kept, and from which an interrupted measurement goes on.
    progress
        Called with the samples done and the samples in all; 0 if nothing tells their number.

    Raises
    ------
    InvalidInputError
        If an argument is out of range, the network gives no finite output, or the checkpoint's folder does not exist.
    DataError
        If the checkpoint belongs to another measurement: network, loss, data, `quantities`, `lr`, `groups`, `exact` and
        `precision` must be the same.
    """
    quantities = _checked(system, loader, batch_size, precision, lr, groups, quantities)
    check_place(checkpoint)
    batches = Batches(system, loader, batch_size, quantities.mini_batch)
    _check_samples(quantities, batches.samples)
    _check_checkpoint(checkpoint, quantities, batches)
    accumulator = _new_accumulator(system, batches, quantities, lr=lr, groups=groups, exact=exact, precision=precision)
    settings = {
        "lr": lr, "groups": accumulator.groups, "samples": batches.samples, "exact": exact, "precision": str(precision),
    }  # fmt: skip
    saved = _saved(checkpoint, system, loader, batches, quantities, settings)
    with saved.alone():
        earlier, start = saved.load()

        def batch_counted(done: int) -> None:
            saved.offer(accumulator, earlier)
            if progress is not None:
                progress(done, batches.samples or 0)

        resolution = _count(accumulator, batches, start, None, batch_counted)
        result = _with_earlier(earlier, start, accumulator, resolution, lr)
        saved.remove()
    _warn_of_samples(quantities, accumulator.done)
    return result


def measure_rescaled(
    system: NeuralSystem,
    log_factors: Mapping[str, Float64[np.ndarray, " sample"]],
    *,
    batch_size: int = 256,
    lr: float = 1.0,
    groups: int = GROUPS,
    quantities: Quantities | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Fluctuations, dict[str, Fluctuations]]:
    """Count ``|dq|`` as `measure` does and, in the same pass, what it would be with other sizes of the errors.

    Parameters
    ----------
    system
        Network, loss and data set, whose samples come in the same order in every pass.
    log_factors
        By a name of the caller's, the logarithm of the factor by which each sample's error is multiplied. With minus
        the logarithm of the error's size, the fluctuations are the path factors ``|dy/dq|`` of unit errors.
    batch_size, lr, groups, quantities, progress
        As for `measure`; changes are those of single samples, drift included.

    Returns
    -------
    tuple
        The fluctuations, and by name the rescaled ones: of all variables and their pools, without a resolution floor.

    Raises
    ------
    InvalidInputError
        As by `measure`, or if mini-batches or changes without drift are asked for: a mean of several samples' changes
        has no error that could be rescaled.
    """
    quantities = _checked(system, None, batch_size, None, lr, groups, quantities)
    if quantities.mini_batch > 1 or quantities.without_drift:
        raise InvalidInputError(
            "errors are rescaled for single samples: leave out mini_batch and without_drift, which are about several"
        )
    batches = Batches(system, None, batch_size, 1)
    accumulator = _new_accumulator(
        system, batches, quantities, lr=lr, groups=groups, exact=False, precision=None, log_factors=log_factors
    )
    resolution = _count(
        accumulator, batches, 0, None, lambda done: None if progress is None else progress(done, batches.samples or 0)
    )
    rescaled = accumulator.rescaled()
    return accumulator.finish(resolution), rescaled


def _check_checkpoint(checkpoint: Path | str | None, quantities: Quantities, batches: Batches) -> None:
    """Raise if a measurement cannot go on from a checkpoint."""
    if checkpoint is None:
        return
    if quantities.axis == "position":
        raise InvalidInputError('a checkpoint keeps the number of samples done: leave it out with axis="position"')
    if not batches.in_order:
        raise InvalidInputError(
            "a checkpoint needs a loader that gives the same order again: leave out shuffle=True, and samplers of "
            "batches other than BatchSampler(SequentialSampler(...))"
        )


def _saved(
    checkpoint: Path | str | None,
    system: NeuralSystem,
    loader: DataLoader[Any] | None,
    batches: Batches,
    quantities: Quantities,
    settings: dict[str, Any],
) -> Checkpoint:
    """Checkpoint of a measurement with these settings; one that keeps nothing if there is no file."""
    if checkpoint is None:
        return Checkpoint(None, "", quantities.mini_batch)
    mark = fingerprint(system, loader, batches.first(), quantities, settings)
    return Checkpoint(Path(checkpoint), mark, quantities.mini_batch)


def _with_earlier(
    earlier: Fluctuations | None, start: int, accumulator: Accumulator, resolution: Resolution, lr: float
) -> Fluctuations:
    """What was counted, together with what had been counted before an interruption at sample number ``start``."""
    if earlier is None:
        return accumulator.finish(resolution)
    if accumulator.done == start:
        # Everything had been counted before the interruption, but for the floor.
        floor = resolution.at_rate(math.log(lr))
        return replace(earlier.marked(""), log_floor=floor.log_floor, floor_reference=floor.reference)
    # What was counted before had no floor yet: it is that of the same network.
    rest = accumulator.finish(resolution, since=start)
    return replace(earlier.merge(rest), floor_reference=resolution.reference)


def measure_part(
    system: NeuralSystem,
    part: int,
    parts: int,
    *,
    batch_size: int = 256,
    lr: float = 1.0,
    groups: int = GROUPS,
    quantities: Quantities | None = None,
    exact: bool = False,
    precision: torch.dtype | None = None,
) -> Fluctuations:
    """Count the fluctuations of one of several parts of the data set, each of whole batches.

    Parts measured anywhere, merged in their order (`Fluctuations.merge`), are what `measure` gives with the same
    arguments, bin for bin. A drift to be subtracted is that of the whole data set, so that each part takes a pass over
    all of it.

    Parameters
    ----------
    system
        Network, loss and data set.
    part
        Number of the part, from 0.
    parts
        Number of parts; at most the number of batches.
    batch_size, lr, groups, quantities, exact, precision
        As for `measure`, and the same for all parts.

    Raises
    ------
    InvalidInputError
        If an argument is out of range or the network gives no finite output.
    """
    quantities = _checked(system, None, batch_size, precision, lr, groups, quantities)
    check_integer("part", part)
    check_integer("parts", parts)
    batches = Batches(system, None, batch_size, quantities.mini_batch)
    samples = batches.samples
    assert samples is not None
    _check_samples(quantities, samples)
    number = -(-samples // batches.batch_size)
    if not 1 <= parts <= number:
        raise InvalidInputError(f"{number} batches of {batches.batch_size} make 1..{number} parts; got {parts}")
    if not 0 <= part < parts:
        raise InvalidInputError(f"parts are numbered 0..{parts - 1}; got {part}")
    start, stop = (min(samples, number * edge // parts * batches.batch_size) for edge in (part, part + 1))
    accumulator = _new_accumulator(system, batches, quantities, lr=lr, groups=groups, exact=exact, precision=precision)
    resolution = _count(accumulator, batches, start, stop, lambda done: None)
    return accumulator.finish(resolution, since=start)


def _new_accumulator(
    system: NeuralSystem,
    batches: Batches,
    quantities: Quantities,
    *,
    lr: float,
    groups: int,
    exact: bool,
    precision: torch.dtype | None,
    log_factors: Mapping[str, Float64[np.ndarray, " sample"]] | None = None,
) -> Accumulator:
    """Accumulator that has counted nothing yet, with the drift of the whole data set if it is to be subtracted."""
    wanted = quantities.names({name: value.numel() for name, value in system.parameters.items()})
    whole = PerSampleGradients(system, precision=precision, by_position=quantities.axis == "position", only=wanted)
    if quantities.series and batches.samples is not None:
        check_series(sum(map(len, quantities.chosen(wanted).values())), batches.samples)
    gradients = DrawnGradients(whole, quantities.drawn(wanted))
    drift = log_means(gradients, batches.start_from(0)) if quantities.without_drift else None
    groups = groups if batches.samples is None else min(groups, batches.samples // quantities.mini_batch)
    return Accumulator(
        gradients,
        quantities,
        log_rate=math.log(lr),
        groups=groups,
        exact=exact,
        drift=drift,
        log_factors=log_factors,
    )


def _count(
    accumulator: Accumulator,
    batches: Batches,
    start: int,
    stop: int | None,
    batch_counted: Callable[[int], None],
) -> Resolution:
    """Count the samples from number ``start`` to ``stop``, whole batches each, and find the resolution of gradients."""
    accumulator.done = start
    end, before = batches.samples if stop is None else stop, perf_counter()
    for number, (x, t) in enumerate(batches.start_from(start)):
        done = accumulator.done
        accumulator.add(x, t)
        now = perf_counter()
        # Not by the first batch, in which the network is looked at and kernels are compiled.
        if number == 1 and end is not None:
            _announce((now - before) / (accumulator.done - done) * (end - accumulator.done))
        before = now
        batch_counted(accumulator.done)
        if stop is not None and accumulator.done >= stop:
            break
    return measured_resolution(accumulator.gradients.whole)


def _announce(seconds: float) -> None:
    """Warn of a measurement that goes on for long, while little has been waited for."""
    if seconds > _LONG:
        warnings.warn(
            f"the measurement goes on for about {seconds / 3600:,.1f} hours: fewer entries of each variable, by "
            "Quantities(variables=1000) or --variables 1000, take less, and so do fewer samples",
            stacklevel=3,
        )


def _checked(
    system: NeuralSystem,
    loader: object,
    batch_size: int,
    precision: object,
    lr: float,
    groups: int,
    quantities: Quantities | None,
) -> Quantities:
    """Check the arguments of a measurement and return its quantities, by default none beside the usual.

    Raises
    ------
    InvalidInputError
        If an option is out of range or of the wrong type.
    """
    check_learning_rate(lr)
    system.check()
    if loader is not None and not isinstance(loader, DataLoader):
        raise InvalidInputError(f"the loader must be a torch DataLoader; got {type(loader).__name__}")
    check_integer("the batch size", batch_size)
    check_integer("groups", groups)
    if precision is not None and precision not in (torch.float32, torch.float64):
        raise InvalidInputError(f"the precision must be torch.float32 or torch.float64; got {precision}")
    if groups < 1:
        raise InvalidInputError(f"groups must be at least 1; got {groups}")
    if batch_size < 1:
        raise InvalidInputError(f"batch size must be at least 1; got {batch_size}")
    if quantities is not None and not isinstance(quantities, Quantities):
        raise InvalidInputError(f"quantities must be a Quantities(...); got {type(quantities).__name__}")
    return Quantities() if quantities is None else quantities


def _check_samples(quantities: Quantities, samples: int | None) -> None:
    """Raise if a sample that is to be counted apart is not in the data set."""
    size = quantities.mini_batch
    if samples is not None and any(sample >= samples // size for sample in quantities.samples):
        raise InvalidInputError(f"samples are numbered 0..{samples // size - 1}; got {max(quantities.samples)}")


def _warn_of_samples(quantities: Quantities, done: int) -> None:
    """Warn of samples to be counted apart that a loader without a length did not give."""
    number = done // quantities.mini_batch
    missing = [sample for sample in quantities.samples if sample >= number]
    if missing:
        warnings.warn(f"the loader gave samples 0..{number - 1}: sample {missing[0]} was not counted", stacklevel=3)
