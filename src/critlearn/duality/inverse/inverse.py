"""Inverse of the duality map: from the changes that one sample induces back to the sample."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from critlearn.duality.inverse.forward_map import ForwardMap
from critlearn.duality.inverse.layer_ranks import samples_of_mean
from critlearn.duality.inverse.search import InverseSearch
from critlearn.errors import InvalidInputError
from critlearn.results import Result


class InverseStatus(StrEnum):
    """Outcome of an inversion."""

    FOUND = "on the sheet"
    OFF = "not on the sheet"
    NOT_FOUND = "none was found"
    UNDETERMINED = "not determined"
    MIXED = "cannot be separated"
    VANISHING = "nothing changes"


@dataclass(frozen=True, eq=False, repr=False)
class Inverse(Result):
    """Result of an inversion: a boundary state, and how well its change fits.

    Parameters
    ----------
    x, t
        Input and target whose change is nearest; None if nothing changes, if the changes are those of several samples,
        or no state was found at all. The status tells whether it is near enough.
    residual
        ``|Phi(x, t) - dq| / |dq|`` of the best boundary state that was found; infinite if there is none.
    unique
        Whether no other boundary state has this change: proved for closed forms; otherwise no other was found, and the
        Jacobian has full rank.
    status
        Outcome. ``not on the sheet`` is proved; ``none was found`` is not. ``not determined``: none was found either,
        but fewer numbers than the input has entries determine the change, so that of the states that have it none is
        alone.
    reason
        The outcome in words.
    error
        Standard error of each entry of ``x``, if what it leaves is independent noise of the same size in every change;
        infinite where the change does not determine it. None without a state, or if the Jacobian is too large.
    """

    x: Tensor | None
    t: Tensor | None
    residual: float
    unique: bool
    status: InverseStatus
    reason: str
    error: Tensor | None = None

    def summary(self) -> str:
        """One line, e.g. ``on the sheet: residual 1.2e-13; unique``."""
        alone = "; unique" if self.unique else "; others may have the same change"
        return f"{self.status}: {self.reason}{alone if self.status is InverseStatus.FOUND else ''}"


def invert(phi: ForwardMap, dq: Mapping[str, Tensor], tolerance: float | None) -> Inverse:
    """Find the boundary state whose change is ``dq``: see `DualityMap.invert`."""
    if tolerance is not None and not (isinstance(tolerance, int | float) and 0 < tolerance < 1):
        raise InvalidInputError(
            "the tolerance is the largest residual, in units of the changes' length, of a state on the sheet: "
            f"between 0 and 1; got {tolerance!r}"
        )
    search = InverseSearch(phi, dq, tolerance)
    if search.size == 0:
        reason = "every change is zero: any boundary state without an error has this change"
        return Inverse(None, None, math.inf, False, InverseStatus.VANISHING, reason)
    ranks = search.layer_ranks()
    mixed = samples_of_mean(ranks)
    best = search.best(single=mixed is None)
    if best is not None and best.residual <= search.tolerance:
        reason = f"residual {best.residual:.1e}"
        return Inverse(best.x, best.t, best.residual, best.unique, InverseStatus.FOUND, reason, best.error)
    if mixed is not None:
        reason = f"the changes are those of at least {mixed} samples together: a mean cannot be separated into samples"
        residual = math.inf if best is None else best.residual
        return Inverse(None, None, residual, False, InverseStatus.MIXED, reason)
    # No single sample has changes of a dense layer of rank two, or an input other than the one that they determine.
    excluded = any(layer.rank > 1 for layer in ranks) or (best is not None and best.determined)
    status = InverseStatus.OFF if excluded else InverseStatus.NOT_FOUND
    said = "no single boundary state has this change" if excluded else "a boundary state may have this change"
    numbers = search.fewest_numbers()
    if not excluded and numbers < search.x_like.numel():
        status = InverseStatus.UNDETERMINED
        said = (
            f"the change depends on {numbers} numbers made of the {search.x_like.numel()} entries of the input: "
            "no boundary state has it alone"
        )
    if best is None:
        return Inverse(None, None, math.inf, False, status, f"{said}; none was found near it")
    reason = f"{said}; the nearest that was found leaves {best.residual:.1e} of it"
    return Inverse(best.x, best.t, best.residual, False, status, reason, best.error)
