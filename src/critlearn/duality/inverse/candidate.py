"""Candidates for the inverse of the duality map, and the choice of the best."""

import math
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from critlearn.duality.criteria import SAME_STATE

_PART: Final = 1e-6
"""Part of a coordinate in a lost direction of length 1 above which the coordinate is not determined."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """Boundary state that may be the inverse of a change.

    Parameters
    ----------
    x, t
        The state.
    residual
        ``|Phi(x, t) - dq| / |dq|``.
    unique
        Whether no other state has these changes, as far as is known.
    determined
        Whether the equations that every state with these changes satisfies have only this input as solution.
    only_target
        Whether no other target fits the input.
    alone
        Whether all searches that ended on the sheet ended in this state.
    error
        Standard error of each entry of the input; None if it is not known.
    """

    x: Tensor
    t: Tensor
    residual: float
    unique: bool
    determined: bool = False
    only_target: bool = True
    alone: bool = True
    error: Tensor | None = None


def best_candidate(found: list[Candidate], tolerance: float) -> Candidate | None:
    """Candidate with the smallest residual; unique only if all others on the sheet are the same state.

    Parameters
    ----------
    found
        Candidates of several searches.
    tolerance
        Largest residual on the sheet.
    """
    if not found:
        return None
    best = min(found, key=lambda candidate: candidate.residual)
    others = [candidate for candidate in found if candidate.residual <= tolerance]
    size = SAME_STATE * (1 + float(best.x.norm()))
    same = all(float((other.x - best.x).norm()) <= size for other in others)
    return replace(best, unique=same and any(other.unique for other in others), alone=same)


def standard_errors(slopes: Tensor, residual: float) -> tuple[int, Tensor]:
    """Rank of the Jacobian at a least-squares solution, and the standard errors of all coordinates, shape (K,).

    What the solution leaves is taken for independent noise of the same size in every change. Coordinates that have a
    part in a direction which changes nothing have infinite errors.

    Parameters
    ----------
    slopes
        Jacobian, shape (variable, K), in units of the changes.
    residual
        Length of what the solution leaves, in the same units.
    """
    rows, columns = slopes.shape
    _, values, right = torch.linalg.svd(slopes, full_matrices=rows < columns)
    largest = float(values[0]) if len(values) else 0.0
    rank = int((values > max(rows, columns) * torch.finfo(slopes.dtype).eps * largest).sum())
    spread = (right[:rank] / values[:rank, None]).norm(dim=0)
    free = right[rank:].abs().amax(dim=0) > _PART if rank < columns else torch.zeros_like(spread, dtype=torch.bool)
    left = rows - rank
    noise = residual / math.sqrt(left) if left > 0 else math.inf
    return rank, torch.where(free, math.inf, noise * spread)
