"""Levenberg-Marquardt descents from many starts side by side."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

_STEPS: Final = 60
"""Steps of each descent: a solution is usually reached in ten, and from far away in forty."""

_PATIENCE: Final = 10
"""Steps over which a descent must halve the residuals to go on: near a solution it does so in every step."""

_REACHED: Final = 1e-14
"""Length of the residuals, in units in which they start near 1, at which a descent ends: rounding is of this size."""

_FARTHEST: Final = 1e100
"""Length of the residuals at a start from which no descent is tried: each step takes a factor of about e off those that
decay exponentially, 1e26 in all steps, and squares of far larger ones overflow."""

_STANDING: Final = 1e-10
"""Step, in units of the point's length, from which on a step that does not descend ends the descent."""

_FREE: Final = 1e-3
"""First damping, in units of the squared columns of the Jacobian."""

_DAMPED: Final = 1e8
"""Damping, in the same units, at which a descent is given up: its steps are then 1e-8 of a Newton step."""


def descend(
    residuals: Callable[[Tensor, Tensor], Tensor], jacobians: Callable[[Tensor, Tensor], Tensor], starts: Tensor
) -> tuple[Tensor, Tensor]:
    """Minimise the length of the residuals from many starts: the ends (start, K) and the lengths there.

    Parameters
    ----------
    residuals
        Residuals (sample, residual) of points (sample, K); the second argument is the numbers of their starts.
    jacobians
        Their derivatives, shape (sample, residual, K).
    starts
        Shape (start, K).
    """
    points = starts.clone()
    every = torch.arange(len(points), device=points.device)
    values = residuals(points, every)
    lengths = lengths_of(values)
    going = every[lengths < _FARTHEST]
    if not len(going):
        return points, lengths
    damping = torch.full_like(lengths, _FREE)
    triangles = points.new_zeros(len(points), points.shape[1], points.shape[1])
    rights, scales = torch.zeros_like(points), torch.zeros_like(points)
    moved, earlier = going, lengths.clone()
    for step in range(_STEPS):
        if len(moved):
            triangles[moved], rights[moved] = _reduced(jacobians(points[moved], moved), values[moved])
            scales[moved] = torch.maximum(scales[moved], triangles[moved].norm(dim=1))
        # A column without entries has no scale of its own: it then stands still.
        scale = torch.where(scales[going] == 0, 1.0, scales[going])
        damped = torch.diag_embed(damping[going].sqrt()[:, None] * scale)
        system = torch.cat([triangles[going], damped], dim=1)
        right = torch.cat([rights[going], torch.zeros_like(rights[going])], dim=1)
        steps = -torch.linalg.lstsq(system, right[:, :, None]).solution[:, :, 0]
        tried = points[going] + steps
        new = residuals(tried, going)
        new_lengths = lengths_of(new)
        nearer = new_lengths < lengths[going]
        small = steps.norm(dim=1) <= _STANDING * (1e-300 + points[going].norm(dim=1))
        moved = going[nearer]
        points[moved], values[moved], lengths[moved] = tried[nearer], new[nearer], new_lengths[nearer]
        damping[going] = torch.where(nearer, damping[going] / 10, damping[going] * 4)
        ended = (~nearer & small) | (lengths[going] <= _REACHED) | (damping[going] > _DAMPED) | ~steps.isfinite().all(1)
        if (step + 1) % _PATIENCE == 0:
            ended |= lengths[going] > earlier[going] / 2
            earlier = lengths.clone()
        moved = going[nearer & ~ended]
        going = going[~ended]
        if not len(going):
            break
    return points, lengths


def lengths_of(vectors: Tensor) -> Tensor:
    """Lengths of vectors in the last dimension, infinite where an entry is not finite.

    In units of the largest entry: squares of residuals of 1e160, as tiny changes have far from their state, overflow.
    """
    largest = vectors.abs().amax(dim=-1, keepdim=True)
    units = torch.where((largest > 0) & largest.isfinite(), largest, 1.0)
    lengths = units[..., 0] * (vectors / units).norm(dim=-1)
    return torch.where(vectors.isfinite().all(dim=-1), lengths, torch.inf)


def _reduced(jacobians: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Jacobians and residuals as triangles (sample, K, K) and right-hand sides (sample, K) with the same solution."""
    rows, columns = jacobians.shape[1:]
    finite = torch.nan_to_num(jacobians, nan=0.0, posinf=0.0, neginf=0.0)
    if rows < columns:
        missing = columns - rows
        padded = torch.cat([finite, finite.new_zeros(len(finite), missing, columns)], dim=1)
        return padded, torch.cat([values, values.new_zeros(len(values), missing)], dim=1)
    basis, triangles = torch.linalg.qr(finite)
    return triangles, (basis.transpose(1, 2) @ values[:, :, None])[:, :, 0]
