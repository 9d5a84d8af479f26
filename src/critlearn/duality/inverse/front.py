"""Inputs of the first modules of a network with known outputs and errors, by descents where there is no closed form."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacfwd, vjp, vmap

from critlearn.duality.inverse.descent import descend
from critlearn.duality.inverse.first_layer import Front
from critlearn.duality.sequence import joined
from critlearn.errors import RAISED_BY_USER_CODE

_MARGINS: Final = (1e-2, 1e-4, 1e-7, 0.0)
"""Distances of dead units from their kink, in units of the known outputs, that descents ask for one after the other.

At the kink itself rounding would decide whether a unit is dead.
"""

_SOLVED: Final = 1e-9
"""Length of the residuals, in units of the outputs and changes, from which on no smaller margin is tried."""

_NEAR: Final = 10.0
"""Length of the residuals, in units of the margin, up to which a smaller margin may help."""

_FAR: Final = 60.0
"""Pre-activation that is dead below zero or saturated above it."""


def front_inputs(front: Front, changes: Mapping[str, Tensor], lr: float, starts: Tensor) -> list[Tensor]:
    """Find inputs that give a front its known outputs and changes, the best first; empty if it refuses ``torch.func``.

    Both are functions of the input alone, for the errors are known: no target has to be found at the same time.

    Parameters
    ----------
    front
        The modules, and what is known behind them.
    changes
        Changes of the trainable variables, by name.
    lr
        Learning rate.
    starts
        Inputs to start from, shape (start, *shape of the input).
    """
    try:
        return _descents(front, changes, lr, starts)
    except RAISED_BY_USER_CODE:
        return []


def _descents(front: Front, changes: Mapping[str, Tensor], lr: float, starts: Tensor) -> list[Tensor]:
    shape = starts.shape[1:]
    named = {
        joined(name, local): value.detach()
        for name, module in front.modules
        for local, value in module.named_parameters()
        if joined(name, local) in changes
    }
    observed = torch.cat([front.outputs.new_zeros(0), *[changes[name].reshape(-1) / -lr for name in named]])
    known, outputs, values = front.known.reshape(-1), front.outputs.reshape(-1), front.values.reshape(-1)
    size = float(outputs[known].norm()) or 1.0
    size_of_changes = float(observed.norm()) or 1.0
    # Towards the kink: a dead ReLU has the value of its lower end.
    lower = _through(front.after, torch.full_like(outputs, -_FAR))
    shift = torch.where((values - lower).abs() <= 1e-6 * (1 + lower.abs()), 1.0, -1.0)

    def run(variables: dict[str, Tensor], x: Tensor) -> Tensor:
        state = x[None]
        for name, module in front.modules:
            prefix = joined(name, "")
            own = {key.removeprefix(prefix): value for key, value in variables.items() if key.startswith(prefix)}
            state = functional_call(module, own, (state,))
        return state[0]

    def residual(margin: float, x: Tensor) -> Tensor:
        pulled: Any = vjp(lambda variables: run(variables, x.reshape(shape)), named)
        output, pull = pulled
        (gradients,) = pull(front.error.reshape(output.shape))
        flat = output.reshape(-1)
        # Where the outputs are not known, an inequality: the unit must be dead, or saturated.
        missing = torch.where(known, flat - outputs, _through(front.after, flat + margin * shift) - values)
        found = torch.cat([flat.new_zeros(0), *[gradients[name].reshape(-1) for name in named]])
        return torch.cat([missing / size, (found - observed) / size_of_changes])

    points = starts.reshape(len(starts), -1)
    lengths = points.new_zeros(len(points))
    for margin in _MARGINS:
        scaled = margin * max(1e-3, size / max(1, int(known.sum())) ** 0.5)
        one = partial(residual, scaled)
        points, lengths = descend(partial(_each, vmap(one)), partial(_each, vmap(jacfwd(one))), points)
        # Without the margin only those that it keeps from the solution come nearer.
        near = lengths <= _NEAR * margin
        if bool((lengths <= _SOLVED).any()) or not bool(near.any()):
            break
        points, lengths = points[near], lengths[near]
    return [points[at].reshape(shape) for at in lengths.argsort().tolist() if bool(lengths[at].isfinite())]


def _each(function: Callable[[Tensor], Tensor], points: Tensor, _: Tensor) -> Tensor:
    """Values at points, whatever starts they come from."""
    return function(points)


def _through(modules: list[nn.Module], state: Tensor) -> Tensor:
    for module in modules:
        state = module(state)
    return state
