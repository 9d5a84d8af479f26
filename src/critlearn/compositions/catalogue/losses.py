"""The catalogue of losses, one entry each.

A new loss is one entry here, one row of the reference table in the tests and one row in the docs.
"""

from typing import Final

import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from critlearn.compositions.loss import Loss, log_opposite, log_residual, log_width
from critlearn.compositions.symbolic.functions import expit, softplus
from critlearn.errors import InvalidInputError, unknown_name

_HALF: Final = sp.Rational(1, 2)
_ODDS: Final = log_residual - log_opposite


def power(p: float | sp.Rational) -> Loss:
    """Loss ``|f - t|^p``.

    Raises
    ------
    InvalidInputError
        If ``p < 1``: the error signal would diverge where the output meets its target.
    """
    exponent = sp.nsimplify(sp.sympify(p), rational=True)
    if not (exponent.is_finite and exponent >= 1):
        raise InvalidInputError(f"loss power:p needs a finite p >= 1; got {p}")
    return Loss(
        f"power:{float(exponent):g}",
        value=sp.exp(exponent * log_residual),
        log_derivative=sp.log(exponent) + (exponent - 1) * log_residual,
    )


_ENTRIES: Final = (
    # ln(width / opposite) with width = opposite + residual, so that neither end cancels.
    Loss("bce", value=softplus(log_residual - log_opposite), log_derivative=-log_opposite),
    Loss("mse", value=sp.exp(2 * log_residual), log_derivative=sp.log(2) + log_residual),
    Loss("mae", value=sp.exp(log_residual), log_derivative=sp.Integer(0)),
    Loss(
        "cauchy",
        value=softplus(2 * log_residual) / 2,
        log_derivative=log_residual - softplus(2 * log_residual),
    ),
    Loss(
        "geman-mcclure",
        value=expit(2 * log_residual) / 2,
        log_derivative=log_residual - 2 * softplus(2 * log_residual),
    ),
    Loss(
        "huber",  # e^2 / 2 up to |e| = 1, then |e| - 1/2
        value=sp.Piecewise((sp.exp(2 * log_residual) / 2, log_residual < 0), (sp.exp(log_residual) - _HALF, True)),
        log_derivative=sp.Min(log_residual, 0),
    ),
    Loss(
        "pseudo-huber",  # sqrt(1 + e^2) - 1
        value=sp.exp(2 * log_residual) / (1 + sp.sqrt(1 + sp.exp(2 * log_residual))),
        log_derivative=log_residual - softplus(2 * log_residual) / 2,
    ),
    Loss(
        "log-cosh",
        value=sp.exp(log_residual) + log1p(sp.exp(-2 * sp.exp(log_residual))) - sp.log(2),
        # tanh(e) = e to rounding for e < exp(-20); the logarithm goes on where tanh(e) itself would underflow.
        log_derivative=sp.Piecewise((log_residual, log_residual < -20), (sp.log(sp.tanh(sp.exp(log_residual))), True)),
    ),
    Loss(
        "welsch",  # (1 - exp(-e^2)) / 2
        value=-expm1(-sp.exp(2 * log_residual)) / 2,
        log_derivative=log_residual - sp.exp(2 * log_residual),
    ),
    Loss(
        "hellinger",  # 1 - sqrt(p), p = (distance from the other class) / (width of the range)
        value=-expm1(-softplus(log_residual - log_opposite) / 2),
        log_derivative=-sp.log(2) - (log_opposite + log_width) / 2,
    ),
    Loss(
        "focal",  # -(1 - p)^2 ln p
        value=sp.exp(2 * (log_residual - log_width)) * softplus(log_residual - log_opposite),
        log_derivative=log_residual
        - 2 * log_width
        + sp.Piecewise(
            # The limit for p -> 1, exact to rounding below odds of exp(-40) = 4e-18; it goes on where exp underflows.
            (_ODDS + sp.log(3), _ODDS < -40),
            (sp.log(sp.exp(_ODDS) + 2 * softplus(_ODDS)), _ODDS < 0),
            (_ODDS + log1p(2 * softplus(_ODDS) * sp.exp(-_ODDS)), True),
        ),
    ),
)

LOSSES: Final = {entry.name: entry for entry in _ENTRIES}

CROSS_ENTROPY: Final = "cross-entropy"
"""Acts on all classes at once, and so is no entry: with softmax it is `softmax.SoftmaxCrossEntropy`."""


def loss_names() -> list[str]:
    """Names of all losses; ``power:p`` stands for a family."""
    return [*LOSSES, "power:p"]


def find_loss(name: str) -> Loss:
    """Return the catalogue's loss of a name; ``power:3`` is the cube of the residual.

    Raises
    ------
    InvalidInputError
        If there is none; the message gives the nearest names.
    """
    family, _, parameter = name.partition(":")
    if family == "power":
        try:
            return power(float(parameter))
        except ValueError as problem:
            if isinstance(problem, InvalidInputError):
                raise
            raise InvalidInputError(f'loss "{name}" needs a number, as in power:3; got "{parameter}"') from None
    if name == CROSS_ENTROPY:
        raise InvalidInputError(
            f'loss "{name}" acts on all classes at once, and goes with softmax only: for one output use bce'
        )
    if name not in LOSSES:
        raise unknown_name("loss", name, [*loss_names(), CROSS_ENTROPY])
    return LOSSES[name]
