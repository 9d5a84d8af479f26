"""Iteration of an activation pass until states reach a fixed point, oscillate or diverge."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from critlearn.network.criteria import (
    FIXED_POINT,
    GROWING_CHANGES,
    LARGEST_STATE,
    MOST_STEPS,
    RETURNED,
    SHRINKING_CHANGES,
    SHRINKING_SLOWLY,
    SLOW_PASS,
    STEPS_OF_A_BLOCK,
)
from critlearn.network.graph.slow_convergence import accelerated


class PassStatus(StrEnum):
    """Outcome of an activation pass."""

    FIXED_POINT = "fixed point"
    OSCILLATES = "oscillates"
    DIVERGES = "diverges"
    NOT_CONVERGED = "not converged"


@dataclass(frozen=True, eq=False)
class ActivationPass:
    """States of all neurons after an activation pass.

    Parameters
    ----------
    states, pre_activations
        Shape (sample, neuron); pre-activations are ``W x + b`` of the states.
    residual
        Largest change that one more step would make, shape (sample,).
    statuses
        For each sample. A pass of a fixed number of steps makes all of them, and its end is then judged in the same
        way: a fixed point if one more step changes nothing, an oscillation if a state has recurred, otherwise not
        converged.
    periods
        Period of each sample that oscillates, 0 for the others.
    steps
        Steps that were made.
    """

    states: Tensor
    pre_activations: Tensor
    residual: Tensor
    statuses: tuple[PassStatus, ...]
    periods: tuple[int, ...]
    steps: int


@dataclass(frozen=True, eq=False)
class Iteration:
    """Last states of an iteration.

    Parameters
    ----------
    state
        Shape (sample, neuron).
    periods
        Steps after which each sample's state recurred, shape (sample,); 0 if it did not.
    steps
        Steps that were made.
    """

    state: Tensor
    periods: Tensor
    steps: int

    def judged(self, sample: int, residual: float) -> tuple[PassStatus, int]:
        """Status of one sample, and its period if it oscillates, from the change that one more step would make."""
        last = self.state[sample]
        size = 1 + float(last.abs().max())
        if not size < LARGEST_STATE:
            return PassStatus.DIVERGES, 0
        if residual <= _fixed_point(last) * size:
            return PassStatus.FIXED_POINT, 0
        period = int(self.periods[sample])
        return (PassStatus.OSCILLATES, period) if period > 1 else (PassStatus.NOT_CONVERGED, 0)


def iterate(
    step: Callable[[Tensor], Tensor],
    state: Tensor,
    steps: int | None,
    *,
    most_steps: int = MOST_STEPS,
    all_needed: bool = False,
) -> Iteration:
    """Apply a step a number of times, or until every sample is at a fixed point, oscillates or diverges.

    An earlier state is kept and compared with each later one, and replaced after 1, 2, 4, ... steps (Brent's algorithm,
    BIT 20, 1980): oscillations of any period are found. Slow changes are followed as long as they shrink or grow; the
    fixed point that shrinking ones tend to is found by Newton's method.

    Parameters
    ----------
    step, state
        The step, and the state at which to start.
    steps
        Number of steps; None for as many as it takes.
    most_steps
        Number of steps after which the iteration ends in any case, if it takes as many as it needs.
    all_needed
        Whether every sample needs a fixed point, so that the pass ends with the first one that oscillates or diverges:
        others may take a thousand times as long.
    """
    tolerance = max(RETURNED, 8 * torch.finfo(state.dtype).eps)
    periods = torch.zeros(len(state), dtype=torch.long, device=state.device)
    unknown = torch.full_like(state[:, 0], torch.inf)
    anchor, anchored, change_then, block = state, 0, unknown, _Blocks(unknown)
    made = 0
    while made < (steps or most_steps):
        new = step(state)
        made += 1
        size = 1 + new.abs().amax(dim=1)
        change = (new - state).abs().amax(dim=1)
        back = ((new - anchor).abs().amax(dim=1) <= tolerance * size) & (periods == 0)
        periods = torch.where(back, made - anchored, periods)
        state = new
        moves = made - anchored >= max(1, anchored)
        if steps is None:
            # A sample has ended at a fixed point, on a cycle, or beyond the largest state.
            going = (change > tolerance * size) & (periods == 0) & (size < LARGEST_STATE)
            if all_needed and _failed(state, size, change, periods):
                break
            if not bool(going.any()) or block.ends(change, made, going):
                break
            if moves and made >= SLOW_PASS:
                # Changes that shrink by the same factor at each step add up to this.
                shrinking = going & (change < SHRINKING_SLOWLY * change_then)
                remaining = change / -torch.expm1((change / change_then).log() / (made - anchored))
                state = accelerated(step, state, shrinking, remaining, tolerance)
        # The anchor moves at steps 1, 2, 4, ..., so that it finally stays for longer than any period.
        if moves:
            anchor, anchored, change_then = state, made, change
    return Iteration(state, periods, made)


def _failed(state: Tensor, size: Tensor, change: Tensor, periods: Tensor) -> bool:
    """Whether a sample oscillates or diverges."""
    if float(size.max()) < LARGEST_STATE and not int(periods.max()):
        return False
    return bool((((periods > 1) & (change > _fixed_point(state) * size)) | ~(size < LARGEST_STATE)).any())


def _fixed_point(state: Tensor) -> float:
    """Largest change of a state at a fixed point, in units of its size."""
    return max(FIXED_POINT, 100 * torch.finfo(state.dtype).eps)


class _Blocks:
    """Largest changes of blocks of steps, which tell whether a pass still comes closer to anything."""

    def __init__(self, unknown: Tensor) -> None:
        self._largest, self._lowest, self._highest = torch.zeros_like(unknown), unknown, torch.zeros_like(unknown)

    def ends(self, change: Tensor, made: int, going: Tensor) -> bool:
        """Take the changes of one more step; whether a block ends with it in which no sample that goes on got on."""
        self._largest = torch.maximum(self._largest, change)
        if made % STEPS_OF_A_BLOCK:
            return False
        on = (self._largest < SHRINKING_CHANGES * self._lowest) | (self._largest > GROWING_CHANGES * self._highest)
        self._lowest = torch.minimum(self._lowest, self._largest)
        self._highest = torch.maximum(self._highest, self._largest)
        self._largest = torch.zeros_like(change)
        return not bool((on & going).any())
