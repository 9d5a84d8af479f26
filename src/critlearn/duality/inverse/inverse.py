"""Inverse of the duality map: from the changes that one sample induces back to the sample."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from critlearn.duality.inverse.forward_map import ForwardMap
from critlearn.duality.inverse.search import InverseSearch
from critlearn.results import Result


class InverseStatus(StrEnum):
    """Outcome of an inversion."""

    FOUND = "on the sheet"
    OFF = "not on the sheet"
    MIXED = "cannot be separated"
    VANISHING = "nothing changes"


@dataclass(frozen=True, eq=False, repr=False)
class Inverse(Result):
    """Result of an inversion: a boundary state, and how well its change fits.

    Parameters
    ----------
    x, t
        Input and target; None unless the status is ``on the sheet``.
    residual
        ``|Phi(x, t) - dq| / |dq|`` of the best boundary state that was found; infinite if there is none.
    unique
        Whether no other boundary state has this change: proved for closed forms; otherwise no other was found, and the
        Jacobian has full rank.
    status
        Outcome.
    reason
        The outcome in words.
    """

    x: Tensor | None
    t: Tensor | None
    residual: float
    unique: bool
    status: InverseStatus
    reason: str

    def summary(self) -> str:
        """One line, e.g. ``on the sheet: residual 1.2e-13; unique``."""
        alone = "; unique" if self.unique else "; others may have the same change"
        return f"{self.status}: {self.reason}{alone if self.x is not None else ''}"


def invert(phi: ForwardMap, dq: Mapping[str, Tensor]) -> Inverse:
    """Find the boundary state whose change is ``dq``: see `DualityMap.invert`."""
    search = InverseSearch(phi, dq)
    if search.size == 0:
        reason = "every change is zero: any boundary state without an error has this change"
        return Inverse(None, None, math.inf, False, InverseStatus.VANISHING, reason)
    ranks = search.layer_ranks()
    mixed = _mixed(ranks)
    best = search.closed_form()
    # If the equations determine the input and it does not fit, no other can, and no search is needed.
    open_question = best is None or (best.residual > search.tolerance and not best.determined)
    if open_question and mixed is None and not search.ruled_out(ranks):
        fitted = search.by_least_squares(None if best is None else best.x)
        best = fitted if best is None or (fitted and fitted.residual < best.residual) else best
    residual = math.inf if best is None else best.residual
    if best is not None and residual <= search.tolerance:
        return Inverse(best.x, best.t, residual, best.unique, InverseStatus.FOUND, f"residual {residual:.1e}")
    if mixed is not None:
        reason = f"the changes are those of at least {mixed} samples together: a mean cannot be separated into samples"
        return Inverse(None, None, residual, False, InverseStatus.MIXED, reason)
    reason = f"no single boundary state has this change; the nearest that was found leaves {residual:.1e} of it"
    return Inverse(None, None, residual, False, InverseStatus.OFF, reason)


def _mixed(ranks: dict[str, tuple[int, int]]) -> int | None:
    """Number of samples over which a mean was taken, by the ranks of the layers' changes; None if they show no mean."""
    # A mean over n samples has rank n in each layer that is wide enough, and full rank in the others.
    most = max((rank for rank, full in ranks.values() if rank < full), default=1)
    consistent = all(rank >= min(most, full) for rank, full in ranks.values())
    return most if most > 1 and consistent else None
