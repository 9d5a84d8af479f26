"""Fixed point that a slow activation pass is heading for, found by Newton's method from where the pass has come to."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from critlearn.network.criteria import FARTHER

_NEWTON_STEPS: Final = 40
"""Largest number of steps; at a fixed point whose slope is exactly 1, each brings the state nearer by a third only."""

_MOST_ENTRIES: Final = 10**8
"""Largest number of derivatives, samples times neurons squared, that are formed: 0.8 GB; larger passes are followed."""


def accelerated(
    step: Callable[[Tensor], Tensor], state: Tensor, chosen: Tensor, remaining: Tensor, tolerance: float
) -> Tensor:
    """States of chosen samples at the fixed point that their pass is heading for; all others as they are.

    A fixed point counts if it is stable, so that a pass can end there, and no farther than the pass would still go.

    Parameters
    ----------
    step
        One step of the pass for all samples, (sample, neuron) -> (sample, neuron).
    state
        Where the pass has come to.
    chosen
        Samples whose changes shrink, shape (sample,).
    remaining
        Distance that is left, as the changes shrink, shape (sample,).
    tolerance
        Change by one more step, in units of one plus the largest state, that counts as none.
    """
    samples, neurons = state.shape
    if not bool(chosen.any()) or samples * neurons**2 > _MOST_ENTRIES:
        return state
    found = state
    for _ in range(_NEWTON_STEPS):
        gap = step(found) - found
        if bool((_size(gap) <= tolerance * (1 + _size(found)))[chosen].all()):
            break
        system = torch.eye(neurons, dtype=state.dtype, device=state.device) - _derivatives(step, found, chosen)
        # Where the system is singular the solution is not finite, and the sample is left as it is.
        solution, _ = torch.linalg.solve_ex(system, torch.where(chosen[:, None], gap, 0.0)[:, :, None])
        found = found + solution[:, :, 0]
    near = _size(found - state) <= FARTHER * remaining
    ended = _size(step(found) - found) <= tolerance * (1 + _size(found))
    good = chosen & near & ended
    multipliers = torch.linalg.eigvals(_derivatives(step, torch.where(good[:, None], found, state), good))
    good = good & (multipliers.abs().amax(dim=1) < 1)
    return torch.where(good[:, None], found, state)


def _size(states: Tensor) -> Tensor:
    return states.abs().amax(dim=1)


def _derivatives(step: Callable[[Tensor], Tensor], state: Tensor, chosen: Tensor) -> Tensor:
    """Derivatives of a step for chosen samples, shape (sample, neuron, neuron); zero for the others.

    By central differences, whose errors make Newton's method a little slower: automatic differentiation would start
    inside a pass that is itself differentiated, or displaced by its rounding.
    """
    # The cube root of the spacing of numbers balances rounding and curvature.
    length = torch.finfo(state.dtype).eps ** (1 / 3) * (1 + _size(state))
    columns = []
    for neuron in range(state.shape[1]):
        moved = torch.zeros_like(state)
        moved[:, neuron] = length
        columns.append((step(state + moved) - step(state - moved)) / (2 * length[:, None]))
    found = torch.stack(columns, dim=2)
    # Other samples' may not be finite, which no eigenvalue solver takes.
    return torch.where(chosen[:, None, None] & torch.isfinite(found), found, 0.0)
