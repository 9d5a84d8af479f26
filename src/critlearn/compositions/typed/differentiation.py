"""Differentiation of a user's expressions, with an error that names the reason where there is no derivative."""

from collections.abc import Iterator
from typing import Final

import mpmath
import numpy as np
import sympy as sp

from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import expit
from critlearn.errors import InvalidInputError

SAMPLES: Final = np.sinh(np.linspace(-6.0, 6.0, 241)) + 1e-3
"""Sample points out to 200 for values and slopes of expressions; none is round, as kinks usually are."""

_CHECKED: Final = 20
"""Absolute value of the variable below which an expression must be real; beyond, floating point may overflow."""

_JUMP: Final = 1e-6
"""Difference of two values at neighbouring points above which an expression is discontinuous."""

_DIGITS: Final = 60
"""Digits where NaN is checked: ``1 - tanh(20)`` is about 1e-17, its cube multiplied out 1e-51; neither becomes 0."""


def differentiated(value: sp.Expr, symbol: sp.Symbol, kind: str) -> sp.Expr:
    """Differentiate an expression with respect to a symbol.

    Raises
    ------
    InvalidInputError
        If the value jumps, has no derivative, or does not depend on the symbol.
    """
    for place in _jumps(value, symbol):
        raise InvalidInputError(f"{kind} is not differentiable: it jumps at {symbol} = {place:.6g}")
    slope = sp.diff(value, symbol).doit()
    # The derivative of a sign: zero but at the kink, where the value has been found to be continuous.
    slope = slope.replace(sp.DiracDelta, lambda *_: sp.Integer(0))
    if slope.has(sp.Derivative):
        raise InvalidInputError(f"{kind} cannot be differentiated")
    # 1 - tanh^2 cancels in the tail; 4 expit(2x) expit(-2x) is the same without cancellation.
    slope = slope.replace(
        lambda part: part.is_Add and len(part.args) == 2 and part.args[0] == 1,
        lambda part: _sech_squared(part),
    )
    if slope == 0:
        raise InvalidInputError(f"{kind} does not depend on {symbol}")
    return slope


def _jumps(value: sp.Expr, symbol: sp.Symbol) -> Iterator[float]:
    """Yield the places at which a sign or a step changes and the value is discontinuous."""
    for part in sp.preorder_traversal(value):
        if not isinstance(part, sp.sign | sp.Heaviside):
            continue
        grid = np.sort(np.append(SAMPLES, 0.0))
        turns = np.sign(evaluate(part.args[0], {symbol: grid}))
        for at in np.flatnonzero(turns[:-1] * turns[1:] < 0):
            low, high = grid[at], grid[at + 1]
            while low < (middle := 0.5 * (low + high)) < high:
                same = np.sign(evaluate(part.args[0], {symbol: np.array([middle])})[0]) == turns[at]
                low, high = (middle, high) if same else (low, middle)
            if _gap(value, symbol, low, high) > _JUMP:
                yield high
        for at in np.flatnonzero(turns == 0):
            wide, narrow = (_gap(value, symbol, grid[at] - step, grid[at] + step) for step in (1e-9, 1e-300))
            # A root such as |y|^(1/3) is steep, but its change shrinks with the distance.
            if narrow > max(_JUMP, 0.5 * wide):
                yield float(grid[at])


def _gap(value: sp.Expr, symbol: sp.Symbol, low: float, high: float) -> float:
    """Difference of the values at two points."""
    first, second = evaluate(value, {symbol: np.array([low, high])})
    return abs(float(second) - float(first))


def _sech_squared(part: sp.Expr) -> sp.Expr:
    """Rewrite ``1 - tanh(x)^2`` as ``4 expit(2 x) expit(-2 x)``."""
    other = part.args[1]
    factor, power = other.as_coeff_Mul()
    if factor == -1 and isinstance(power, sp.Pow) and isinstance(power.base, sp.tanh) and power.exp == 2:
        x = power.base.args[0]
        return 4 * expit(2 * x) * expit(-2 * x)
    return part


def check_real(value: sp.Expr, slope: sp.Expr, symbol: sp.Symbol, kind: str) -> None:
    """Raise if a value or its derivative is not real at a sample point within `_CHECKED` of 0."""
    with np.errstate(all="ignore"):
        for form, words in ((value, "not a real number"), (slope, "not differentiable")):
            values = np.asarray(evaluate(form, {symbol: SAMPLES}), dtype=complex)
            for point in SAMPLES[np.isnan(values) & (np.abs(SAMPLES) < _CHECKED)]:
                if not _is_real(form, symbol, float(point)):
                    raise InvalidInputError(f"{kind} is {words} at {symbol} = {point:.3g}")


def _is_real(form: sp.Expr, symbol: sp.Symbol, point: float) -> bool:
    """Whether a form is real at a point where floating point gives NaN, as for ``0 * inf``."""
    with mpmath.workdps(_DIGITS):
        try:
            value = evaluate(form, {symbol: mpmath.mpf(point)})
        except OverflowError:
            return True
        except (ArithmeticError, ValueError, TypeError):
            return False
    return isinstance(value, mpmath.mpf) and bool(mpmath.isfinite(value))
