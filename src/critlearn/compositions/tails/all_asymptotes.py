"""Limits of the intrinsic exponent of a composition, in order: the one of the smallest fluctuations first."""

from dataclasses import replace
from functools import lru_cache

from critlearn.compositions.activation import Activation
from critlearn.compositions.loss import Loss
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.compositions.tails.criteria import NUMERIC_SECONDS, SYMBOLIC_SECONDS
from critlearn.compositions.tails.ends import ZERO_TAIL, asymptote_at_end, mirrored
from critlearn.compositions.tails.zeros_and_poles import zeros_and_poles
from critlearn.numerics.time_budget import Allowance

_RANK = {"small": 0, "large": 1, "constant": 2}


@lru_cache(maxsize=1024)
def all_asymptotes(activation: Activation, loss: Loss, t: float) -> tuple[Asymptote, ...]:
    """Return the limits at both ends of the line and at zeros and poles of the error signal, the governing one first.

    For an output that saturates, margin -> inf governs. For any other output, the largest exponent among the limits
    with small fluctuations governs: it dominates the density of the smallest fluctuations.
    """
    symbolic, numeric = Allowance(SYMBOLIC_SECONDS), Allowance(NUMERIC_SECONDS)
    upper = asymptote_at_end(activation, loss, t, 1, symbolic=symbolic, numeric=numeric)
    lower = mirrored(activation, loss, t, upper) or asymptote_at_end(
        activation, loss, t, -1, symbolic=symbolic, numeric=numeric
    )
    inner = list(zeros_and_poles(activation, loss, t, symbolic))
    if activation.bounded:
        outer = [upper, lower] if t > 0 else [lower, upper]
        # If the error is zero beyond some margin, fluctuations become small at that margin and not at infinity.
        last = [one for one in inner if one.fluctuations == "small"] if outer[0].tail == ZERO_TAIL else []
        return (*last, *outer, *(one for one in inner if one not in last))
    if activation.name == "identity" and (upper.exponent, upper.tail) == (lower.exponent, lower.tail):
        outer = [upper]
    else:
        outer = [replace(upper, location="y -> inf"), replace(lower, location="y -> -inf")]
    return tuple(
        sorted(
            [*outer, *inner],
            key=lambda one: (
                _RANK[one.fluctuations],
                one.exponent is None,
                -one.exponent if one.exponent else 0.0,
            ),
        )
    )
