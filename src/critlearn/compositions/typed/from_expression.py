"""Activations and losses from expressions: typed text, SymPy, or a traced callable, made into the catalogue's kind."""

import math
from collections.abc import Iterator
from typing import Final

import mpmath
import numpy as np
import sympy as sp

from critlearn.compositions.activation import Activation, HalfLineForms
from critlearn.compositions.asymptotics.asymptotic_branch import asymptotic_branch, asymptotic_sign
from critlearn.compositions.asymptotics.growth import growth, limit_of
from critlearn.compositions.asymptotics.growth_order import UndecidedError
from critlearn.compositions.asymptotics.magnitude import exact_log_magnitude
from critlearn.compositions.loss import Loss, LossForms, log_residual, output, target
from critlearn.compositions.symbolic.complement import complemented
from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import expit, s, softplus, y
from critlearn.compositions.tails.numeric_limit import numeric_limit
from critlearn.errors import InvalidInputError
from critlearn.numerics.expression_grammar import Function, parse_expression
from critlearn.numerics.time_budget import Allowance

real_y: Final = sp.Symbol("y", real=True)
"""The pre-activation in a user's expression."""

residual: Final = sp.Symbol("e", real=True)
"""``f - t`` in a user's expression of a loss."""

FUNCTIONS: Final = {
    **{name: Function(getattr(sp, name)) for name in ("exp", "log", "sqrt", "tanh", "sinh", "cosh", "sin", "cos")},
    **{name: Function(getattr(sp, name)) for name in ("atan", "asinh", "erf", "erfc", "sign")},
    "abs": Function(sp.Abs),
    "ln": Function(sp.log),
    "arctan": Function(sp.atan),
    "arcsinh": Function(sp.asinh),
    "log1p": Function(lambda x: sp.log(1 + x)),
    "expm1": Function(lambda x: sp.exp(x) - 1),
    "sigmoid": Function(expit),
    "expit": Function(expit),
    "softplus": Function(softplus),
    "relu": Function(lambda x: sp.Max(x, 0)),
    "max": Function(sp.Max, 2),
    "min": Function(sp.Min, 2),
}
"""What may be called in an expression."""

_CONSTANTS: Final = {"pi": sp.pi}
_BUDGET: Final = 0.2
_FACTOR_BUDGET: Final = 0.15
"""Processor time for one limit, and for one attempt to factor."""

_DOUBTFUL_DIGITS: Final = 400

_SAMPLES: Final = np.sinh(np.linspace(-6.0, 6.0, 241)) + 1e-3


def parse_activation(text: str) -> Activation:
    """Activation from an expression in ``y``, such as ``y/(1+abs(y)**3)**(1/3)``.

    Raises
    ------
    InvalidInputError
        If the text does not parse (with the column), or describes nothing that can be an activation.
    """
    expression = parse_expression(text, {"y": real_y, **_CONSTANTS}, FUNCTIONS, kind="activation")
    return activation_from(expression, name=text.strip())


def parse_loss(text: str) -> Loss:
    """Loss from an expression in ``f``, ``t`` or ``e = f - t``, such as ``abs(e)**3``.

    Raises
    ------
    InvalidInputError
        If the text does not parse (with the column), or describes nothing that can be a loss.
    """
    symbols = {"f": output, "t": target, "e": output - target, **_CONSTANTS}
    return loss_from(parse_expression(text, symbols, FUNCTIONS, kind="loss"), name=text.strip())


def activation_from(expression: sp.Expr, *, name: str | None = None) -> Activation:
    """Activation from a SymPy expression in one symbol.

    Raises
    ------
    InvalidInputError
        If it has other symbols, is constant, not real, or not continuous.
    """
    name = name or str(expression)
    (symbol,) = _symbols(expression, 1, f'activation "{name}"', ("y",))
    value = _with_quotients_joined(expression.subs(symbol, real_y))
    slope = _differentiated(value, real_y, f'activation "{name}"')
    _check_real(value, slope, real_y, f'activation "{name}"')
    exact_ends = tuple(_limit_at(value, end) for end in (-1, 1))
    ends = tuple(float(end) for end in exact_ends)
    rising = _rises(slope, real_y)
    lower, upper = ends if rising else (-math.inf, math.inf)
    finite = rising and math.isfinite(lower) and math.isfinite(upper)
    forms = {
        half_line: _forms_on_half_line(value, slope, half_line, exact_ends if finite else None, rising)
        for half_line in (1, -1)
    }
    # NaN at an end (sin) means that there is no limit: such an activation has a range, but does not saturate.
    if rising and not math.isnan(lower) and not math.isnan(upper):
        activation_range, limits = (lower, upper), None
    else:
        activation_range, limits = (-math.inf, math.inf), (ends[0], ends[1])
    positive = forms[1]
    return Activation(
        name,
        activation_range,
        positive.value,
        positive.log_derivative,
        positive.log_upper_gap,
        positive.log_lower_gap,
        None if _symmetric(value, activation_range, rising) else forms[-1],
        positive.slope,
        limits,
    )


def _rises(slope: sp.Expr, symbol: sp.Symbol) -> bool:
    """Whether a slope is nowhere below zero; where terms cancel to rounding, many digits tell its sign."""
    samples = evaluate(slope, {symbol: _SAMPLES})
    falling = samples < 0
    sizes = sum(np.abs(evaluate(term, {symbol: _SAMPLES})) for term in sp.Add.make_args(slope))
    doubtful = falling & (-samples < 16 * np.finfo(float).eps * sizes)
    if (falling & ~doubtful).any():
        return False
    with mpmath.workdps(_DOUBTFUL_DIGITS):
        noise = mpmath.mpf(10) ** (20 - _DOUBTFUL_DIGITS)
        return all(evaluate(slope, {symbol: mpmath.mpf(float(at))}) >= -noise for at in _SAMPLES[doubtful])


def _with_quotients_joined(expression: sp.Expr) -> sp.Expr:
    """``sinh(a)/cosh(a)`` as ``tanh(a)``: both of them overflow far out, where their quotient is all that counts."""

    def joined(product: sp.Expr) -> sp.Expr:
        powers = product.as_powers_dict()
        for factor in [factor for factor in powers if isinstance(factor, sp.sinh)]:
            argument = factor.args[0]
            shared = sp.Min(powers[factor], -powers.get(sp.cosh(argument), sp.Integer(0)))
            if shared.is_Integer and shared > 0:
                product = product * (sp.tanh(argument) * sp.cosh(argument) / factor) ** shared
        return product

    return expression.replace(lambda part: part.is_Mul, joined)


def _forms_on_half_line(
    value: sp.Expr, slope: sp.Expr, half_line: int, ends: tuple[sp.Expr, ...] | None, rising: bool
) -> HalfLineForms:
    """Forms on one half-line, in ``|y|``; gaps to the exact ends, or they would not vanish."""
    own, own_slope = (form.subs(real_y, half_line * y) for form in (value, slope))
    gaps: tuple[sp.Expr | None, ...] = (None, None)
    if ends is not None:
        lower, upper = ends
        gaps = (_log_of(complemented(upper - own)), _log_of(complemented(own - lower)))
    return HalfLineForms(own, _log_of(own_slope), gaps[0], gaps[1], None if rising else own_slope)


def _log_of(form: sp.Expr) -> sp.Expr:
    """``ln|form|`` for a form in `y`: zero where it is one, ``-inf`` where it is zero, else exact in the tail."""
    simple = _factored(form)
    if simple == 1:
        return sp.Integer(0)
    if simple.subs(y, s) == 0:
        return -sp.oo
    if simple.is_number:
        return sp.log(sp.Abs(simple))
    return exact_log_magnitude(simple.subs(y, s), y)


def _factored(form: sp.Expr) -> sp.Expr:
    """As a product where one is found quickly: products do not cancel."""
    found = Allowance(_FACTOR_BUDGET).spend(lambda: sp.factor(sp.factor_terms(form)))
    return form if found is None else found


def _symmetric(value: sp.Expr, ends: tuple[float, float], rising: bool) -> bool:
    """Whether ``f(-y) = inf f + sup f - f(y)``."""
    lower, upper = ends
    if not rising or math.isinf(lower) != math.isinf(upper):
        return False
    total = 0.0 if math.isinf(lower) else lower + upper
    points = np.array([0.1, 0.7, 1.9, 5.3, 17.0])
    both = evaluate(value, {real_y: points}) + evaluate(value, {real_y: -points})
    return bool(np.allclose(both, total, rtol=1e-12, atol=1e-12))


def loss_from(expression: sp.Expr, *, name: str | None = None) -> Loss:
    """Loss from a SymPy expression in ``f`` and ``t``, or in ``e`` alone.

    Raises
    ------
    InvalidInputError
        If it has other symbols, does not depend on the output, or is not differentiable between its kinks.
    """
    name = name or str(expression)
    named = {str(symbol): symbol for symbol in expression.free_symbols}
    kind = f'loss "{name}"'
    if not named or not set(named) <= {"e", "f", "t"}:
        raise InvalidInputError(
            f"{kind} needs to depend on e = f - t, or on f and t; got {sorted(named) or 'a constant'}"
        )
    expression = expression.subs(
        {symbol: {"e": output - target, "f": output, "t": target}[text] for text, symbol in named.items()}
    )
    by_residual = sp.simplify(expression.subs(output, target + residual)) if expression.has(target) else expression
    if by_residual.has(target) or not expression.has(target):
        return _general_loss(name, expression)
    slope = _differentiated(by_residual, residual, kind)
    _check_real(by_residual, slope, residual, kind)
    below, above = (_loss_forms(by_residual, residual_sign) for residual_sign in (-1, 1))
    return Loss(name, below.value, below.log_derivative, None if below == above else above, below.slope)


def _loss_forms(by_residual: sp.Expr, residual_sign: int) -> LossForms:
    """Forms for one sign of the residual, in ``ln|e|``."""
    value = by_residual.subs(residual, residual_sign * s)
    growth = sp.diff(value, s)
    size = sp.exp(log_residual)
    samples = evaluate(growth, {s: np.logspace(-4, 4, 81)})
    # A loss that grows away from its target needs no sign of its own; one that does not is told by dH/df.
    falls = bool((samples[np.isfinite(samples)] >= 0).all())
    slope = None if falls else residual_sign * growth.subs(s, size)
    power = sp.simplify(s * sp.diff(growth, s) / growth) if growth != 0 else sp.oo
    if growth == 0:
        log_derivative = -sp.oo
    elif power.is_number and power.is_finite:
        log_derivative = sp.log(sp.Abs(growth.subs(s, 1))) + power * log_residual
    else:
        log_derivative = exact_log_magnitude(sp.factor_terms(growth), size)
    return LossForms(value.subs(s, size), log_derivative, slope)


def _general_loss(name: str, formula: sp.Expr) -> Loss:
    slope = _differentiated(formula, output, f'loss "{name}"')
    # Not ln|.|, whose symbolic derivative SymPy leaves undone.
    log_size = sp.log(slope**2) / 2
    return Loss(name, formula, log_size, LossForms(formula, log_size, slope), slope, formula)


def _symbols(expression: sp.Expr, count: int, kind: str, allowed: tuple[str, ...]) -> list[sp.Symbol]:
    found = sorted(expression.free_symbols, key=str)
    if len(found) != count:
        raise InvalidInputError(f"{kind} needs to depend on {' and '.join(allowed)} alone; got {found or 'a constant'}")
    return found


def _differentiated(value: sp.Expr, symbol: sp.Symbol, kind: str) -> sp.Expr:
    """Derivative, refused where the value jumps."""
    for place in _jumps(value, symbol):
        raise InvalidInputError(f"{kind} is not differentiable: it jumps at {symbol} = {place:.6g}")
    slope = sp.diff(value, symbol).doit()
    slope = slope.replace(sp.DiracDelta, lambda *_: sp.Integer(0))
    if slope.has(sp.Derivative):
        raise InvalidInputError(f"{kind} cannot be differentiated")
    # 1 - tanh^2 cancels where the same written by the logistic function does not.
    slope = slope.replace(
        lambda part: part.is_Add and len(part.args) == 2 and part.args[0] == 1,
        lambda part: _sech_squared(part),
    )
    if slope == 0:
        raise InvalidInputError(f"{kind} does not depend on {symbol}")
    return slope


def _jumps(value: sp.Expr, symbol: sp.Symbol) -> Iterator[float]:
    """Places where a sign or a step turns, and the value does not go on."""
    for part in sp.preorder_traversal(value):
        if not isinstance(part, sp.sign | sp.Heaviside):
            continue
        grid = np.sort(np.append(_SAMPLES, 0.0))
        turns = np.sign(evaluate(part.args[0], {symbol: grid}))
        for at in np.flatnonzero(turns[:-1] * turns[1:] < 0):
            low, high = grid[at], grid[at + 1]
            while low < (middle := 0.5 * (low + high)) < high:
                same = np.sign(evaluate(part.args[0], {symbol: np.array([middle])})[0]) == turns[at]
                low, high = (middle, high) if same else (low, middle)
            if _gap(value, symbol, low, high) > 1e-6:
                yield high
        for at in np.flatnonzero(turns == 0):
            wide, narrow = (_gap(value, symbol, grid[at] - step, grid[at] + step) for step in (1e-9, 1e-300))
            # A root such as |y|^(1/3) is steep, but not as far from itself at any distance.
            if narrow > max(1e-6, 0.5 * wide):
                yield float(grid[at])


def _gap(value: sp.Expr, symbol: sp.Symbol, low: float, high: float) -> float:
    first, second = evaluate(value, {symbol: np.array([low, high])})
    return abs(float(second) - float(first))


def _sech_squared(part: sp.Expr) -> sp.Expr:
    other = part.args[1]
    factor, power = other.as_coeff_Mul()
    if factor == -1 and isinstance(power, sp.Pow) and isinstance(power.base, sp.tanh) and power.exp == 2:
        x = power.base.args[0]
        return 4 * expit(2 * x) * expit(-2 * x)
    return part


def _check_real(value: sp.Expr, slope: sp.Expr, symbol: sp.Symbol, kind: str) -> None:
    with np.errstate(all="ignore"):
        for form, words in ((value, "not a real number"), (slope, "not differentiable")):
            values = np.asarray(evaluate(form, {symbol: _SAMPLES}), dtype=complex)
            for point in _SAMPLES[np.isnan(values) & (np.abs(_SAMPLES) < 20)]:
                if not _is_real(form, symbol, float(point)):
                    raise InvalidInputError(f"{kind} is {words} at {symbol} = {point:.3g}")


def _is_real(form: sp.Expr, symbol: sp.Symbol, point: float) -> bool:
    """Whether a form has a real value where floating point has none, as for ``0 * inf``."""
    with mpmath.workdps(60):
        try:
            value = evaluate(form, {symbol: mpmath.mpf(point)})
        except OverflowError:
            return True
        except (ArithmeticError, ValueError, TypeError):
            return False
    return isinstance(value, mpmath.mpf) and bool(mpmath.isfinite(value))


def _limit_at(value: sp.Expr, end: int) -> sp.Expr:
    """Limit at an end of the line: exact by the rules of growth, else the number that a numeric one is, else NaN."""
    form = asymptotic_branch(value.subs(real_y, end * s))
    limit = Allowance(_BUDGET).spend(lambda: _limit_by_rules(form))
    if limit is not None:
        return limit
    number = _numeric_limit(form)
    return sp.nsimplify(number, [sp.pi], tolerance=1e-14) if math.isfinite(number) else sp.sympify(number)


def _limit_by_rules(form: sp.Expr) -> sp.Expr | None:
    try:
        direction = growth(form).direction
        if direction > 0:
            return asymptotic_sign(form) * sp.oo
        limit = sp.S.Zero if direction < 0 else limit_of(form)
    except (UndecidedError, ArithmeticError, MemoryError):
        return None
    return limit if limit.is_real else None


def _numeric_limit(form: sp.Expr) -> float:
    try:
        with mpmath.workdps(40):
            far = [float(mpmath.re(evaluate(form, {s: mpmath.mpf(x)}))) for x in (1e4, 1e8)]
        if abs(far[1]) > 10 * abs(far[0]) + 1:
            return math.copysign(math.inf, far[1])
        found = numeric_limit(lambda x: evaluate(form, {s: x}))
    except (ArithmeticError, ValueError, TypeError):
        return math.nan
    return math.nan if found is None else found.value
