"""Candidates for the inverse of the duality map, and the choice of the best."""

from dataclasses import dataclass, replace

from torch import Tensor

from critlearn.duality.criteria import SAME_STATE


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
    """

    x: Tensor
    t: Tensor
    residual: float
    unique: bool
    determined: bool = False
    only_target: bool = True


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
    # Several descents to one state: full rank at any of them shows that the state is isolated.
    unique = any(other.unique for other in others) if same else False
    return replace(best, unique=unique)
