"""Signs of criticality in what was measured, and what they say together."""

import math
from collections.abc import Sequence
from enum import StrEnum

from critlearn.dynamics.branching import BranchingRatio
from critlearn.dynamics.crackling import total_error
from critlearn.dynamics.criteria import LEAST_CORRELATION, NEAR_ONE, SAME, SCALE_FREE_DECADES
from critlearn.dynamics.observables import ActivityStatistics
from critlearn.inference import Grade, PowerLawFit


class Criticality(StrEnum):
    """What a series says about criticality.

    ``consistent with criticality``: every sign is there, and neither surrogate has them with the same exponents.
    ``not critical``: the branching ratio is below 1 for certain, or two other signs are not there; a single law of a
    critical series is rejected once in ten times by chance. ``cannot tell``: anything else.
    """

    CONSISTENT = "consistent with criticality"
    NOT_CRITICAL = "not critical"
    CANNOT_TELL = "cannot tell"


def signs_of(observed: ActivityStatistics, controls: Sequence[ActivityStatistics]) -> dict[str, bool | None]:
    """Signs of criticality, and whether they are more than those of a surrogate.

    A surrogate has them too if none of its signs is missing for certain, and its exponents are the same.
    """
    signs = _own_signs(observed)
    copied = any(False not in _own_signs(control).values() and _same(observed, control) for control in controls)
    return {**signs, "beyond surrogates": not copied}


def _same(observed: ActivityStatistics, control: ActivityStatistics) -> bool:
    """Whether exponents of sizes and mean sizes are within two errors of each other.

    A random walk, the surrogate of everything that remembers for long, has scale-free excursions too: of sizes 4/3.
    """
    pairs = []
    for part in (observed.avalanches, control.avalanches):
        sizes, mean = part.sizes, part.mean_size
        if sizes is None or sizes.exponent is None or mean.exponent is None:
            return False
        pairs.append(((sizes.exponent, total_error(sizes)), (mean.exponent, mean.total_error)))
    return all(abs(a - b) <= SAME * math.hypot(da, db) for (a, da), (b, db) in zip(*pairs, strict=True))


def _own_signs(part: ActivityStatistics) -> dict[str, bool | None]:
    """Signs of one activity alone."""
    avalanches, ratio = part.avalanches, part.branching
    relation = None if avalanches.relation is None else avalanches.relation.holds
    return {
        "sizes": _scale_free(avalanches.sizes, SCALE_FREE_DECADES),
        "durations": _scale_free(avalanches.durations, 1.0),
        "relation": relation,
        "branching": _near_one(ratio),
    }


def _near_one(ratio: BranchingRatio) -> bool | None:
    """Whether the branching ratio may be 1; not known of a series in which a slope of a tenth would not be noticed."""
    if ratio.ci95 is not None:
        return ratio.ci95[1] >= 1 - NEAR_ONE
    return None if ratio.least_slope > LEAST_CORRELATION else False


def _scale_free(fit: PowerLawFit | None, decades: float) -> bool | None:
    """Whether a fit is a power law without a scale; a cut-off may be that of a finite system, or of a finite time."""
    if fit is None or fit.grade in (Grade.TOO_FEW, Grade.CUT_OFF):
        return None
    if fit.grade not in (Grade.POWER_LAW, Grade.COMPATIBLE):
        return False
    return True if (fit.decades or 0.0) >= decades else None


def conclusion(signs: dict[str, bool | None]) -> Criticality:
    """What the signs say together."""
    missing = [name for name in ("sizes", "durations", "relation") if signs[name] is False]
    if signs["branching"] is False or len(missing) > 1:
        return Criticality.NOT_CRITICAL
    return Criticality.CONSISTENT if all(signs.values()) else Criticality.CANNOT_TELL
