"""Activations with which a loss has the error signal ``e_q(-m)`` at positive margins: ``f = H^-1(h(m))``."""

import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from critlearn.compositions import Activation
from critlearn.compositions.symbolic.functions import y


def activation_for_power(exponent: float, power: sp.Expr) -> Activation:
    """Activation for the loss ``|f - t|^p``: ``f = 1 - e_q(-m)^a`` with ``a = (2 - q)/p``.

    The loss ``(1 - f)^p = e_q(-m)^(2-q)`` then has the slope ``-(2 - q) e_q(-m)``.
    """
    q, log_e = _q_exponential(exponent)
    a = (2 - q) / power
    return Activation(
        f"design:{exponent:g},power:{power}",
        range=(-1.0, 1.0),
        value=-expm1(a * log_e),
        log_derivative=sp.log(a) + (a - 1 + q) * log_e,
        log_upper_gap=a * log_e,
        log_lower_gap=sp.log(2 - sp.exp(a * log_e)),
    )


def activation_for_cross_entropy(exponent: float) -> Activation:
    """Activation for cross-entropy: ``f = 2 exp(-ln 2 e_q(-m)^(2-q)) - 1``.

    The loss is ``-ln((1 + f)/2) = ln 2 e_q(-m)^(2-q)``. The factor ln 2 makes ``f(0) = 0``, as ``e_q(0) = 1``.
    """
    q, log_e = _q_exponential(exponent)
    loss = sp.log(2) * sp.exp((2 - q) * log_e)
    return Activation(
        f"design:{exponent:g},bce",
        range=(-1.0, 1.0),
        value=2 * sp.exp(-loss) - 1,
        log_derivative=sp.log(2 * sp.log(2) * (2 - q)) - loss + log_e,
        log_upper_gap=sp.log(2) + sp.log(-expm1(-loss)),
        log_lower_gap=sp.log(2) - loss,
    )


def _q_exponential(exponent: float) -> tuple[sp.Expr, sp.Expr]:
    """Exponent q as a rational number, and ``ln e_q(-m)`` for a margin ``m = y``."""
    q = sp.nsimplify(exponent, rational=True)
    return q, -y if q == 1 else -log1p((q - 1) * y) / (q - 1)
