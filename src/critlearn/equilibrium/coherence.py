"""Drift along directions and one-signed drift of variables: what single variables hide where they mix signs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from critlearn.equilibrium.criteria import (
    COHERENT_BY_CHANCE,
    COHERENT_EXCEPTIONS,
    EXCEPTIONS,
    FEWEST_ONE_SIGNED,
    LARGEST_COHERENCE,
    LEAST_SHARE,
    ONE_SIGNED,
    TOLERANCE,
)
from critlearn.equilibrium.moments import Moments, joined
from critlearn.fluctuations.moments.running_moments import RunningMoments
from critlearn.fluctuations.principal_directions import PrincipalDirections
from critlearn.results import Result

_LARGEST: Final = 700.0
"""Logarithm of the largest ratio of two units: exp(700) = 1e304 is still a float."""


@dataclass(frozen=True, repr=False)
class Pull(Result):
    """Drift along one direction in the space of the trainable variables.

    Parameters
    ----------
    along
        The direction: ``weights of NAME`` or ``principal direction K``.
    ratio
        ``|D| / S`` along the direction.
    coherence
        ``|sum delta| / sum |delta|``: 1 where every sample pushes the same way; decay may make it larger.
    by_chance
        The coherence that as many changes of random signs would have: ``sqrt(2/pi) sqrt(sum delta^2) / sum |delta|``.
    """

    along: str
    ratio: float
    coherence: float
    by_chance: float

    def within(self, tolerance: float) -> bool:
        """Whether the drift is small beside the fluctuation, and is not one-signed beyond chance."""
        return self.ratio <= tolerance and not _coherent(self.coherence, self.by_chance)

    def summary(self) -> str:
        """Ratio and coherence in one line."""
        return f"{self.along}: |drift| {self.ratio:.3f} fluctuations, coherence {self.coherence:.2f}"


@dataclass(frozen=True, repr=False)
class Drift(Result):
    """Drift of a state, of the loss alone or with the decay: of single variables and along directions.

    Parameters
    ----------
    fraction
        Share of the variables that samples move, by more than rounding, with ``|D| <= tolerance S``.
    coherent
        Share of them that drift coherently: nearly all samples that move one push it the same way.
    pulls
        Drift along the weights of each layer and along the leading principal directions.
    tolerance, exceptions
        Criteria that were used.
    """

    fraction: float
    coherent: float
    pulls: tuple[Pull, ...]
    tolerance: float = TOLERANCE
    exceptions: float = EXCEPTIONS

    @property
    def reasons(self) -> tuple[str, ...]:
        """What drifts, in words; empty at equilibrium."""
        reasons = []
        if self.fraction < 1 - self.exceptions:
            reasons.append(f"only {self.fraction:.1%} of the variables have |drift| <= {self.tolerance:g} fluctuations")
        if self.coherent > COHERENT_EXCEPTIONS:
            reasons.append(f"the samples push {self.coherent:.2%} of the variables one way")
        worst = max(
            (pull for pull in self.pulls if not pull.within(self.tolerance)), key=lambda p: p.ratio, default=None
        )
        if worst is not None:
            reasons.append(f"there is a common drift along the {worst.summary()}")
        return tuple(reasons)

    @property
    def within(self) -> bool:
        """Whether nothing drifts."""
        return not self.reasons

    def summary(self) -> str:
        """Shares and the largest drift along a direction, in one line."""
        shares = f"{self.fraction:.1%} of the variables have |drift| <= {self.tolerance:g} fluctuations"
        worst = max(self.pulls, key=lambda pull: pull.ratio, default=None)
        return shares if worst is None else f"{shares}, at most {worst.ratio:.3f} along a direction"


def drift_of(
    moments: Moments,
    along: Mapping[str, RunningMoments],
    directions: PrincipalDirections | None,
    decay: Mapping[str, Tensor] | None,
    weights: Mapping[str, Tensor],
    tolerance: float,
    exceptions: float,
    resolution: float = 0.0,
) -> Drift:
    """Drift of the loss, with the change by the decay added to it if that is given.

    Parameters
    ----------
    moments
        Moments of every variable.
    along
        Moments of each variable's changes along its own values.
    directions
        Principal directions, with the components of drift and decay; None if they are not looked at.
    decay
        Change of each variable by decay; None for the drift of the loss alone.
    weights
        Values of the variables, of unit length each: the directions of ``along``.
    tolerance, exceptions
        Criteria.
    resolution
        Size of rounding errors, relative to the largest changes; see `moved_by_more_than`.
    """
    drift, fluctuation, _ = moments.flat()
    size, judged = joined(moments.size), moved_by_more_than(resolution, moments)
    if decay is not None:
        drift = drift + joined(decay).to(drift) * _ratio(0.0, moments.log_unit)
    drift, fluctuation, size = drift[judged].abs(), fluctuation[judged], size[judged]
    samples = moments.samples
    squares = (fluctuation**2 + (joined(moments.drift)[judged]) ** 2).sqrt() / math.sqrt(samples)
    coherent = _coherent(drift / size, math.sqrt(2 / math.pi) * squares / size)
    one_signed = (drift >= ONE_SIGNED * size) & (joined(moments.movers)[judged] >= FEWEST_ONE_SIGNED)
    within = (drift <= tolerance * fluctuation) & (fluctuation > 0)
    some = bool(len(drift))
    pulls = [_pull(name, part, decay, weights, samples) for name, part in along.items()]
    if directions is not None:
        pulls += _principal_pulls(directions, decay is not None, moments)
    return Drift(
        float(within.double().mean()) if some else 0.0,
        float((coherent | one_signed).double().mean()) if some else 0.0,
        tuple(pull for pull in pulls if pull is not None),
        tolerance,
        exceptions,
    )


def moved_by_more_than(resolution: float, moments: Moments) -> Tensor:
    """Mask of the variables that samples move by more than rounding, all variables one after the other.

    A bias of attention's keys changes no loss: its changes cancel to rounding errors, beside which the slightest decay
    is a drift.

    Parameters
    ----------
    resolution
        Size of rounding errors, relative to the largest mean size of the changes of the samples that move a variable;
        0 where nothing cancels.
    moments
        Moments of every variable.
    """
    movers = joined(moments.movers)
    # Of those that move it, as rare words are moved by few samples.
    size = joined(moments.size) * moments.samples / movers.clamp(min=1)
    return (movers > 0) & (size > resolution * size.max())


def _coherent(coherence: Tensor | float, by_chance: Tensor | float) -> Tensor | bool:
    """Whether changes are coherent, and more so than chance would make them."""
    # By chance the sum has 0.8 = sqrt(2/pi) root mean squares; the bound is in those.
    limit = COHERENT_BY_CHANCE / math.sqrt(2 / math.pi) * by_chance
    if isinstance(coherence, Tensor):
        return (coherence > LARGEST_COHERENCE) & (coherence >= limit)
    return coherence > LARGEST_COHERENCE and coherence >= float(limit)


def _pull(
    name: str, part: RunningMoments, decay: Mapping[str, Tensor] | None, weights: Mapping[str, Tensor], samples: int
) -> Pull | None:
    """Drift along a variable's own values; None if they are zero or no sample changes them."""
    own, fluctuation, size = (float(value) for value in (part.drift, part.fluctuation, part.size))
    if size == 0:
        return None
    drift = own
    if decay is not None:
        drift += float((decay[name].flatten() * weights[name]).sum()) * _ratio(0.0, part.log_unit)
    return _of(f"weights of {name}", drift, own, fluctuation, size, samples)


def _of(along: str, drift: float, own: float, fluctuation: float, size: float, samples: int) -> Pull:
    """Drift along a direction, from the mean with the decay, and mean, spread and size without it."""
    ratio = abs(drift) / fluctuation if fluctuation > 0 else math.inf
    by_chance = math.sqrt(2 / math.pi) * math.hypot(fluctuation, own) / math.sqrt(samples) / size
    return Pull(along, ratio, abs(drift) / size, by_chance)


def _ratio(log_unit: float, other: float) -> float:
    """Unit in units of another one, as far as floats reach; 0 if the other is that of changes which all are zero."""
    return math.exp(min(log_unit - other, _LARGEST)) if other > -math.inf else 0.0


def _principal_pulls(directions: PrincipalDirections, decayed: bool, moments: Moments) -> list[Pull]:
    """Drift along the principal directions: of all samples, beside spread and size of those that made them."""
    components = directions.components()
    shift, unit = _ratio(moments.log_unit, directions.log_unit), _ratio(0.0, directions.log_unit)
    pulls = []
    for number in range(int((directions.shares >= LEAST_SHARE).sum())):
        changes = directions.projections[:, number]
        own = float(components[0, number]) * shift
        drift = own + (float(components[1, number]) * unit if decayed else 0.0)
        spread, size = float(changes.std(correction=0)), float(changes.abs().mean())
        pulls.append(_of(f"principal direction {number + 1}", drift, own, spread, size, moments.samples))
    return pulls


def unit_weights(parameters: Mapping[str, torch.nn.Parameter]) -> dict[str, Tensor]:
    """Values of every weight tensor, flat, of unit length; vectors such as biases are no layer's weights."""
    directions = {}
    for name, value in parameters.items():
        flat = value.detach().double().flatten()
        length = float(flat.norm())
        if value.dim() >= 2 and length > 0:
            directions[name] = flat / length
    return directions
