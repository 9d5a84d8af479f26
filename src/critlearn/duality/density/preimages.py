"""Preimages of many values of a square map at once, by Newton's method from many starts."""

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import torch
from torch import Tensor

_STEP: Final = 1e-2
"""First step along the lost direction in the search for a fold near a point, in units of the point's length."""

_STEPS: Final = 12
"""Number of times that this step shrinks by eight: down to 1e-13, where it is only rounding."""

_ITERATIONS: Final = 25
"""Steps of Newton's method from each start: it doubles its digits with each, or halves the gap on a fold."""

_FARTHEST: Final = 1e100
"""Longest step of Newton's method: shorter by all halvings it still leads far beyond, and its square is finite."""

_HALVINGS: Final = 8
"""Number of times that a step is halved which does not reduce the gap; then the start is given up."""


@runtime_checkable
class SquareMap(Protocol):
    """Protocol of a map between two spaces of equal dimension K, such as `RestrictedMap`."""

    def __call__(self, points: Tensor) -> Tensor:
        """Values, shape (sample, K) -> (sample, K)."""
        ...

    def jacobians(self, points: Tensor) -> Tensor:
        """Derivatives, shape (sample, K) -> (sample, K, K)."""
        ...


@dataclass(frozen=True, eq=False)
class Preimages:
    """Points that a square map takes to given values.

    Parameters
    ----------
    points
        Shape (preimage, K).
    jacobians
        Derivatives there, shape (preimage, K, K).
    value
        Number of the value of each, shape (preimage,).
    """

    points: Tensor
    jacobians: Tensor
    value: Tensor


def find_preimages(square: SquareMap, values: Tensor, starts: Tensor, of: Tensor, tolerance: float) -> Preimages:
    """Find the preimages of values, and those beyond a fold from each.

    Parameters
    ----------
    square
        The map.
    values
        Shape (value, K).
    starts, of
        Points to start from, shape (start, K), and the number of the value that each is for.
    tolerance
        Largest deviation from a value, relative to its size.
    """
    sizes = values.norm(dim=1)
    points, owners = starts[:0], of[:0]
    matrices = starts.new_zeros(0, starts.shape[1], starts.shape[1])
    while len(starts):
        found, owner = _newton(square, values, starts, of, tolerance * sizes)
        slopes = square.jacobians(found)
        new = _different(found, slopes, owner, points, matrices, owners, 8 * tolerance * sizes)
        found, slopes, owner = found[new], slopes[new], owner[new]
        points, matrices, owners = (torch.cat(pair) for pair in ((points, found), (matrices, slopes), (owners, owner)))
        starts, of = _across(square, found, slopes, owner)
    return Preimages(points, matrices, owners)


def _newton(square: SquareMap, values: Tensor, points: Tensor, of: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Newton's method from all starts side by side: the points that are reached, and the numbers of their values."""
    points = points.clone()
    gaps = square(points) - values[of]
    done = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    going = gaps.norm(dim=1).isfinite().nonzero()[:, 0]
    for _ in range(_ITERATIONS):
        reached = gaps[going].norm(dim=1) <= allowed[of[going]]
        done[going[reached]] = True
        going = going[~reached]
        if not len(going):
            break
        slopes = square.jacobians(points[going])
        going, slopes = (part[slopes.isfinite().all(dim=2).all(dim=1)] for part in (going, slopes))
        steps = torch.linalg.lstsq(slopes, gaps[going][:, :, None]).solution[:, :, 0]
        # Where the map is constant to all digits a step is infinite, or beyond what a network takes.
        near = steps.abs().amax(dim=1) < _FARTHEST
        going, steps = going[near], steps[near]
        waiting = torch.ones(len(going), dtype=torch.bool, device=points.device)
        for _ in range(_HALVINGS):
            trying = waiting.nonzero()[:, 0]
            tried = points[going[trying]] - steps[trying]
            gap = square(tried) - values[of[going[trying]]]
            nearer = gap.norm(dim=1) < gaps[going[trying]].norm(dim=1)
            points[going[trying[nearer]]], gaps[going[trying[nearer]]] = tried[nearer], gap[nearer]
            waiting[trying[nearer]] = False
            if not bool(waiting.any()):
                break
            steps = steps / 2
        going = going[~waiting]
    return points[done], of[done]


def _different(
    found: Tensor, slopes: Tensor, owner: Tensor, points: Tensor, matrices: Tensor, owners: Tensor, same: Tensor
) -> Tensor:
    """Mask of the points that are different from all before them with the same value."""
    new = torch.ones(len(found), dtype=torch.bool, device=found.device)
    everything, places = torch.cat([points, found]), torch.cat([owners, owner])
    all_slopes = torch.cat([matrices, slopes])
    kept = torch.cat([torch.ones(len(points), dtype=torch.bool, device=found.device), new])
    for at in range(len(found)):
        place = len(points) + at
        earlier = (kept[:place] & (places[:place] == owner[at])).nonzero()[:, 0]
        # Two points are the same if the linearised map gives the same value: no length scale has to be chosen.
        apart = (all_slopes[earlier] @ (found[at] - everything[earlier])[:, :, None]).norm(dim=(1, 2))
        kept[place] = new[at] = bool((apart > same[owner[at]]).all())
    return new


def _across(square: SquareMap, points: Tensor, slopes: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    """Guesses of the second preimages near a fold: mirrored beyond the fold, along the lost direction.

    Two preimages within one cell of a grid have only one start in common.
    """
    if not len(points):
        return points, owner
    lost = torch.linalg.svd(slopes).Vh[:, -1]
    signs, logs = torch.linalg.slogdet(slopes)
    steps = _STEP * points.norm(dim=1).clamp(min=1e-3)
    guesses = torch.full_like(points, torch.nan)
    waiting = torch.ones(len(points), dtype=torch.bool, device=points.device)
    for _ in range(_STEPS):
        at = waiting.nonzero()[:, 0]
        if not len(at):
            break
        other_signs, other_logs = torch.linalg.slogdet(square.jacobians(points[at] + steps[at, None] * lost[at]))
        # Relative change of the determinant over the step; it vanishes at the fold, at -step / change.
        change = other_signs * signs[at] * (other_logs - logs[at]).exp() - 1
        useless = ~change.isfinite() | (change == 0)
        near = ~useless & (change.abs() < 0.5)
        guesses[at[near]] = points[at[near]] - (2 * steps[at[near]] / change[near])[:, None] * lost[at[near]]
        waiting[at[useless | near]] = False
        steps = steps / 8
    made = guesses.isfinite().all(dim=1)
    return guesses[made], owner[made]
