"""Activation functions as SymPy forms: value, and logarithms of the derivative and of the gaps to saturation."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import sympy as sp

from critlearn.compositions.symbolic.complement import difference
from critlearn.compositions.symbolic.evaluation import choose, derivative, evaluate, exp, half_line_of, sign_of
from critlearn.compositions.symbolic.functions import Array, y
from critlearn.errors import InvalidInputError


@dataclass(frozen=True)
class HalfLineForms:
    """Forms of an activation on one half-line, as expressions in the *size* of the pre-activation, `functions.y`.

    Parameters
    ----------
    value
        ``f``.
    log_derivative
        ``ln|f'|``.
    log_upper_gap, log_lower_gap
        ``ln(sup f - f)`` and ``ln(f - inf f)``; None for an activation that does not saturate at both ends.
    slope
        Expression with the sign of ``df/dy``; None where that is positive.
    """

    value: sp.Expr
    log_derivative: sp.Expr
    log_upper_gap: sp.Expr | None = None
    log_lower_gap: sp.Expr | None = None
    slope: sp.Expr | None = None


@dataclass(frozen=True)
class Activation:
    """Activation ``f``, defined by its logarithms: forms for ``y >= 0``, and for ``y < 0`` unless it is symmetric.

    All forms are SymPy expressions in `functions.y`, valid for ``y >= 0``. Without `negative` the activation is
    increasing and odd about the middle of its range: ``f(-y) = inf f + sup f - f(y)``. The gaps are never formed by
    subtraction, so they are exact in the tail.

    Parameters
    ----------
    name
        Name in the catalogue, or the expression as text.
    range
        ``(inf f, sup f)``; infinite where ``f`` does not saturate.
    value
        ``f(y)``.
    log_derivative
        ``ln|f'(y)|``.
    log_upper_gap, log_lower_gap
        ``ln(sup f - f)`` and ``ln(f - inf f)``; None unless both ends are finite and the activation is increasing.
    negative
        Forms for ``y < 0``, in ``|y|``; None for a symmetric activation.
    slope
        Expression with the sign of ``f'(y)``; None where that is positive.
    ends
        Limits of ``f`` at ``y -> -inf`` and ``+inf``, where they are not the ends of the range.

    Raises
    ------
    InvalidInputError
        If a bounded activation lacks a gap, an unbounded one has one, or a form has other symbols than ``y``.
    """

    name: str
    range: tuple[float, float]
    value: sp.Expr
    log_derivative: sp.Expr
    log_upper_gap: sp.Expr | None = None
    log_lower_gap: sp.Expr | None = None
    negative: HalfLineForms | None = None
    slope: sp.Expr | None = None
    ends: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Raise if the forms do not suffice to evaluate the activation."""
        lower, upper = self.range
        if not lower < upper:
            raise InvalidInputError(f'activation "{self.name}" needs a range (inf, sup) with inf < sup')
        gaps = [forms.log_upper_gap for forms in self._defined] + [forms.log_lower_gap for forms in self._defined]
        if any((gap is not None) != self.bounded for gap in gaps):
            raise InvalidInputError(
                f'activation "{self.name}" with range ({lower}, {upper}) needs '
                + ("both log gaps" if self.bounded else "no log gaps")
            )
        for forms in self._defined:
            expressions = (forms.value, forms.log_derivative, forms.log_upper_gap, forms.log_lower_gap, forms.slope)
            for form in expressions:
                if form is not None and not sp.sympify(form).free_symbols <= {y}:
                    raise InvalidInputError(f'activation "{self.name}" may depend on y alone; got {form}')

    @property
    def _defined(self) -> tuple[HalfLineForms, ...]:
        """Forms as they were passed: for ``y >= 0``, and for ``y < 0`` if there are any."""
        positive = HalfLineForms(self.value, self.log_derivative, self.log_upper_gap, self.log_lower_gap, self.slope)
        return (positive,) if self.negative is None else (positive, self.negative)

    @cached_property
    def bounded(self) -> bool:
        """Whether the activation saturates at both ends, increasing from ``range[0]`` to ``range[1]``."""
        return all(math.isfinite(end) for end in self.range) and self.ends is None

    @property
    def limits(self) -> tuple[float, float]:
        """Limits of ``f`` at ``y -> -inf`` and ``+inf``; NaN where there is none."""
        return self.range if self.ends is None else self.ends

    @cached_property
    def half_lines(self) -> tuple[HalfLineForms, HalfLineForms]:
        """Forms for ``y < 0`` and for ``y >= 0``, both in ``|y|``."""
        positive = self._defined[0]
        if self.negative is not None:
            return self.negative, positive
        lower, upper = self.range
        if self.log_upper_gap is None or lower == -upper:
            value = -self.value
        else:
            # Not lower + upper - value, which would lose a sigmoid's small values.
            value = sp.nsimplify(lower) + sp.exp(self.log_upper_gap)
        return HalfLineForms(value, self.log_derivative, self.log_lower_gap, self.log_upper_gap), positive

    @cached_property
    def _increasing(self) -> bool:
        """Whether no form for the sign of the slope is needed."""
        return all(forms.slope is None for forms in self.half_lines)

    def _evaluated(self, pre_activation: Array, form_of: Callable[[HalfLineForms], sp.Expr], mirror: int = 1) -> Array:
        """Values of a form on the half-line of each pre-activation; `mirror` is its parity, 1 (even) or -1 (odd)."""
        size, half_line = _folded(pre_activation)
        below, above = (form_of(forms) for forms in self.half_lines)
        values = evaluate(above, {y: size})
        # Even and odd forms need one evaluation and a sign instead of two evaluations and a choice.
        if below == above:
            return values if mirror == 1 else values * half_line
        if _opposite(below, above):
            return values if mirror == -1 else values * half_line
        return choose(half_line > 0, values, mirror * evaluate(below, {y: size}))

    def __call__(self, pre_activation: Array) -> Array:
        """``f(y)``, same shape."""
        return self._evaluated(pre_activation, lambda forms: forms.value)

    def residual(self, pre_activation: Array, target: float) -> Array:
        """``f(y) - t`` for one target, same shape; exact at any size if SymPy can cancel the target."""
        return self._evaluated(pre_activation, lambda forms: difference(forms.value, target))

    def log_slope(self, pre_activation: Array) -> Array:
        """``ln|f'(y)|``, same shape: exact where ``f'`` itself underflows."""
        return self._evaluated(pre_activation, lambda forms: forms.log_derivative)

    def slope_sign(self, pre_activation: Array) -> Array | float:
        """Sign of ``f'(y)``: the number 1.0 for an increasing activation, else an array of the same shape."""
        if self._increasing:
            return 1.0
        return sign_of(self._evaluated(pre_activation, lambda forms: _ONE if forms.slope is None else forms.slope))

    def derivative(self, pre_activation: Array) -> Array:
        """``f'(y)``, same shape."""
        return self.slope_sign(pre_activation) * exp(self.log_slope(pre_activation))

    def log_slope_derivatives(self, pre_activation: Array) -> tuple[Array, Array]:
        """First and second derivative of ``ln|f'|`` with respect to the pre-activation."""
        first = self._evaluated(pre_activation, lambda forms: derivative(forms.log_derivative, y), mirror=-1)
        second = self._evaluated(pre_activation, lambda forms: derivative(forms.log_derivative, y, y))
        return first, second

    def log_gaps(self, pre_activation: Array) -> tuple[Array, Array]:
        """``ln(sup f - f(y))`` and ``ln(f(y) - inf f)``, same shape each.

        Raises
        ------
        InvalidInputError
            If the activation does not saturate.
        """
        if self.log_upper_gap is None or self.log_lower_gap is None:
            raise InvalidInputError(f'activation "{self.name}" does not saturate: it has no gaps')
        size, half_line = _folded(pre_activation)
        upper = half_line > 0
        below, above = self.half_lines
        if self.negative is None:
            # f is odd about the middle of its range: for y < 0 the two gaps change places.
            near = evaluate(self.log_upper_gap, {y: size})
            far = evaluate(self.log_lower_gap, {y: size})
            return choose(upper, near, far), choose(upper, far, near)
        upper_gap, lower_gap = (
            choose(upper, evaluate(first, {y: size}), evaluate(second, {y: size}))
            for first, second in (
                (above.log_upper_gap, below.log_upper_gap),
                (above.log_lower_gap, below.log_lower_gap),
            )
        )
        return upper_gap, lower_gap


_ONE: Final = sp.Integer(1)


def _folded(pre_activation: Array) -> tuple[Array, Array]:
    """Absolute value of the pre-activation, and 1 or -1 for the half-line that it is on.

    Not ``abs``: its derivative at 0 is 0 in torch, which would lose the slope of the gaps there.
    """
    half_line = half_line_of(pre_activation)
    return pre_activation * half_line, half_line


@cache
def _opposite(first: sp.Expr, second: sp.Expr) -> bool:
    """Whether two forms differ only in sign, as those of an odd activation do."""
    return bool(first == -second)
