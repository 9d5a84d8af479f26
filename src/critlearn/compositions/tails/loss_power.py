"""Exponent p of ``|dH/df| ~ distance^p``, as a distance of the output goes to 0 or to infinity."""

import math
from functools import lru_cache

import sympy as sp

from critlearn.compositions.asymptotics.decay import decay_of
from critlearn.compositions.loss import LossForms, log_opposite, log_residual, log_width, output, target
from critlearn.compositions.symbolic.functions import s


def loss_power_at_limit(forms: LossForms, limit: float, t: float) -> sp.Expr | None:
    """Exponent p of ``|dH/df| ~ |f - t|^p`` as the output tends to a limit; None if it is no power there."""
    if forms.log_derivative.free_symbols & {output, target} or math.isnan(limit):
        return None
    # The output tends to some other value than its target: the slope of the loss is constant there.
    if math.isfinite(limit) and limit != t:
        return sp.Integer(0)
    return loss_power(forms.log_derivative, log_residual, vanishing=limit == t)


@lru_cache(maxsize=1024)
def loss_power(log_slope: sp.Expr, log_distance: sp.Symbol, *, vanishing: bool) -> sp.Expr | None:
    """Exponent p of ``slope ~ distance^p``, as the distance vanishes or grows; None if the slope is no power law.

    >>> loss_power(2 * log_residual, log_residual, vanishing=True)
    2
    """
    fixed = log_slope.subs({other: 0 for other in (log_residual, log_opposite, log_width) if other != log_distance})
    decay = decay_of(fixed.subs(log_distance, -sp.log(s) if vanishing else sp.log(s)))
    if decay is None or decay.power is None or len(decay.growth.terms) > 1:
        return None
    return decay.power if vanishing else -decay.power
