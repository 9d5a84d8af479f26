"""Boundary states that a search for an inverse has found, and the best of them."""

from dataclasses import dataclass, replace

from torch import Tensor

from critlearn.duality.criteria import SAME_STATE


@dataclass(frozen=True, eq=False)
class Candidate:
    """A boundary state that may be the one that is searched for.

    Parameters
    ----------
    x, t
        The state.
    residual
        Part of the changes that it leaves.
    unique
        Whether there is no other, as far as is known.
    determined
        Whether equations that every state with these changes fulfils leave no other input.
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
    # Descents that end in one state tell at the best of them whether anything is lost at first order.
    unique = any(other.unique for other in others) if same else False
    return replace(best, unique=unique)
