"""Accumulator of a measurement: counts of all quantities so far, to which batches are added."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from critlearn.errors import InvalidInputError
from critlearn.fluctuations.accumulation.drawn import DrawnGradients, written_out
from critlearn.fluctuations.accumulation.pools import PoolShares, pools_of, with_pools
from critlearn.fluctuations.counting.protocol import Counter, counter_for
from critlearn.fluctuations.counting.rescaled import RescaledCounter
from critlearn.fluctuations.floor.resolution import Resolution
from critlearn.fluctuations.grad_sample.protocol import GradSample, VariableGradients
from critlearn.fluctuations.grad_sample.rules.plan import layer_of
from critlearn.fluctuations.moments.log_domain_means import LogMean, Piece, mini_batch_means
from critlearn.fluctuations.quantities import Quantities, Series, check_name
from critlearn.fluctuations.result import POOLED, Fluctuations
from critlearn.network.batches.model_inputs import Inputs
from critlearn.network.checks.finiteness import check_finite
from critlearn.numerics.log_sketch import MOST_COUNTS, LogSketch


class Accumulator:
    """Accumulator of the changes of all quantities of a system, counted by logarithm.

    Parameters
    ----------
    gradients
        Source of per-sample gradients.
    quantities
        What is measured.
    log_rate
        ``ln gamma``.
    groups
        Number of groups of samples; fewer are kept apart if their counts would fill too much memory.
    exact
        Count every change in its own bin.
    drift
        Mean gradient of each variable, if it is to be subtracted.
    log_factors
        By a name, the logarithm of a factor of each sample: its changes times this factor are counted beside.
    """

    def __init__(
        self,
        gradients: DrawnGradients,
        quantities: Quantities,
        *,
        log_rate: float,
        groups: int,
        exact: bool,
        drift: Mapping[str, LogMean] | None = None,
        log_factors: Mapping[str, Float64[np.ndarray, " sample"]] | None = None,
    ) -> None:
        self.gradients, self.quantities, self.groups = gradients, quantities, groups
        parameters = gradients.whole.system.parameters
        self.variables = gradients.sizes
        self._whole_sizes = gradients.whole.sizes
        self._shares = None if quantities.variables is None else PoolShares.between(self.variables, self._whole_sizes)
        self._shapes = {name: tuple(parameters[name].shape) for name in self.variables}
        _check_pooled(self.variables)
        for name in quantities.units:
            check_name(name, self.variables)
            if not self._shapes[name]:
                raise InvalidInputError(f'"{name}" is a single number and has no units')
        self._log_rate, self._drift = log_rate, drift
        self._device = next(iter(parameters.values())).device
        self._exact = exact
        self._log_factors = {
            each: torch.from_numpy(factor).to(self._device) for each, factor in (log_factors or {}).items()
        }
        self._counters: dict[str, Counter] = {}
        self._chosen = {
            name: torch.from_numpy(index).to(self._device) for name, index in quantities.chosen(self.variables).items()
        }
        self._series: dict[str, list[Tensor]] = {name: [] for name in self._chosen}
        self.done = 0
        self._changes_counted = 0
        self._rows_of_sample = 1

    def add(self, x: Inputs, t: Tensor) -> None:
        """Count the changes of a batch of boundary states.

        Raises
        ------
        InvalidInputError
            If the batch cannot be divided into mini-batches, or the learning pass is not possible.
        """
        self.add_gradients(self.gradients.batch(x, t, first=self.done), len(t))

    def add_gradients(self, items: Iterable[VariableGradients], samples: int) -> None:
        """Count the changes of a batch of so many boundary states, given by the gradients of all variables.

        Raises
        ------
        InvalidInputError
            As for `add`.
        """
        for item in items:
            self.add_item(item, samples)
        self.end_batch(samples)

    def add_item(self, item: VariableGradients, samples: int) -> None:
        """Count the changes of one variable, or of a piece of it, for a batch of so many boundary states.

        Raises
        ------
        InvalidInputError
            As for `add`.
        """
        size = self.quantities.mini_batch
        if samples % size:
            raise InvalidInputError(f"a batch of {samples} samples cannot be divided into mini-batches of {size}")
        self._rows_of_sample = item.positions
        if self.quantities.axis == "position":
            rows = torch.arange(item.grad_sample.samples, device=item.log_scale.device)
            # Positions of a sample depend on each other: they stay together when samples are drawn anew.
            self._count(item.grad_sample, item.log_scale + self._log_rate, item.name, self.done, rows // item.positions)
            return
        if item.start % size or item.grad_sample.samples % size:
            raise InvalidInputError(f'"{item.name}" is written out in pieces that mini-batches of {size} do not divide')
        first = self.done // size + item.start // size
        for start, grad_sample, scale in self._changes(item):
            self._count(grad_sample, scale, item.name, first + start)
        self._limit_counts()

    def end_batch(self, samples: int) -> None:
        """Note that all variables of a batch of so many boundary states were counted."""
        self.done += samples
        self._changes_counted += samples * self._rows_of_sample // self.quantities.mini_batch

    def _limit_counts(self) -> None:
        """Halve the number of groups of samples as long as the counts of all quantities fill too much memory."""
        counters, groups = self._counters.values(), self.groups
        while sum(counter.size for counter in counters) > MOST_COUNTS and self.groups % 2 == 0:
            # Sample i is in group i mod n. With groups g and g + n/2 joined, it is in group i mod n/2.
            for counter in counters:
                counter.halve_groups()
            self.groups //= 2
        if self.groups < groups:
            warnings.warn(
                f"fluctuations reach over so many decades that {self.groups} groups of samples are kept apart, not "
                f"{groups}: counts of all would fill more than {MOST_COUNTS * 8 >> 30} GiB",
                stacklevel=4,
            )

    def _changes(self, item: VariableGradients) -> Iterator[Piece]:
        """Yield a variable's changes, averaged over mini-batches and without the drift if `quantities` ask for it."""
        scale, size = item.log_scale + self._log_rate, self.quantities.mini_batch
        averaged = mini_batch_means(item.grad_sample, scale, size) if size > 1 else [(0, item.grad_sample, scale)]
        for start, grad_sample, unit in averaged:
            if self._drift is None:
                yield start, grad_sample, unit
                continue
            for further, centred, one in self._drift[item.name].removed(grad_sample, unit, self._log_rate):
                yield start + further, centred, one

    def _count(
        self, grad_sample: GradSample, scale: Tensor, name: str, first: int, sample_of: Tensor | None = None
    ) -> None:
        """Count one variable's changes as they are, and its units', chosen samples' and chosen entries'.

        ``sample_of`` gives the sample of each row in the batch, where rows are not samples.
        """
        number = first + (torch.arange(grad_sample.samples, device=scale.device) if sample_of is None else sample_of)
        counted: dict[str, GradSample] = {name: grad_sample, **self._given(grad_sample, name)}
        try:
            for quantity, part in counted.items():
                part.count(self._rescaled_counter(quantity), scale, number)
        except InvalidInputError:
            _check_finite(grad_sample, name, first)
            raise
        if name in self.quantities.units:
            self._count_units(grad_sample, scale, number, name)
        for sample in self.quantities.samples:
            if first <= sample < first + grad_sample.samples:
                rows = torch.tensor([sample - first], device=scale.device)
                parts = {name: grad_sample, POOLED: grad_sample} if self._shares is None else counted
                for quantity in {name, POOLED} & parts.keys():
                    counter = self._counter(f"{quantity}[sample {sample}]")
                    parts[quantity].select(rows).count(counter, scale[rows], number[rows])
        if name in self._chosen:
            logs, positive = grad_sample.entries(self._chosen[name]).logs()
            self._series[name].append(torch.stack([logs + scale[:, None], positive.double()]).cpu())

    def _given(self, grad_sample: GradSample, name: str) -> dict[str, GradSample]:
        """What a variable of which entries were drawn gives to each pool: the first ones, as they were drawn at random.

        Pools of variables that are counted whole are made of their sketches in the end.
        """
        if self._shares is None:
            return {}
        every = torch.arange(self.variables[name], device=self._device)
        return {pool: written_out(grad_sample, every[:size]) for pool, size in self._shares.of_variable[name]}

    def _count_units(self, grad_sample: GradSample, scale: Tensor, number: Tensor, name: str) -> None:
        """Count the entries of each output unit apart."""
        for unit, part in enumerate(grad_sample.units(self._shapes[name][0])):
            part.count(self._counter(f"{name}[{unit}]"), scale, number)

    def _counter(self, name: str) -> Counter:
        if name not in self._counters:
            self._counters[name] = self._new_counter()
        return self._counters[name]

    def _rescaled_counter(self, name: str) -> Counter:
        """Counter of a quantity and, beside, of its rescaled changes."""
        if self._log_factors and name not in self._counters:
            rescaled = {each: self._new_counter() for each in self._log_factors}
            self._counters[name] = RescaledCounter(self._new_counter(), rescaled, self._log_factors)
        return self._counter(name)

    def _new_counter(self) -> Counter:
        return counter_for(self._device, self.groups, exact=self._exact)

    def result(self, *, since: int = 0) -> Fluctuations:
        """Fluctuations counted so far, from sample ``since`` on, with the pools of layers and of all."""
        return self._result({name: counter.sketch() for name, counter in self._counters.items()}, since)

    def rescaled(self) -> dict[str, Fluctuations]:
        """Rescaled changes counted so far, of all variables and their pools, without a resolution floor."""
        counters = {name: each for name, each in self._counters.items() if isinstance(each, RescaledCounter)}
        return {
            each: self._result({name: counter.rescaled[each].sketch() for name, counter in counters.items()}, 0)
            for each in self._log_factors
        }

    def finish(self, resolution: Resolution, *, since: int = 0) -> Fluctuations:
        """Fluctuations counted so far, with the resolution floor; nothing can be added afterwards.

        Each counter is freed as its sketch is made.
        """
        counted = {name: self._counters.pop(name).sketch() for name in list(self._counters)}
        floor = resolution.at_rate(self._log_rate)
        return replace(self._result(counted, since), log_floor=floor.log_floor, floor_reference=floor.reference)

    def _result(self, counted: dict[str, LogSketch], since: int) -> Fluctuations:
        """Fluctuations from the sketches of single quantities, to which the pools are added."""
        plain = {name: counted[name] for name in self.variables if name in counted}
        if self._shares is None:
            sketches, sizes = with_pools(plain, self.variables)
        else:
            sizes = {**self.variables, **self._shares.sizes}
            sketches = {name: counted[name] for name in sizes if name in counted}
        for name, sketch in counted.items():
            if name not in sketches:
                sketches[name], sizes[name] = sketch, self._entries(name)
        over = "positions" if self.quantities.axis == "position" else "samples"
        drawn = self._drawn_from(sketches)
        return Fluctuations(sketches, sizes, self._changes_counted, series=self._kept(), over=over, drawn_from=drawn)

    def _drawn_from(self, quantities: Iterable[str]) -> dict[str, int]:
        """Number of all entries from which those of each quantity were drawn; none if all were counted."""
        if self._shares is None:
            return {}
        sizes = dict(self._whole_sizes)
        whole = sizes | {pool: sum(sizes[name] for name in names) for pool, names in pools_of(sizes).items()}
        return {name: whole[name.split("[sample ")[0]] for name in quantities}

    def _entries(self, name: str) -> int:
        """Number of entries that a unit's or a single sample's quantity pools."""
        whole, _, part = name.rpartition("[")
        if part.startswith("sample "):
            pooled = sum(self.variables.values()) if self._shares is None else self._shares.sizes[POOLED]
            return pooled if whole == POOLED else self.variables[whole]
        return self.variables[whole] // self._shapes[whole][0]

    def _kept(self) -> Series:
        """Join the series of the chosen entries from all batches so far."""
        joined = {name: torch.cat(parts, dim=1).numpy() for name, parts in self._series.items() if parts}
        return Series(
            {name: self._chosen[name].cpu().numpy() for name in joined},
            {name: np.ascontiguousarray(part[0]) for name, part in joined.items()},
            {name: part[1] > 0 for name, part in joined.items()},
        )


def _check_pooled(variables: Mapping[str, int]) -> None:
    """Raise if a variable or a layer has the name of the pool of all variables."""
    for name in variables:
        if POOLED in (name, layer_of(name)):
            what = "variable" if name == POOLED else "layer"
            raise InvalidInputError(
                f'the network has a {what} named "{POOLED}", which is the name of the pool of all variables: rename it'
            )


def _check_finite(grad_sample: GradSample, name: str, first: int) -> None:
    """Raise if a gradient is not finite, with the name of the variable and the number of the sample."""
    # One sample at a time: the gradients of a whole batch, written out, may not fit into memory.
    for sample in range(grad_sample.samples):
        values = grad_sample.select(torch.tensor([sample])).dense()
        check_finite(values, f'the gradient of "{name}"', first=first + sample)
