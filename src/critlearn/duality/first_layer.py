"""The input of a network from the changes of its first layer: a ratio for dense layers, least squares for others."""

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.func import vmap

from critlearn.duality.sequence import SEPARATE, flattened, joined, used_once
from critlearn.network import ActivationModule

_CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_MOST_UNKNOWNS: Final = 4096
_RANGE: Final = 60.0
"""Largest pre-activation that is looked for behind an activation."""


def layer_input(weight_change: Tensor, bias_change: Tensor) -> Tensor | None:
    """Input of a dense layer, ``dW_ij / db_i`` for any unit i with an error: all of them together, by least squares.

    Shapes (unit, input) and (unit,) -> (input,); None where no unit has an error. Source: theory, duality map.
    """
    largest = bias_change.abs().max()
    if largest == 0:
        return None
    error, change = bias_change / largest, weight_change / largest
    return (error @ change) / (error @ error)


def input_line(weight_change: Tensor) -> Tensor | None:
    """Direction of the input of a dense layer without bias: ``dW = e x^T`` leaves its length open."""
    largest = weight_change.abs().max()
    if largest == 0:
        return None
    return torch.linalg.svd(weight_change / largest, full_matrices=False)[2][0]


def first_input(model: nn.Module, x_like: Tensor, changes: dict[str, Tensor], lr: float) -> tuple[Tensor, bool] | None:
    """Input of a sequence whose first dense layer has a bias, and whether the equations determine it.

    What stands before that layer, convolutions and activations, is gone through backwards: each convolution's input
    solves two sets of linear equations, that it gives the known output, and that it gives the known change of the
    weights (Zhu and Blaschko, R-GAP, ICLR 2021). None where something stands there that cannot be gone through.

    Parameters
    ----------
    model
        The network, tail-exact, in double precision.
    x_like
        Any input, without batch dimension.
    changes
        Changes of the trainable variables.
    lr
        Learning rate.
    """
    modules = flattened(model)
    if modules is None:
        return None
    at = next((place for place, (_, module) in enumerate(modules) if type(module) is nn.Linear), None)
    if at is None or not all(used_once(modules, module) for _, module in modules[: at + 1]):
        return None
    name, linear = modules[at]
    assert isinstance(linear, nn.Linear)
    weight, bias = changes.get(joined(name, "weight")), changes.get(joined(name, "bias"))
    if weight is None or bias is None:
        return None
    state = layer_input(weight, bias)
    if state is None:
        return None
    error = (-bias / lr) @ linear.weight.detach()
    shapes = list(_shapes([module for _, module in modules[:at]], x_like))
    determined = True
    for (name, module), shape in reversed(list(zip(modules[:at], shapes, strict=True))):
        if type(module) in (nn.Flatten, nn.Identity, nn.Dropout):
            state, error = state.reshape(shape), error.reshape(shape)
        elif type(module) in SEPARATE:
            state, error = _before_activation(module, state, error)
        elif isinstance(module, _CONVOLUTIONS):
            found = _before_convolution(module, shape, state, error, changes.get(joined(name, "weight")), lr)
            if found is None:
                return None
            state, error, full = found
            determined &= full
        else:
            return None
    return state.reshape(x_like.shape), determined


@torch.no_grad()
def _shapes(modules: list[nn.Module], x: Tensor) -> Iterator[torch.Size]:
    """Shape of the input of every module."""
    state = x[None]
    for module in modules:
        yield state.shape[1:]
        state = module(state)


def _before_activation(module: nn.Module, state: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """Pre-activations of an increasing activation, NaN where its value does not tell them, and the errors there."""
    with torch.no_grad():
        low, high = torch.full_like(state, -_RANGE), torch.full_like(state, _RANGE)
        for _ in range(80):
            middle = (low + high) / 2
            below = module(middle) < state
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        y = (low + high) / 2
        # Where a small step changes nothing, as below the kink of ReLU or far out, the value says nothing.
        flat = (module(y + 1e-3) - module(y - 1e-3)).abs() < 1e-12
    if isinstance(module, ActivationModule):
        slope = module.activation.derivative(y)
    else:
        with torch.enable_grad():
            point = y.clone().requires_grad_()
            (slope,) = torch.autograd.grad(module(point).sum(), point)
    return torch.where(flat, torch.nan, y), torch.where(flat, 0.0, slope * error)


def _before_convolution(
    module: nn.Module, shape: torch.Size, state: Tensor, error: Tensor, change: Tensor | None, lr: float
) -> tuple[Tensor, Tensor, bool] | None:
    """Input and errors before a convolution, and whether the equations determine the input."""
    unknowns = shape.numel()
    if unknowns > _MOST_UNKNOWNS:
        return None
    convolution: Any = module
    weight = convolution.weight.detach()

    def run(x: Tensor, w: Tensor) -> Tensor:
        return convolution._conv_forward(x, w, None)

    unit = torch.eye(unknowns, dtype=state.dtype, device=state.device).reshape(unknowns, *shape)
    forward = run(unit, weight).reshape(unknowns, -1).T
    offset = module(torch.zeros(1, *shape).to(state)).detach().reshape(-1)
    known = torch.isfinite(state).reshape(-1)
    rows, right = [forward[known]], [(state.reshape(-1) - offset)[known]]
    if change is not None and float(error.detach().abs().max()) > 0:
        size = error.abs().max()

        def moved(x: Tensor) -> Tensor:
            # The change of the weights is linear in the input.
            return torch.func.vjp(lambda w: run(x[None], w), weight)[1]((error / size)[None])[0].reshape(-1)

        rows.append(vmap(moved)(unit).T)
        right.append(change.reshape(-1) / (-lr * size))
    matrix, values = torch.cat(rows), torch.cat(right)
    scale = matrix.norm(dim=1).clamp(min=1e-300)
    solved = torch.linalg.lstsq(matrix / scale[:, None], (values / scale)[:, None], driver="gelsd")
    before = (error.reshape(-1) @ forward).reshape(shape)
    return solved.solution[:, 0].reshape(shape), before, int(solved.rank) == unknowns
