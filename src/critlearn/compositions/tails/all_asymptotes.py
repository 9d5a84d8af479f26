"""All limits of the intrinsic exponent of a composition, the one that governs the smallest fluctuations first."""

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
    """Limits at both ends of the line and at the zeros and poles of the error signal, the governing one first.

    For an output that saturates that is margin -> inf. For any other it is, of those where fluctuations become small,
    the one with the largest exponent: the density of the smallest fluctuations belongs to it.
    """
    symbolic, numeric = Allowance(SYMBOLIC_SECONDS), Allowance(NUMERIC_SECONDS)
    upper = asymptote_at_end(activation, loss, t, 1, symbolic=symbolic, numeric=numeric)
    lower = mirrored(activation, loss, t, upper) or asymptote_at_end(
        activation, loss, t, -1, symbolic=symbolic, numeric=numeric
    )
    inner = list(zeros_and_poles(activation, loss, t, symbolic))
    if activation.bounded:
        outer = [upper, lower] if t > 0 else [lower, upper]
        # Where the error is zero from some margin on, fluctuations become small at the last of its zeros.
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
