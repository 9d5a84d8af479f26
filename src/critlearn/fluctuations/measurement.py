"""A measurement in progress: counts of all quantities so far, to which batches are added."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from critlearn.errors import InvalidInputError
from critlearn.fluctuations.contribution import WRITTEN_OUT, Contribution, OuterProducts, Values
from critlearn.fluctuations.counters import Counter, counter_for
from critlearn.fluctuations.fluctuations import POOLED, Fluctuations
from critlearn.fluctuations.per_sample import PerSampleGradients, VariableGradients
from critlearn.fluctuations.quantities import Quantities, Series, check_name
from critlearn.fluctuations.running_moments import RunningMoments
from critlearn.fluctuations.unfolded_products import UnfoldedProducts
from critlearn.numerics.log_sketch import LogSketch


class Measurement:
    """Counts of the changes of all quantities of a system.

    Parameters
    ----------
    gradients
        Source of per-sample gradients.
    quantities
        What is measured.
    log_rate
        ``ln gamma``.
    groups
        Number of groups of samples.
    exact
        Count every change in its own bin.
    drift
        Mean change of each variable at unit rate, if it is to be subtracted.
    """

    def __init__(
        self,
        gradients: PerSampleGradients,
        quantities: Quantities,
        *,
        log_rate: float,
        groups: int,
        exact: bool,
        drift: Mapping[str, RunningMoments] | None = None,
    ) -> None:
        self.gradients, self.quantities, self.groups = gradients, quantities, groups
        parameters = gradients.system.parameters
        self.variables = {name: value.numel() for name, value in parameters.items()}
        self._shapes = {name: tuple(value.shape) for name, value in parameters.items()}
        for name in quantities.units:
            check_name(name, self.variables)
            if not self._shapes[name]:
                raise InvalidInputError(f'"{name}" is a single number and has no units')
        self._log_rate, self._drift = log_rate, drift
        self._device = next(iter(parameters.values())).device
        self._exact = exact
        self._counters: dict[str, Counter] = {}
        self._chosen = {
            name: torch.from_numpy(index).to(self._device) for name, index in quantities.chosen(self.variables).items()
        }
        self._series: dict[str, list[Tensor]] = {name: [] for name in self._chosen}
        self.done = 0

    def add(self, x: Tensor, t: Tensor) -> None:
        """Count the changes of a batch of boundary states.

        Raises
        ------
        InvalidInputError
            If the batch cannot be divided into mini-batches, or the learning pass is not possible.
        """
        size = self.quantities.mini_batch
        if len(x) % size:
            raise InvalidInputError(f"a batch of {len(x)} samples cannot be divided into mini-batches of {size}")
        first = self.done // size
        for item in self.gradients.batch(x, t, first=self.done):
            if item.start % size or item.contribution.samples % size:
                raise InvalidInputError(
                    f'"{item.name}" is written out in pieces that mini-batches of {size} do not divide'
                )
            self._count(*self._transformed(item), item.name, first + item.start // size)
        self.done += len(x)

    def _transformed(self, item: VariableGradients) -> tuple[Contribution, Tensor]:
        """Gradients after averaging over mini-batches, with their scales."""
        size = self.quantities.mini_batch
        scale = item.log_scale + self._log_rate
        if size == 1:
            return item.contribution, scale
        # Each mini-batch has the largest of its samples' units.
        unit = scale.reshape(-1, size).amax(dim=1)
        finite = torch.where(torch.isneginf(unit), 0.0, unit)
        weight = (scale - finite.repeat_interleave(size)).exp()
        return item.contribution.averaged(weight, size), unit

    def _count(self, contribution: Contribution, scale: Tensor, name: str, first: int) -> None:
        """Count what was declared of one variable; ``first`` is the number of the first sample."""
        if self._drift is not None:
            for start, piece, unit in self._centred(contribution, scale, name):
                self._count_plain(piece, unit, name, first + start)
        else:
            self._count_plain(contribution, scale, name, first)

    def _centred(
        self, contribution: Contribution, scale: Tensor, name: str
    ) -> Iterable[tuple[int, Contribution, Tensor]]:
        """Gradients with the mean removed, written out some samples at a time, in one unit."""
        assert self._drift is not None
        moments = self._drift[name]
        step = max(1, WRITTEN_OUT // self.variables[name])
        for start in range(0, contribution.samples, step):
            rows = torch.arange(start, min(start + step, contribution.samples), device=scale.device)
            unit = max(float(scale[rows].max()), moments.unit + self._log_rate)
            if unit == -math.inf:
                unit = 0.0
            # The mean is one of changes, and these are gradients.
            mean = -moments.drift * math.exp(moments.unit + self._log_rate - unit)
            values = contribution.select(rows).dense().double() * (scale[rows] - unit).exp()[:, None] - mean
            yield start, Values(values), torch.full_like(scale[rows], unit)

    def _count_plain(self, contribution: Contribution, scale: Tensor, name: str, first: int) -> None:
        """Count one variable's changes as they are, and its units', chosen samples' and chosen entries'."""
        number = first + torch.arange(contribution.samples, device=scale.device)
        contribution.count(self._counter(name), scale, number)
        if name in self.quantities.units:
            self._count_units(contribution, scale, number, name)
        for sample in self.quantities.samples:
            if first <= sample < first + contribution.samples:
                rows = torch.tensor([sample - first], device=scale.device)
                for counted in (f"{name}[sample {sample}]", f"{POOLED}[sample {sample}]"):
                    contribution.select(rows).count(self._counter(counted), scale[rows], number[rows])
        if name in self._chosen:
            logs, positive = contribution.chosen_logs(self._chosen[name])
            self._series[name].append(torch.stack([logs + scale[:, None], positive.double()]).cpu())

    def _count_units(self, contribution: Contribution, scale: Tensor, number: Tensor, name: str) -> None:
        """Count the entries of each first index apart."""
        for unit, part in enumerate(_units(contribution, self._shapes[name][0])):
            part.count(self._counter(f"{name}[{unit}]"), scale, number)

    def _counter(self, name: str) -> Counter:
        if name not in self._counters:
            self._counters[name] = counter_for(self._device, self.groups, exact=self._exact)
        return self._counters[name]

    def result(self, *, since: int = 0) -> Fluctuations:
        """Fluctuations counted so far, from sample ``since`` on, with the pools of layers and of all."""
        return self._result({name: counter.sketch() for name, counter in self._counters.items()}, since)

    def finish(self, log_floor: float | None, floor_reference: str, *, since: int = 0) -> Fluctuations:
        """The same as `result`, with the floor, after which nothing can be added.

        Each counter is given up as its sketch is made.
        """
        counted = {name: self._counters.pop(name).sketch() for name in list(self._counters)}
        return replace(self._result(counted, since), log_floor=log_floor, floor_reference=floor_reference)

    def _result(self, counted: dict[str, LogSketch], since: int) -> Fluctuations:
        """Fluctuations of which everything has been counted but the pools."""
        plain = {name: counted[name] for name in self.variables if name in counted}
        sketches, sizes = with_pools(plain, self.variables)
        for name, sketch in counted.items():
            if name not in plain:
                sketches[name], sizes[name] = sketch, self._entries(name)
        samples = (self.done - since) // self.quantities.mini_batch
        return Fluctuations(sketches, sizes, samples, series=self._kept())

    def _entries(self, name: str) -> int:
        """Entries of the variable of which a quantity is a part."""
        whole, _, part = name.rpartition("[")
        if part.startswith("sample "):
            return sum(self.variables.values()) if whole == POOLED else self.variables[whole]
        return self.variables[whole] // self._shapes[whole][0]

    def _kept(self) -> Series:
        """Series so far."""
        joined = {name: torch.cat(parts, dim=1).numpy() for name, parts in self._series.items() if parts}
        return Series(
            {name: self._chosen[name].cpu().numpy() for name in joined},
            {name: np.ascontiguousarray(part[0]) for name, part in joined.items()},
            {name: part[1] > 0 for name, part in joined.items()},
        )


def _units(contribution: Contribution, number: int) -> Iterator[Contribution]:
    """Gradients of the entries of one first index after the other."""
    if isinstance(contribution, UnfoldedProducts):
        contribution = contribution.whole()
    if isinstance(contribution, OuterProducts):
        yield from contribution.units()
    else:
        written = contribution if isinstance(contribution, Values) else Values(contribution.dense())
        yield from written.units(number)


def with_pools(
    sketches: Mapping[str, LogSketch], variables: Mapping[str, int]
) -> tuple[dict[str, LogSketch], dict[str, int]]:
    """Add the pool of each layer that has several variables, and that of all."""
    layers: dict[str, list[str]] = {}
    for name in sketches:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    pools = {layer: names for layer, names in layers.items() if layer and len(names) > 1}
    pools[POOLED] = list(sketches)
    pooled, sizes = dict(sketches), dict(variables)
    for pool, names in pools.items():
        pooled[pool] = LogSketch.pooled([sketches[name] for name in names])
        sizes[pool] = sum(variables[name] for name in names)
    return pooled, sizes
