"""Losses as SymPy forms: value and logarithm of the slope, as functions of logarithms of distances."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import sympy as sp

from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import log_magnitude, s
from critlearn.errors import InvalidInputError

log_residual: Final = sp.Symbol("rho", real=True)
"""``ln|f - t|``: distance of the output from its target; at a class label, the gap to saturation."""

log_opposite: Final = sp.Symbol("omega", real=True)
"""``ln`` of the distance of the output from the other class's saturation value."""

log_width: Final = sp.Symbol("width", real=True)
"""``ln(sup f - inf f)``."""

output: Final = sp.Symbol("f", real=True)
"""Output ``f``, in losses that do not depend on its distances alone."""

target: Final = sp.Symbol("t", real=True)
"""Target ``t``, in losses that do not depend on distances alone."""


@dataclass(frozen=True)
class LossForms:
    """Forms of a loss below or above its target.

    Parameters
    ----------
    value
        ``H``.
    log_derivative
        ``ln|dH/df|``.
    slope
        Expression with the sign of ``dH/df``; None where ``H`` falls as the output approaches the target.
    """

    value: sp.Expr
    log_derivative: sp.Expr
    slope: sp.Expr | None = None


@dataclass(frozen=True)
class Loss:
    """Loss ``H(f, t)`` as SymPy expressions in `log_residual`, `log_opposite` and `log_width`.

    Parameters
    ----------
    name
        Name in the catalogue, with its parameter if it has one (``power:3``), or the expression.
    value
        ``H``.
    log_derivative
        ``ln|dH/df|``. ``H`` falls as ``f`` approaches its target, unless `slope` is set.
    above
        Forms where ``f > t``, for a loss that is not symmetric; None for one that is.
    slope
        Expression with the sign of ``dH/df`` where ``f < t``; None where ``H`` falls towards the target.
    formula
        ``H`` in `output` and `target`, for a loss that does not depend on distances alone: the forms for classes then
        depend on the range of the activation, see `forms`.

    Raises
    ------
    InvalidInputError
        If an expression has other symbols than these.
    """

    name: str
    value: sp.Expr
    log_derivative: sp.Expr
    above: LossForms | None = None
    slope: sp.Expr | None = None
    formula: sp.Expr | None = None

    def __post_init__(self) -> None:
        """Raise if an expression has symbols for which there are no values."""
        allowed = {log_residual, log_opposite, log_width}
        if self.formula is not None:
            allowed |= {output, target}
        for form in (self.value, self.log_derivative):
            if not sp.sympify(form).free_symbols <= allowed:
                raise InvalidInputError(
                    f'loss "{self.name}" may depend on log_residual, log_opposite and log_width; got {form}'
                )

    @property
    def needs_saturation(self) -> bool:
        """Whether the loss is defined only for class labels at the saturation values of the activation."""
        symbols = self.value.free_symbols | self.log_derivative.free_symbols
        return bool(symbols & {log_opposite, log_width})

    def forms(self, residual_sign: int, ends: tuple[float, float] | None = None) -> LossForms:
        """Forms for one sign of the residual ``f - t``.

        Parameters
        ----------
        residual_sign
            +1 where ``f > t``, -1 where ``f < t``.
        ends
            For classes, the value of the target's class and that of the other one; None for a target of any value.
        """
        if self.formula is not None and ends is not None:
            return _class_forms(self, residual_sign, ends)
        if residual_sign > 0 and self.above is not None:
            return self.above
        return LossForms(self.value, self.log_derivative, self.slope)


@lru_cache(maxsize=256)
def _class_forms(loss: Loss, residual_sign: int, ends: tuple[float, float]) -> LossForms:
    """Forms of a loss in ``f`` and ``t`` for one class of an activation that saturates.

    Close to the target the output is written as the target minus its gap, close to the other class as that class's
    value plus its gap, so that neither gap is found by subtraction.

    Raises
    ------
    InvalidInputError
        If the loss is not defined between the two values.
    """
    own, other = (sp.nsimplify(end, [sp.pi], tolerance=1e-14) for end in ends)
    formula = sp.sympify(loss.formula).subs(target, own)
    slope = sp.diff(formula, output)
    # 25 outputs between the classes, not at them: a loss such as -ln f may diverge there.
    points = float(other) + (float(own) - float(other)) * np.linspace(0.01, 0.99, 25)
    values = [evaluate(form, {output: points}) for form in (formula, slope)]
    if not all(np.isfinite(np.asarray(part, dtype=float)).all() for part in values):
        raise InvalidInputError(
            f'loss "{loss.name}" is not defined for all outputs between {float(other):g} and {float(own):g}'
        )
    sign = float(np.sign(values[1]).sum()) / points.size
    near_size, far_size = sp.exp(log_residual), sp.exp(log_opposite)
    near, far = own + residual_sign * s, other - residual_sign * s
    # ln|dH/df| as a function of each of the two distances, exact where that distance is small.
    log_near = log_magnitude(sp.Lambda(s, sp.factor_terms(slope.subs(output, near))), sp.Integer(0), near_size)
    log_far = log_magnitude(sp.Lambda(s, sp.factor_terms(slope.subs(output, far))), sp.Integer(0), far_size)
    closer = log_residual <= log_opposite

    def by_closer_distance(form: sp.Expr) -> sp.Expr:
        by_near, by_far = form.subs(output, near.subs(s, near_size)), form.subs(output, far.subs(s, far_size))
        return sp.Piecewise((by_near, closer), (by_far, True))

    return LossForms(
        by_closer_distance(formula),
        sp.Piecewise((log_near, closer), (log_far, True)),
        None if sign == residual_sign else by_closer_distance(slope),
    )
