"""What an activation is: its value and the logarithms of its derivative and of its gaps to saturation."""

import math
from dataclasses import dataclass

import numpy as np
import sympy as sp

from critlearn.compositions.expressions import Array, evaluate, exp, library_of, y
from critlearn.errors import InvalidInputError


@dataclass(frozen=True)
class Activation:
    """A monotone activation ``f``, odd about the middle of its range, given by logarithms.

    All forms are SymPy expressions in `expressions.y`, valid for ``y >= 0``; negative pre-activations follow from
    ``f(-y) = inf f + sup f - f(y)``. The gaps are never formed by subtraction, so they are exact in the tail.

    Parameters
    ----------
    name
        Name in the catalogue.
    range
        ``(inf f, sup f)``; both infinite for an unbounded activation.
    value
        ``f(y)``.
    log_derivative
        ``ln f'(y)``.
    log_upper_gap, log_lower_gap
        ``ln(sup f - f)`` and ``ln(f - inf f)``; None for an unbounded activation.

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

    def __post_init__(self) -> None:
        """Refuse an activation that could not be evaluated."""
        lower, upper = self.range
        if not lower < upper:
            raise InvalidInputError(f'activation "{self.name}" needs a range (inf, sup) with inf < sup')
        gaps = (self.log_upper_gap, self.log_lower_gap)
        if any((gap is not None) != self.bounded for gap in gaps):
            raise InvalidInputError(
                f'activation "{self.name}" with range ({lower}, {upper}) needs '
                + ("both log gaps" if self.bounded else "no log gaps")
            )
        for form in (self.value, self.log_derivative, *gaps):
            if form is not None and not sp.sympify(form).free_symbols <= {y}:
                raise InvalidInputError(f'activation "{self.name}" may depend on y alone; got {form}')

    @property
    def bounded(self) -> bool:
        """Whether the activation saturates, at ``range[0]`` and ``range[1]``."""
        return all(math.isfinite(end) for end in self.range)

    def __call__(self, pre_activation: Array) -> Array:
        """``f(y)``, same shape."""
        size, upper = _folded(pre_activation)
        value = evaluate(self.value, {y: size})
        lower_end, upper_end = self.range
        if self.log_upper_gap is None or lower_end == -upper_end:
            return _choose(upper, value, -value)
        # Not upper_end - value, which would lose a sigmoid's small values.
        return _choose(upper, value, lower_end + exp(evaluate(self.log_upper_gap, {y: size})))

    def log_slope(self, pre_activation: Array) -> Array:
        """``ln f'(y)``, same shape: exact where ``f'`` itself underflows."""
        return evaluate(self.log_derivative, {y: _folded(pre_activation)[0]})

    def log_slope_derivatives(self, pre_activation: Array) -> tuple[Array, Array]:
        """First and second derivative of ``ln f'`` with respect to the pre-activation."""
        size, upper = _folded(pre_activation)
        first = evaluate(sp.diff(self.log_derivative, y), {y: size})
        second = evaluate(sp.diff(self.log_derivative, y, 2), {y: size})
        return _choose(upper, first, -first), second

    def log_gaps(self, pre_activation: Array) -> tuple[Array, Array]:
        """``ln(sup f - f(y))`` and ``ln(f(y) - inf f)``, same shape each.

        Raises
        ------
        InvalidInputError
            If the activation does not saturate.
        """
        if self.log_upper_gap is None or self.log_lower_gap is None:
            raise InvalidInputError(f'activation "{self.name}" does not saturate: it has no gaps')
        size, upper = _folded(pre_activation)
        near = evaluate(self.log_upper_gap, {y: size})
        far = evaluate(self.log_lower_gap, {y: size})
        return _choose(upper, near, far), _choose(upper, far, near)


def _folded(pre_activation: Array) -> tuple[Array, Array]:
    """Size of the pre-activation and whether it is on the upper side.

    Not ``abs``: its derivative at 0 is 0 in torch, which would lose the slope of the gaps there.
    """
    upper = pre_activation >= 0
    return _choose(upper, pre_activation, -pre_activation), upper


def _choose(condition: Array, first: Array, second: Array) -> Array:
    """``where`` of the library that the values belong to."""
    library = library_of(first)
    if library == "torch":
        return first.where(condition, second)
    if library == "mpmath":
        return first if condition else second
    return np.where(condition, first, second)
