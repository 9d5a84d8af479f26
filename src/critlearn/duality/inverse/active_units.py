"""Input behind a layer with ReLU: the changes of its biases tell which units are active, and the rest is linear."""

import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor, nn
from torch.func import vjp, vmap

_MOST_POSITIONS: Final = 40
"""Positions of a channel up to which its active ones are sought: of 2^40 sums one in 100 matches by rounding alone."""

_MOST_PATTERNS: Final = 8
"""Largest number of patterns of active units that are tried, where several sums match."""

_ROUNDING: Final = 64 * 2.0**-52
"""Distance of a sum from the change of the bias, in units of the sum of all sizes, up to which they are equal."""

_LEAST_VALUE: Final = 1e-10
"""Singular values of the equations, in units of the largest, above which they count: rounding is 1e-15."""

_WIDEST: Final = 100.0
"""Largest size of coordinates in directions that change nothing, and of outputs of units that may be active, in units
of those of the shortest input."""

_SECONDS: Final = 1.0
"""Seconds after which the best solution so far is taken."""

_NEARLY_WIDEST: Final = 0.9
"""Relative distance from the largest margin at which a solution will do: any margin above zero does."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Input that solves linear equations and inequalities.

    Parameters
    ----------
    x
        The input, flat.
    determined
        Whether the equations have no other solution.
    noise
        Error of the entries that noise of the equations makes.
    """

    x: Tensor
    determined: bool
    noise: float


@dataclass(frozen=True, eq=False)
class Layers:
    """Two layers with ReLU between them, and what is known of them.

    Parameters
    ----------
    first, second
        Dense layers or convolutions.
    state, known, error
        Outputs of the second layer, mask of those that are known, and errors there. Those that are not known belong to
        units with ReLU that are dead.
    weight_change, bias_change, second_change
        Derivatives of the loss by the first layer's weights and biases, and by the second layer's weights; None for
        frozen weights.
    """

    first: Any
    second: Any
    state: Tensor
    known: Tensor
    error: Tensor
    weight_change: Tensor | None
    bias_change: Tensor
    second_change: Tensor | None


@dataclass(frozen=True, eq=False)
class Units:
    """Units with ReLU that may be active or not, and act on inequalities: ``effects relu(rows x + offsets)`` is added.

    Parameters
    ----------
    rows, offsets
        Shapes (unit, entry) and (unit,).
    effects
        Shape (inequality, unit).
    """

    rows: Tensor
    offsets: Tensor
    effects: Tensor


def active_units(errors: Tensor, bias_change: Tensor) -> list[Tensor]:
    """Patterns of active units whose errors add up to the change of each channel's bias, at most eight.

    The sums over all subsets of each half of a channel's positions are sorted and matched, so that 36 positions take
    2 * 2^18 sums (Horowitz and Sahni, JACM 21, 1974). Empty if a channel has too many positions, or no sum matches,
    as where the changes have more noise than rounding.

    Parameters
    ----------
    errors
        Errors behind the units, shape (channel, position).
    bias_change
        Sum of the errors of the active ones, shape (channel,).
    """
    choices: list[list[Tensor]] = []
    for row, wanted in zip(errors, bias_change.tolist(), strict=True):
        places = row.nonzero()[:, 0]
        if len(places) > _MOST_POSITIONS:
            return []
        values = row[places].cpu().numpy()
        half = len(values) // 2
        first, second = _subset_sums(values[:half]), _subset_sums(values[half:])
        order = np.argsort(second)
        allowed = _ROUNDING * np.abs(values).sum()
        low = np.searchsorted(second[order], wanted - first - allowed, side="left")
        high = np.searchsorted(second[order], wanted - first + allowed, side="right")
        found = [
            int(one) + (int(order[at]) << half)
            for one in np.flatnonzero(high > low)[: _MOST_PATTERNS + 1]
            for at in range(low[one], high[one])
        ]
        if not 0 < len(found) <= _MOST_PATTERNS:
            return []
        rows = []
        for bits in found:
            active = torch.zeros(len(row), dtype=torch.bool)
            active[places] = torch.tensor([bits >> place & 1 for place in range(len(values))], dtype=torch.bool)
            rows.append(active)
        choices.append(rows)
    return [torch.stack(rows) for rows in itertools.islice(itertools.product(*choices), _MOST_PATTERNS)]


def _subset_sums(values: np.ndarray) -> np.ndarray:
    """Sums over all subsets; bit k of a sum's number tells whether it has value k."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums, sums + value])
    return sums


def solution_within(
    equations: Tensor, right: Tensor, below: Tensor, bounds: Tensor, units: Units | None = None
) -> Solution | None:
    """Solve ``equations x = right`` with ``below x < bounds``, with the largest margin; None if that excludes all.

    Where the equations do not determine it, a linear program in the directions that they leave free finds the solution
    farthest from all bounds, with an integer for each unit that may be active or not; without bounds the shortest.

    Parameters
    ----------
    equations, right
        Shapes (equation, entry) and (equation,).
    below, bounds
        Shapes (inequality, entry) and (inequality,).
    units
        Units of which it is not known whether they are active, and which act on the inequalities.
    """
    size = equations.norm(dim=1)
    # Rows without entries say nothing of the input.
    kept = size > 1e-12 * size.sum()
    matrix, wanted = equations[kept] / size[kept, None], right[kept] / size[kept]
    left, values, directions = torch.linalg.svd(matrix, full_matrices=True)
    rank = int((values > _LEAST_VALUE * values[:1]).sum())
    x = directions[:rank].T @ ((left[:, :rank].T @ wanted) / values[:rank])
    misfit = (matrix @ x - wanted).square().mean().sqrt() + 8 * torch.finfo(x.dtype).eps * wanted.norm()
    noise = float(misfit / values[rank - 1]) if rank else 0.0
    free = directions[rank:].T
    if not free.shape[1] or not len(below):
        return Solution(x, not free.shape[1], noise)
    moved = _farthest(x, free, below, bounds, units)
    return None if moved is None else Solution(x + free @ moved, False, noise)


def _farthest(x: Tensor, free: Tensor, below: Tensor, bounds: Tensor, units: Units | None) -> Tensor | None:
    """Coordinates along free directions with the largest margin in all inequalities; None if there are none."""
    if units is None:
        units = Units(below[:0], bounds[:0], below.new_zeros(len(below), 0))
    values = units.rows @ x + units.offsets
    scale = 1e-12 + float((bounds - below @ x).abs().mean())
    length = _WIDEST * (1e-6 + float(x.abs().max()))
    most = _WIDEST * (scale + float(values.abs().max()) if len(values) else scale)
    each, none = torch.eye(len(values)).to(x), torch.zeros(len(values), len(values)).to(x)
    slopes, still = units.rows @ free, x.new_zeros(len(values), 1)
    # Unknowns: the coordinates, the margin, and for each unit its output a and whether it is active, z. With M the
    # largest output: y <= a <= y + M (1 - z), 0 <= a <= M z.
    rows = torch.cat(
        [
            torch.cat([below @ free, x.new_ones(len(below), 1), units.effects, torch.zeros_like(units.effects)], dim=1),
            torch.cat([slopes, still, -each, none], dim=1),
            torch.cat([-slopes, still, each, most * each], dim=1),
            torch.cat([torch.zeros_like(slopes), still, each, -most * each], dim=1),
        ]
    )
    limits = torch.cat([bounds - below @ x, -values, values + most, torch.zeros_like(values)])
    number = free.shape[1]
    last = [0.0] * number + [1.0] + [0.0] * (2 * len(values))
    lower = [-length] * number + [0.0] * (1 + 2 * len(values))
    upper = [length] * number + [scale] + [most] * len(values) + [1.0] * len(values)
    found = milp(
        -np.array(last),
        constraints=LinearConstraint(rows.cpu().numpy(), -np.inf, limits.cpu().numpy()),
        integrality=np.repeat([0, 1], [number + 1 + len(values), len(values)]),
        bounds=Bounds(lower, upper),
        options={"time_limit": _SECONDS, "mip_rel_gap": _NEARLY_WIDEST},
    )
    if found.x is None or not found.x[number] > 0:
        return None
    return torch.from_numpy(found.x[:number]).to(x)


@torch.no_grad()
def behind_units(layers: Layers, shape: torch.Size, *, undetermined: bool) -> tuple[Solution, Tensor] | None:
    """Input of the first of two layers with ReLU between them, and the errors there; None if it is not to be found.

    Once it is known which units are active, both layers' changes and the outputs of the second are linear in the input.

    Parameters
    ----------
    layers
        The layers, and what is known of them.
    shape
        Shape of the input.
    undetermined
        Whether an input that is not determined will do.
    """
    first, zero = layers.first, torch.zeros(1, *shape).to(layers.state)
    unit = torch.eye(shape.numel()).to(layers.state).reshape(-1, *shape)
    offset = first(zero)[0]
    pulled: Any = vjp(layers.second, offset[None])
    errors = pulled[1](layers.error[None])[0][0]
    rows = errors.reshape(len(layers.bias_change), -1)
    size = float(rows.abs().max())
    if size == 0:
        return None
    units = (first(unit) - offset).reshape(len(unit), -1).T
    told = rows.reshape(-1) != 0
    # What no error reaches is in no equation. Whether it is active matters where it reaches a unit that has to be dead.
    behind = _applied(
        layers.second, torch.eye(len(told)).to(errors)[~told].reshape(-1, *errors.shape), layers.second.weight
    )
    effects = behind.flatten(1).T[~layers.known.reshape(-1)]
    reaching = effects.abs().amax(dim=0) > 0 if effects.numel() else told[~told]
    for pattern in active_units(rows / size, layers.bias_change / size):
        active = pattern.reshape(-1).to(errors)
        signs = 1.0 - 2.0 * active[told]
        mask = active.reshape(errors.shape)
        matrix, right, dead, bounds = _equations(layers, mask, errors, size, unit)
        found = solution_within(
            matrix,
            right,
            torch.cat([signs[:, None] * units[told], dead]),
            torch.cat([-signs * offset.reshape(-1)[told], bounds]),
            Units(
                units[~told][reaching],
                offset.reshape(-1)[~told][reaching],
                torch.cat([effects.new_zeros(len(signs), int(reaching.sum())), effects[:, reaching]]),
            ),
        )
        if found is not None and (found.determined or undetermined):
            pull: Any = vjp(first, zero)
            return found, pull[1]((mask * errors)[None])[0][0]
    return None


def _equations(
    layers: Layers, mask: Tensor, errors: Tensor, size: float, unit: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Equations and inequalities for the input of two layers whose active units are known: matrices and right sides.

    Parameters
    ----------
    layers, mask, errors
        The layers; active units between them, and errors behind these.
    size
        Unit of the errors.
    unit
        Unit vectors of inputs.
    """
    first, second = layers.first, layers.second
    observed = [part.reshape(-1) / size for part in (layers.weight_change, layers.second_change) if part is not None]

    def given(x: Tensor) -> Tensor:
        """Outputs of the second layer, and changes of both."""
        between = mask * first(x[None])
        seen = [second(between).reshape(-1)]
        for layer, state, error, change in (
            (first, x[None], mask * errors, layers.weight_change),
            (second, between, layers.error, layers.second_change),
        ):
            if change is not None:
                pull: Any = vjp(partial(_applied, layer, state), layer.weight.detach())[1]
                seen.append(pull(error[None] / size)[0].reshape(-1))
        return torch.cat(seen)

    at_zero = given(torch.zeros_like(unit[0]))
    matrix = (vmap(given)(unit) - at_zero).T
    right = torch.cat([layers.state.reshape(-1), *observed]) - at_zero
    known = layers.known.reshape(-1)
    kept = torch.cat([known, known.new_ones(len(right) - len(known))])
    dead = ~known
    return matrix[kept], right[kept], matrix[: len(known)][dead], -at_zero[: len(known)][dead]


def _applied(module: Any, x: Tensor, weight: Tensor) -> Tensor:
    """Outputs of a layer without its bias, with other weights."""
    return nn.functional.linear(x, weight) if isinstance(module, nn.Linear) else module._conv_forward(x, weight, None)
