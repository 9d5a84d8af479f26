"""Resolution floor: the size below which measured fluctuations are rounding error, and the reference it comes from."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from critlearn.errors import InvalidInputError
from critlearn.fluctuations.criteria import (
    FEWEST_FLOOR_GRADIENTS,
    FLOOR_ENTRIES,
    FLOOR_GRADIENTS,
    FLOOR_SAMPLES,
    LOSS_SAMPLES,
    PRECISE_SAMPLES,
)
from critlearn.fluctuations.floor.high_precision import precise_network
from critlearn.fluctuations.floor.precise_loss import NoPreciseFormError
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.grad_sample.protocol import VariableGradients
from critlearn.fluctuations.result import ALL_EXACT, DOUBLE, HIGH_PRECISION, SINGLE
from critlearn.network import floor_between, is_exact
from critlearn.network.backward.displaced_arithmetic import DisplacedArithmetic
from critlearn.network.batches.model_inputs import Inputs
from critlearn.network.losses.differentiated import DifferentiatedLoss

_Logs = dict[str, Float64[np.ndarray, "_ _"]]
"""By name of the variable, shape (sample, entry); passes may have different numbers of samples."""


_UNDERFLOW: Final = -80.0
"""Logarithm of a gradient near which an output error in single precision may have underflowed, at e^-87."""

_GAIN: Final = (53 - 24) * math.log(2)
"""Logarithm of the factor by which rounding in double precision is smaller than in single: 53 binary digits for 24."""


@dataclass(frozen=True)
class Resolution:
    """Resolution of a learning pass: where its gradients turn into rounding error.

    Parameters
    ----------
    log_floor
        ``ln|gradient|`` below which gradients are mostly rounding error; None if none is seen.
    reference
        What the pass was held against; see `Fluctuations.floor_reference`.
    """

    log_floor: float | None
    reference: str

    def at_rate(self, log_rate: float) -> "Resolution":
        """Floor of fluctuations at a learning rate, given by its logarithm, in place of that of gradients."""
        return self if self.log_floor is None else replace(self, log_floor=self.log_floor + log_rate)


@dataclass(frozen=True, eq=False)
class FirstBatch:
    """Gradients that were formed of a system's first samples, in which the floor can be looked for.

    Parameters
    ----------
    x, t
        The boundary states.
    items
        Gradients of some entries of each variable.
    entries
        Flat indices of these entries by name of the variable.
    """

    x: Inputs
    t: Tensor
    items: Sequence[VariableGradients]
    entries: Mapping[str, Tensor]

    def logs(self, samples: int) -> tuple[tuple[Inputs, Tensor], _Logs, dict[str, Tensor]]:
        """The first samples, ``ln|gradient|`` of some of the entries, and which these are."""
        places = {name: _chosen(len(index)).to(index.device) for name, index in self.entries.items()}
        chosen = {name: index[places[name]] for name, index in self.entries.items()}
        every = _logs(self.items, places)
        return (self.x[:samples], self.t[:samples]), {name: logs[:samples] for name, logs in every.items()}, chosen


def measured_resolution(gradients: PerSampleGradients, first: FirstBatch | None = None) -> Resolution:
    """Resolution of a learning pass, found on a few samples and the same entries of all variables every time.

    A pass in double precision on exact modules needs no reference. Otherwise the pass is held against one at 60 digits,
    where network and loss have that form (`high_precision`). Where they have not, it is held against a pass in double
    precision in which every operation is displaced by its own rounding (`DisplacedArithmetic`): the two agree in what
    rounding does not decide, whether the pass is in double precision, in single, or planned in single and taken in
    double. A network that cannot be passed in double precision is displaced in single.

    Of a pass that is planned in single precision, some batches may be taken so and others not. Where the first samples
    are not, those of the first batch that was are looked at as well.
    Source: theory, numbers.

    Parameters
    ----------
    gradients
        Gradients of the pass.
    first
        What has been computed of the first samples already; None to compute it.
    """
    loss = gradients.system.loss
    if isinstance(loss, DifferentiatedLoss):
        of_network, of_loss = _of_network(gradients, first), _loss_floor(gradients, loss)
        floors = [floor for floor in (of_network.log_floor, of_loss) if floor is not None]
        reference = DOUBLE if of_network.reference == ALL_EXACT else of_network.reference
        return Resolution(max(floors, default=None), reference)
    return _of_network(gradients, first)


def _of_network(gradients: PerSampleGradients, known: FirstBatch | None) -> Resolution:
    """Resolution of the pass behind the output errors."""
    double = gradients.precision == torch.float64 and not gradients.mixed
    if double and all(is_exact(layer) for _, layer in gradients.layers):
        return Resolution(None, ALL_EXACT)
    samples = _samples(gradients)
    if known is None:
        entries = {name: _chosen(value.numel()) for name, value in gradients.system.parameters.items()}
        first = _states(gradients, samples)
        found = _log_gradients(gradients, *first, entries)
    else:
        first, found, entries = known.logs(samples)
    batches = [(first, found)]
    in_single = gradients.taken_in_single
    if gradients.mixed and not gradients.last_in_single and in_single is not None:
        batches.append((in_single, _log_gradients(gradients, *in_single, entries)))
    displaced = gradients.with_displaced_numbers(torch.float64)
    precise = _precise(displaced, first, entries)

    def displaced_floor(states: tuple[Inputs, Tensor], found: _Logs) -> float | None:
        return _floor(found, _log_gradients(displaced, *states, entries))

    try:
        floors = [displaced_floor(*batch) for batch in (batches if precise is None else batches[1:])]
    except (InvalidInputError, RuntimeError):
        if gradients.precision == torch.float64:
            raise
        # The network holds numbers of its own in single precision.
        displaced = gradients.with_displaced_numbers(torch.float32)
        return Resolution(_largest([displaced_floor(*batch) for batch in batches]), SINGLE)
    if precise is None:
        return Resolution(_largest(floors), DOUBLE)
    return Resolution(_largest([_floor(found, precise), *floors]), HIGH_PRECISION)


def _samples(gradients: PerSampleGradients) -> int:
    """Number of samples on which the floor is found."""
    variables = sum(gradients.sizes.values())
    return max(
        2, min(FLOOR_SAMPLES, FLOOR_GRADIENTS // variables), min(LOSS_SAMPLES, FEWEST_FLOOR_GRADIENTS // variables)
    )


def _states(gradients: PerSampleGradients, most: int) -> tuple[Inputs, Tensor]:
    """A few samples from all over the data set, whose first ones may be alike; so are those of each half of them."""
    numbers = gradients.system.scattered(most)
    return gradients.system.chosen(numbers[::2] + numbers[1::2])


def _loss_floor(gradients: PerSampleGradients, loss: DifferentiatedLoss) -> float | None:
    """Floor of a loss that is differentiated automatically: by single precision, and by displaced numbers.

    Torch has whole losses in one operation, inside which nothing is displaced: they round in single precision. What is
    rounded away in either precision, as a complement that is 0, shows where numbers are displaced.
    """
    states = _states(gradients, LOSS_SAMPLES)
    entries = {name: _chosen(value.numel()) for name, value in gradients.system.parameters.items()}
    fine = _log_gradients(gradients, *states, entries)
    coarse = _log_gradients(gradients.with_loss(replace(loss, precision=torch.float32)), *states, entries)
    # Where single precision has underflowed it tells nothing of rounding.
    kept = {name: np.where(part < _UNDERFLOW, part, coarse[name]) for name, part in fine.items()}
    floor, arithmetic = _floor(kept, fine), DisplacedArithmetic()
    displaced = gradients.with_loss(replace(loss, arithmetic=lambda: arithmetic))
    of_displaced = _floor(fine, _log_gradients(displaced, *states, entries))
    return _largest([None if floor is None else floor - _GAIN, of_displaced])


def _largest(floors: list[float | None]) -> float | None:
    return max((floor for floor in floors if floor is not None), default=None)


def _floor(coarse: _Logs, fine: _Logs) -> float | None:
    """Floor of one pass judged by another, on as many samples as the other has."""
    names = sorted(fine.keys() & coarse.keys())
    if not names:
        return None
    pairs = [(coarse[name][: len(fine[name])].ravel(), fine[name].ravel()) for name in names]
    return floor_between(np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs]))


def _precise(
    gradients: PerSampleGradients, states: tuple[Inputs, Tensor], entries: Mapping[str, Tensor]
) -> _Logs | None:
    """``ln|gradient|`` at high precision, of as many samples as cost half a second; None if there is no such form.

    ``gradients`` are those of a pass in double precision, which has the network's numbers as they are.
    """
    network = precise_network(gradients.system, gradients.layers, PRECISE_SAMPLES)
    if network is None:
        return None
    x, t = states[0][: network.samples], states[1][: network.samples]
    assert isinstance(x, torch.Tensor)
    try:
        return network.log_gradients(x, t, {name: index.cpu().numpy() for name, index in entries.items()})
    except NoPreciseFormError:
        return None


@cache
def _chosen(size: int) -> torch.Tensor:
    """Flat indices of the entries of a variable that are compared."""
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(size, generator=generator)[:FLOOR_ENTRIES] if size > FLOOR_ENTRIES else torch.arange(size)


def _log_gradients(gradients: PerSampleGradients, x: Inputs, t: Tensor, entries: Mapping[str, Tensor]) -> _Logs:
    """``ln|gradient|`` of some entries for a few samples, in the precision of the pass."""
    return _logs(gradients.unchecked(x, t), entries)


def _logs(items: Iterable[VariableGradients], entries: Mapping[str, Tensor]) -> _Logs:
    """``ln|gradient|`` of some entries of each variable."""
    parts: dict[str, dict[int, np.ndarray]] = {}
    for item in items:
        index = entries[item.name].to(item.log_scale.device)
        logs, _ = item.grad_sample.entries(index).logs()
        parts.setdefault(item.name, {})[item.start] = (logs + item.log_scale[:, None]).cpu().numpy()
    return {name: np.concatenate([pieces[start] for start in sorted(pieces)]) for name, pieces in parts.items()}
