"""Input of a network from the changes of its first layers: a ratio behind a dense layer, least squares before it."""

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.func import vmap

from critlearn.duality.inverse.active_units import Layers, Solution, behind_units, solution_within
from critlearn.duality.sequence import SEPARATE, flattened, joined, used_once
from critlearn.network import ActivationModule

_CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_MOST_UNKNOWNS: Final = 4096
"""Largest number of entries of a convolution's input for least squares; at 4096 the dense matrix takes 134 MB."""

_PLAIN: Final = (nn.Flatten, nn.Identity, nn.Dropout)
"""Modules that change no entry."""

_RANGE: Final = 60.0
"""Largest absolute pre-activation in the bisection."""


def layer_input(weight_change: Tensor, bias_change: Tensor) -> Tensor | None:
    """Input of a dense layer, ``x_j = dW_ij / db_i`` for every unit i with an error, by least squares over the units.

    Shapes (unit, input) and (unit,) -> (input,); None if no unit has an error. Source: theory, duality map.
    """
    largest = bias_change.abs().max()
    if largest == 0:
        return None
    error, change = bias_change / largest, weight_change / largest
    return (error @ change) / (error @ error)


def input_line(weight_change: Tensor) -> Tensor | None:
    """Direction of the input of a dense layer without bias: ``dW = e x^T`` does not determine its length."""
    largest = weight_change.abs().max()
    if largest == 0:
        return None
    return torch.linalg.svd(weight_change / largest, full_matrices=False)[2][0]


@dataclass(frozen=True, eq=False)
class FirstInput:
    """Input of a network that fits the changes of its first layers.

    Parameters
    ----------
    x
        The input, without batch dimension.
    determined
        Whether no other input fits them.
    """

    x: Tensor
    determined: bool


@dataclass(frozen=True, eq=False)
class Front:
    """First modules of a network, with their known outputs and errors, whose input is still unknown.

    Parameters
    ----------
    modules
        Names and modules, in order.
    outputs
        Their outputs, where they are known; any values elsewhere.
    known
        Mask of the outputs that are known.
    after, values
        Activations that follow, and what they must give where the outputs are not known: a dead ReLU gives zero.
    error
        Derivative of the loss by the outputs.
    """

    modules: list[tuple[str, nn.Module]]
    outputs: Tensor
    known: Tensor
    after: list[nn.Module]
    values: Tensor
    error: Tensor


def first_inputs(model: nn.Module, x_like: Tensor, changes: dict[str, Tensor], lr: float) -> list[FirstInput | Front]:
    """Find the inputs of a sequence that has a dense layer with a bias, from the changes of its first layers.

    The input of that layer is known, and so is its error. What stands before it is inverted backwards: a dense layer's
    or a convolution's input solves two sets of linear equations, that it gives the known output, and that it gives the
    known change of the weights (Zhu and Blaschko, R-GAP, ICLR 2021). Where these do not determine it, or a module
    cannot be inverted, the modules up to there are a front, with known outputs and errors. An activation that falls
    before it rises, such as SiLU or GELU, has two pre-activations for some values: the inputs by the rising and by the
    falling branch are then both returned as guesses. Empty if there is no such layer, or a weight is used twice.

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
    modules = flattened(model) or []
    for at, (name, linear) in enumerate(modules):
        weight, bias = changes.get(joined(name, "weight")), changes.get(joined(name, "bias"))
        if type(linear) is not nn.Linear or weight is None or bias is None:
            continue
        # Behind a dead layer only later layers have errors.
        state = layer_input(weight, bias)
        if state is None:
            continue
        shapes = input_shapes([module for _, module in modules[: at + 1]], x_like)
        if not all(used_once(modules, module) for _, module in modules[: at + 1]) or len(shapes[at]) != 1:
            return []
        error = (-bias / lr) @ linear.weight.detach()
        # Noise of the changes is noise of the state: what is smaller than it may be zero.
        noise = (weight - torch.outer(bias, state)).square().mean().sqrt() / bias.norm()
        rising = _backwards(modules[:at], shapes[:at], state, error, changes, lr, float(noise), falling=False)
        if not _ambiguous(modules[:at]) or (isinstance(rising, FirstInput) and rising.determined):
            return [rising]
        return [rising, _backwards(modules[:at], shapes[:at], state, error, changes, lr, float(noise), falling=True)]
    return []


def _ambiguous(modules: list[tuple[str, nn.Module]]) -> bool:
    """Whether one of the modules is an activation that falls before it rises."""
    return any(type(module) in SEPARATE and _turn(module) > -_RANGE for _, module in modules)


def _backwards(
    modules: list[tuple[str, nn.Module]],
    shapes: list[torch.Size],
    state: Tensor,
    error: Tensor,
    changes: dict[str, Tensor],
    lr: float,
    noise: float,
    *,
    falling: bool,
) -> FirstInput | Front:
    """Invert the modules before a dense layer, from that layer's input and the errors there."""
    determined, known, values = True, torch.ones_like(state, dtype=torch.bool), state
    after: list[nn.Module] = []
    place = len(modules)
    while place:
        place -= 1
        (name, module), shape = modules[place], shapes[place]
        if type(module) in _PLAIN:
            state, error, known, values = (part.reshape(shape) for part in (state, error, known, values))
            continue
        if type(module) in SEPARATE:
            state, slope, invertible, certain = _before_activation(module, state, noise, falling=falling)
            error, known, determined = slope * error, known & invertible, determined and certain
            after = [module, *after]
            continue
        if type(module) is nn.Linear or isinstance(module, _CONVOLUTIONS):
            change = changes.get(joined(name, "weight"))
            # Only what is dead has to stay below zero.
            bounded = bool(known.all()) or type(after[0]) is nn.ReLU
            first = all(type(before) in _PLAIN for _, before in modules[:place])
            found = _before_linear(module, shape, state, known, error, change, lr, undetermined=first and bounded)
            start = place
            if found is None and bounded and place >= 2:
                start = place - 2
                found = _before_units(modules[: place + 1], shapes[start], state, known, error, changes, lr)
            if found is not None:
                solution, error = found
                state, noise = solution.x.reshape(shapes[start]), solution.noise
                determined, place = determined and solution.determined, start
                known, after, values = torch.ones_like(state, dtype=torch.bool), [], state
                continue
        return Front(modules[: place + 1], state, known, after, values, error)
    return FirstInput(state, determined and bool(known.all()))


@torch.no_grad()
def input_shapes(modules: list[nn.Module], x: Tensor) -> list[torch.Size]:
    """Shape of the input of every module of a sequence."""
    state, found = x[None], []
    for module in modules:
        found.append(state.shape[1:])
        state = module(state)
    return found


@torch.no_grad()
def _turn(module: nn.Module) -> float:
    """Pre-activation at which an activation is lowest; the lower end of the range if it falls nowhere."""
    grid = torch.linspace(-_RANGE, _RANGE, 2401, dtype=torch.float64)
    lowest = int(module(grid).argmin())
    if lowest == 0:
        return -_RANGE
    at, width = float(grid[lowest]), float(grid[1] - grid[0])
    for _ in range(4):
        near = torch.linspace(at - width, at + width, 201, dtype=torch.float64)
        at, width = float(near[int(module(near).argmin())]), width / 50
    return at


def _before_activation(
    module: nn.Module, state: Tensor, noise: float, *, falling: bool
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Pre-activations by bisection, slopes there, mask of those that are determined, and whether they are unique.

    Of two pre-activations with the same value, `falling` chooses the one on the falling branch.
    """
    with torch.no_grad():
        turn = _turn(module)
        two = state < module(torch.full_like(state, -_RANGE)) if turn > -_RANGE else torch.zeros_like(state).bool()
        # A value above f(-60) occurs on the rising branch only.
        left = two if falling else torch.zeros_like(two)
        low = torch.where(left, -_RANGE, torch.full_like(state, turn))
        high = torch.where(left, turn, torch.full_like(state, _RANGE))
        for _ in range(80):
            middle = (low + high) / 2
            below = (module(middle) < state) ^ left
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        y = (low + high) / 2
        # If a small step changes nothing, as below the kink of ReLU or in saturation, the value determines no input;
        # neither does one that is zero, or saturated, up to four standard errors.
        flat = (module(y + 1e-3) - module(y - 1e-3)).abs() < 1e-12
        ends = module(torch.tensor([turn, _RANGE], dtype=state.dtype, device=state.device))
        if float(module(torch.tensor(turn + 1.0).to(state)) - ends[0]) < 1e-12:
            flat |= state <= ends[0] + 4 * noise
        if float(ends[1] - module(torch.tensor(_RANGE - 1.0).to(state))) < 1e-12:
            flat |= state >= ends[1] - 4 * noise
    if isinstance(module, ActivationModule):
        slope = module.activation.derivative(y)
    else:
        with torch.enable_grad():
            point = y.clone().requires_grad_()
            (slope,) = torch.autograd.grad(module(point).sum(), point)
    return y, torch.where(flat, 0.0, slope), ~flat, not bool(two.any())


def _before_linear(
    module: nn.Module,
    shape: torch.Size,
    state: Tensor,
    known: Tensor,
    error: Tensor,
    change: Tensor | None,
    lr: float,
    *,
    undetermined: bool,
) -> tuple[Solution, Tensor] | None:
    """Input of a dense layer or a convolution with partly known outputs, and the errors there; None if undetermined.

    If `undetermined`, an input that is not determined will do, and outputs that are not known are below zero.
    """
    unknowns = shape.numel()
    if unknowns > _MOST_UNKNOWNS:
        return None
    layer: Any = module
    weight = layer.weight.detach()

    def run(x: Tensor, w: Tensor) -> Tensor:
        return nn.functional.linear(x, w) if isinstance(module, nn.Linear) else layer._conv_forward(x, w, None)

    unit = torch.eye(unknowns, dtype=state.dtype, device=state.device).reshape(unknowns, *shape)
    forward = run(unit, weight).reshape(unknowns, -1).T
    offset = module(torch.zeros(1, *shape).to(state)).detach().reshape(-1)
    kept = known.reshape(-1)
    rows, right = [forward[kept]], [(state.reshape(-1) - offset)[kept]]
    if change is not None and float(error.detach().abs().max()) > 0:
        size = error.abs().max()

        def moved(x: Tensor) -> Tensor:
            # The change of the weights is linear in the input.
            return torch.func.vjp(lambda w: run(x[None], w), weight)[1]((error / size)[None])[0].reshape(-1)

        rows.append(vmap(moved)(unit).T)
        right.append(change.reshape(-1) / (-lr * size))
    matrix, values = torch.cat(rows), torch.cat(right)
    scale = matrix.norm(dim=1).clamp(min=1e-300)
    matrix, values = matrix / scale[:, None], values / scale
    solved = torch.linalg.lstsq(matrix, values[:, None], driver="gelsd")
    pulled = (error.reshape(-1) @ forward).reshape(shape)
    if int(solved.rank) < unknowns:
        within = solution_within(matrix, values, forward[~kept], -offset[~kept]) if undetermined else None
        return None if within is None else (within, pulled)
    solution = solved.solution[:, 0]
    # What is left of the equations, or their rounding, is noise that the smallest singular value makes larger: a zero
    # behind a dead unit comes back no better.
    left = (matrix @ solution - values).square().mean().sqrt() + 8 * torch.finfo(values.dtype).eps * values.norm()
    return Solution(solution, True, float(left / solved.singular_values[-1])), pulled


def _before_units(
    modules: list[tuple[str, nn.Module]],
    shape: torch.Size,
    state: Tensor,
    known: Tensor,
    error: Tensor,
    changes: dict[str, Tensor],
    lr: float,
) -> tuple[Solution, Tensor] | None:
    """Input of the last but two of the modules, which ReLU and another layer follow; None if it is not to be found."""
    (name, first), (_, between), (last, second) = modules[-3:]
    bias_change = changes.get(joined(name, "bias"))
    linear = all(type(module) is nn.Linear or isinstance(module, _CONVOLUTIONS) for module in (first, second))
    if bias_change is None or not linear or type(between) is not nn.ReLU or shape.numel() > _MOST_UNKNOWNS:
        return None
    own, others = (changes.get(joined(layer, "weight")) for layer in (name, last))
    gradients = (None if own is None else own / -lr), bias_change / -lr, (None if others is None else others / -lr)
    alone = all(type(before) in _PLAIN for _, before in modules[:-3])
    return behind_units(Layers(first, second, state, known, error, *gradients), shape, undetermined=alone)
