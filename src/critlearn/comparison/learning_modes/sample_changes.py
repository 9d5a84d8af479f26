"""The changes of one half of the samples as a linear operator: applied batch by batch, never formed as a matrix.

Directions are rows of one matrix (direction, variable), in which the trainable variables follow one another.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from jaxtyping import Float64
from torch import Tensor

from critlearn.comparison.learning_modes.halves import in_half, number_in_data
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.grad_sample.protocol import WRITTEN_OUT, VariableGradients
from critlearn.network.batches.model_inputs import Inputs
from critlearn.network.checks.finiteness import NonFiniteError

BATCH: Final = 128
"""Samples of a half in one pass: what is held of a dense layer is its inputs and errors for so many."""

_WRITTEN_OUT: Final = 1 << 26
"""Gradients (512 MiB) that are held where those of a whole batch have to be written out; its samples are fewer then."""


@dataclass(frozen=True, eq=False)
class SampleChanges:
    """Changes of half of the samples, ``-grad l`` at learning rate 1, as an operator (sample, variable).

    Parameters
    ----------
    gradients
        Per-sample gradients of the system.
    half
        0 for half A, from which the modes are made, 1 for half B.
    """

    gradients: PerSampleGradients
    half: int

    @cached_property
    def places(self) -> Mapping[str, slice]:
        """Where each variable stands in a direction."""
        ends = torch.tensor([0, *self.gradients.sizes.values()]).cumsum(0).tolist()
        return {name: slice(*ends[at : at + 2]) for at, name in enumerate(self.gradients.sizes)}

    @property
    def variables(self) -> int:
        """Number of trainable variables."""
        return sum(self.gradients.sizes.values())

    def batches(self, size: int = BATCH) -> Iterator[tuple[Inputs, Tensor, int]]:
        """Inputs and targets of this half, ``size`` samples at a time, and the place of the first one in it."""
        written_out = sum(self.gradients.sizes[name] for name in self.gradients.differentiated)
        if written_out:
            size = max(1, min(size, _WRITTEN_OUT // written_out))
        start, first = 0, 0
        for x, t in self.gradients.system.boundary(2 * size):
            rows = in_half(start, len(t), self.half)
            start += len(t)
            if len(rows):
                yield x[rows], t[rows], first
                first += len(rows)

    def _pieces(self, x: Inputs, t: Tensor, first: int) -> Iterator[VariableGradients]:
        """Gradients of a batch, of which the first sample has this place in the half."""
        try:
            yield from self.gradients.batch(x, t, first=first)
        except NonFiniteError as problem:
            # Numbered as the data set does.
            raise NonFiniteError(problem.where, number_in_data(problem.sample, self.half)) from None

    def mean(self) -> tuple[Float64[Tensor, " variable"], float, int]:
        """Mean change, the logarithm of its unit, and the number of samples; the unit is the largest of any sample."""
        total, unit, samples = torch.zeros(0), -math.inf, 0
        for x, t, first in self.batches():
            samples += len(t)
            for item in self._pieces(x, t, first):
                if not len(total):
                    total = item.log_scale.new_zeros(self.variables, dtype=torch.float64)
                largest = float(item.log_scale.max())
                if largest > unit:
                    total *= math.exp(unit - largest) if unit > -math.inf else 0.0
                    unit = largest
                total[self.places[item.name]] += item.grad_sample.weighted_sum(-_in_units(item.log_scale, unit))
        return total / max(1, samples), unit, samples

    def rows(self, log_unit: float) -> Iterator[Float64[Tensor, "sample variable"]]:
        """All changes written out, batch by batch, in units of ``exp(log_unit)``: for small problems."""
        for x, t, first in self.batches():
            found = torch.zeros(len(t), self.variables, dtype=torch.float64, device=t.device)
            for item in self._pieces(x, t, first):
                values = item.grad_sample.dense().double() * -_in_units(item.log_scale, log_unit)[:, None]
                found[_samples(item), self.places[item.name]] = values
            yield found

    def projections(
        self, x: Inputs, t: Tensor, first: int, directions: Float64[Tensor, "direction variable"]
    ) -> tuple[Float64[Tensor, "sample direction"], Float64[Tensor, " sample"]]:
        """Components of a batch's changes along the directions, in a unit for each sample, and the units' logarithms.

        The units are kept apart, so that the components of a sample whose changes are below 1e-308 do not vanish.
        """
        return self._projected(self._pieces(x, t, first), directions, len(t))

    def _projected(
        self, pieces: Iterator[VariableGradients] | list[VariableGradients], directions: Tensor, samples: int
    ) -> tuple[Tensor, Tensor]:
        found = directions.new_zeros(samples, len(directions))
        units = directions.new_full((samples,), -math.inf)
        for item in pieces:
            rows, variable = _samples(item), self.places[item.name]
            unit = torch.maximum(units[rows], item.log_scale.double())
            added = _times(item, directions[:, variable])
            # A change is minus the gradient.
            added = added * -_in_units(item.log_scale, unit)[:, None]
            found[rows] = found[rows] * _in_units(units[rows], unit)[:, None] + added
            units[rows] = unit
        return found, units

    def scatter_times(
        self,
        directions: Float64[Tensor, "direction variable"],
        mean: Float64[Tensor, " variable"],
        log_unit: float,
    ) -> Float64[Tensor, "direction variable"]:
        """Scatter matrix of the centred changes times the directions: sum over samples of ``change (change . v)``."""
        total = torch.zeros_like(directions)
        centre = directions @ mean
        for x, t, first in self.batches():
            pieces = list(self._pieces(x, t, first))
            components, units = self._projected(pieces, directions, len(t))
            # Centred components sum to zero over the samples, so the changes themselves need not be centred.
            weight = components * _in_units(units, log_unit)[:, None] - centre
            for item in pieces:
                factor, rows, variable = -_in_units(item.log_scale, log_unit), _samples(item), self.places[item.name]
                _add_weighted_sums(item, weight[rows] * factor[:, None], total[:, variable])
        return total


def _is_small(item: VariableGradients, variables: int) -> bool:
    """Whether all gradients of a piece may be written out: one product of matrices then does for all directions."""
    return item.grad_sample.samples * variables <= WRITTEN_OUT


def _times(
    item: VariableGradients, directions: Float64[Tensor, "direction variable"]
) -> Float64[Tensor, "sample direction"]:
    """Gradients of a piece times the directions."""
    if _is_small(item, directions.shape[1]):
        return item.grad_sample.dense().double() @ directions.T
    return torch.stack([item.grad_sample.projected(one) for one in directions], dim=1)


def _add_weighted_sums(
    item: VariableGradients,
    weight: Float64[Tensor, "sample direction"],
    total: Float64[Tensor, "direction variable"],
) -> None:
    """Add the sums of the gradients of a piece with the weights of each direction."""
    if _is_small(item, total.shape[1]):
        total += weight.T @ item.grad_sample.dense().double()
        return
    for own, row in zip(weight.T, total, strict=True):
        row += item.grad_sample.weighted_sum(own)


def _samples(item: VariableGradients) -> slice:
    """Samples of the batch that a piece is about."""
    return slice(item.start, item.start + item.grad_sample.samples)


def _in_units(logs: Tensor, log_unit: Tensor | float) -> Tensor:
    """``exp(logs - log_unit)``, zero for a logarithm of minus infinity whatever the unit."""
    return torch.where(torch.isneginf(logs), 0.0, (logs.double() - log_unit).exp())
