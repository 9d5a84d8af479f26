"""Signs of criticality in what was measured, and what they say together."""

import math
from collections.abc import Sequence
from enum import StrEnum

from critlearn.dynamics.branching import BranchingRatio
from critlearn.dynamics.crackling import total_error
from critlearn.dynamics.criteria import (
    DURATION_DECADES,
    LEAST_CORRELATION,
    NEAR_ONE,
    SAME,
    SCALE_FREE_DECADES,
    TREND_LEVEL,
)
from critlearn.dynamics.observables import ActivityStatistics, AvalancheStatistics
from critlearn.inference import Grade, PowerLawFit


class Criticality(StrEnum):
    """What a series says about criticality.

    ``consistent with criticality``: every sign is there, and no surrogate has them with the same exponents.
    ``not critical``: the branching ratio is below 1 for certain, or two other signs are not there; a single law of a
    critical series is rejected once in ten times by chance. ``cannot tell``: anything else, such as a series with
    a trend, or one that is shorter than 50 of its autocorrelation times.
    """

    CONSISTENT = "consistent with criticality"
    NOT_CRITICAL = "not critical"
    CANNOT_TELL = "cannot tell"


def signs_of(observed: ActivityStatistics, surrogates: Sequence[ActivityStatistics]) -> dict[str, bool | None]:
    """Signs of criticality, and whether the exponents are others than those of every surrogate."""
    avalanches = observed.avalanches
    relation = None if avalanches.relation is None else avalanches.relation.holds
    same = [_same(avalanches, surrogate.avalanches) for surrogate in surrogates]
    return {
        "sizes": _scale_free(avalanches.sizes, SCALE_FREE_DECADES),
        "durations": _scale_free(avalanches.durations, DURATION_DECADES),
        "relation": relation,
        "branching": _near_one(observed.branching, resolved=observed.autocorrelation.resolved),
        "stationary": _stationary(observed),
        "beyond surrogates": False if True in same else None if None in same else True,
    }


def _stationary(observed: ActivityStatistics) -> bool | None:
    """Whether the activity has no trend; not known of a series that its correlations outlast."""
    if observed.trend_p_value < TREND_LEVEL:
        return False
    return True if observed.autocorrelation.resolved else None


def _same(observed: AvalancheStatistics, surrogate: AvalancheStatistics) -> bool | None:
    """Whether exponents of sizes and mean sizes are within two errors of each other; None where one is not known.

    A random walk, the surrogate of everything that remembers for long, has scale-free excursions too: of sizes 4/3.
    What tests say of its laws does not matter: they reject by chance, and where there are very many values.
    """
    found = [
        None if a is None or b is None else abs(a[0] - b[0]) <= SAME * math.hypot(a[1], b[1])
        for a, b in zip(_exponents(observed), _exponents(surrogate), strict=True)
    ]
    return False if False in found else None if None in found else True


def _exponents(avalanches: AvalancheStatistics) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """Exponents of sizes and of mean sizes with their errors."""
    sizes, mean = avalanches.sizes, avalanches.mean_size
    return (
        None if sizes is None or sizes.exponent is None else (sizes.exponent, total_error(sizes)),
        None if mean.exponent is None else (mean.exponent, mean.total_error),
    )


def _near_one(ratio: BranchingRatio, *, resolved: bool) -> bool | None:
    """Whether the branching ratio may be 1.

    Not known of a series in which a slope of a tenth would not be noticed, whose decay has no single ratio, or that is
    not much longer than its correlations: its mean, which it sets itself, makes the ratio smaller.
    """
    if ratio.ci95 is not None:
        if ratio.ci95[1] >= 1 - NEAR_ONE:
            return True
        return None if ratio.is_single is False or not resolved else False
    return None if ratio.least_slope > LEAST_CORRELATION else False


def _scale_free(fit: PowerLawFit | None, decades: float) -> bool | None:
    """Whether a fit is a power law without a scale; a cut-off may be that of a finite system, or of a finite time.

    The law of a tail has an exponent above 1: below, it is the body of a distribution that ends soon after.
    """
    if fit is None or fit.grade in (Grade.TOO_FEW, Grade.CUT_OFF):
        return None
    if fit.grade not in (Grade.POWER_LAW, Grade.COMPATIBLE):
        return False
    low, high = fit.ci95_total or fit.ci95 or (-math.inf, math.inf)
    if high < 1:
        return False
    return True if low > 1 and (fit.decades or 0.0) >= decades else None


def conclusion(signs: dict[str, bool | None]) -> Criticality:
    """What the signs say together."""
    missing = [name for name in ("sizes", "durations", "relation") if signs[name] is False]
    # A trend only moves a branching ratio towards 1; of avalanches it may be all there is.
    if signs["branching"] is False:
        return Criticality.NOT_CRITICAL
    if signs["stationary"] is not False and len(missing) > 1:
        return Criticality.NOT_CRITICAL
    return Criticality.CONSISTENT if all(signs.values()) else Criticality.CANNOT_TELL
