"""Orders of growth against expansions by hand, and against values of high precision far out."""

import itertools

import mpmath
import pytest
import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from critlearn.compositions.asymptotics.growth import growth, limit_of, log_growth, split_limit
from critlearn.compositions.asymptotics.growth_order import (
    DOUBLE_EXPONENTIAL,
    QUASI_POLYNOMIAL,
    UndecidedError,
    fastest,
)
from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import expit, log_erfc, s, softplus

THIRD = sp.Rational(1, 3)
KNOWN = [
    (s**2 * sp.exp(-3 * s) / (1 + s), {1: -3, 0: 1}),
    (sp.log(s) ** 2 / s, {0: -1, -1: 2}),
    (sp.tanh(s) - 1, {1: -2}),  # -2 exp(-2 s)
    (sp.tanh(s) ** 3 - 1, {1: -2}),
    (sp.atan(s) - sp.pi / 2, {0: -1}),
    (sp.erf(s) - 1, {2: -1, 0: -1}),
    (1 - s / sp.cbrt(1 + s**3), {0: -3}),
    (sp.sqrt(1 + s**2) - s, {0: -1}),
    (expit(s) - 1, {1: -1}),
    (softplus(s) - s, {1: -1}),
    (softplus(-s), {1: -1}),
    (sp.exp(1 / s) - 1, {0: -1}),
    (expm1(-s) + 1, {1: -1}),
    (sp.sin(sp.exp(-s)), {1: -1}),
    (sp.asinh(s), {-1: 1}),
    (sp.acot(s**2), {0: -2}),
    (sp.cosh(2 * s), {1: 2}),
    (sp.erfc(-s) - 2, {2: -1, 0: -1}),
    (s + sp.sin(s), {0: 1}),  # a bounded oscillation beside a power
    (sp.tanh(sp.tanh(s)) - sp.tanh(1), {1: -2}),
    (sp.atan(sp.tanh(s)) - sp.pi / 4, {1: -2}),
    (s**THIRD * (1 + s) ** THIRD - s ** (2 * THIRD), {0: -THIRD}),
]


@pytest.mark.parametrize(("expression", "terms"), KNOWN)
def test_growth_by_hand(expression: sp.Expr, terms: dict[object, object]) -> None:
    assert dict(growth(expression).terms) == terms


@pytest.mark.parametrize(("expression", "terms"), KNOWN)
def test_growth_is_that_of_values_far_out(expression: sp.Expr, terms: dict[object, object]) -> None:
    """``ln|E|`` less its growth tends to a constant."""
    with mpmath.workdps(900):
        rests = []
        for x in (mpmath.mpf(20), mpmath.mpf(40)):
            value = mpmath.log(abs(evaluate(expression, {s: x})))
            for order, c in terms.items():
                factor = mpmath.mpf(sp.Rational(c).p) / sp.Rational(c).q
                size = {0: mpmath.log(x), -1: mpmath.log(mpmath.log(x))}.get(order)
                value -= factor * (x ** int(order) if size is None else size)
            rests.append(value)
        # What is left is of the order 1/s, or 1/ln s for asinh.
        assert abs(rests[1] - rests[0]) < 0.1


def test_what_is_no_power_has_an_order_of_its_own() -> None:
    assert growth(sp.exp(sp.log(s) ** 2)).terms[0][0] == QUASI_POLYNOMIAL
    assert growth(sp.exp(-sp.exp(s))).terms == ((DOUBLE_EXPONENTIAL, -1),)
    order = [growth(one) for one in (s**100, sp.exp(sp.log(s) ** 2), sp.exp(sp.sqrt(s)), sp.exp(s), sp.exp(sp.exp(s)))]
    for slower, faster in itertools.pairwise(order):
        assert fastest([slower, faster]) == faster
        assert fastest([faster, slower]) == faster


@pytest.mark.parametrize(
    "expression",
    [
        sp.sin(s),
        s * sp.cos(s),
        s + s * sp.sin(s),  # zero again and again
        sp.exp(sp.exp(2 * s)) * sp.exp(-sp.exp(s)),  # of one order here
        log1p(s) - sp.log(s),  # logarithms cancel, and have no series
        sp.sin(2 * sp.atan(s)),  # tends to a constant that may be zero
    ],
)
def test_what_the_rules_do_not_decide_is_refused(expression: sp.Expr) -> None:
    with pytest.raises(UndecidedError):
        growth(expression)


@pytest.mark.parametrize(
    "expression",
    [sp.tanh(s) ** 3, sp.exp(s / (1 + s)), sp.log(1 + sp.tanh(s)), softplus(s), sp.erf(s) * sp.atan(s), sp.cos(1 / s)],
)
def test_limit_and_remainder_add_up_to_the_expression(expression: sp.Expr) -> None:
    limit, remainder = split_limit(expression)
    assert growth(remainder).direction < 0
    with mpmath.workdps(60):
        x = mpmath.mpf("7.3")
        parts = [mpmath.mpf(evaluate(one, {s: x})) for one in (limit, remainder, expression)]
        assert abs(parts[0] + parts[1] - parts[2]) < mpmath.mpf(10) ** -50


@pytest.mark.parametrize(
    ("expression", "limit"),
    [
        (s / (1 + s), 1),
        (sp.sqrt(s**2 + 3 * s) - s, sp.Rational(3, 2)),
        (2 * sp.atan(s) / sp.pi, 1),
        (sp.tanh(sp.tanh(s)), sp.tanh(1)),
        (sp.exp(-s) * s**5, 0),
    ],
)
def test_limits_are_those_of_sympy(expression: sp.Expr, limit: sp.Expr) -> None:
    assert limit_of(expression) == limit
    assert abs(sp.N(sp.limit(expression, s, sp.oo) - limit, 30)) < 1e-25


def test_a_limit_that_is_infinite_is_refused() -> None:
    with pytest.raises(UndecidedError):
        limit_of(s + 1 / s)


def test_log_growth_of_the_complementary_error_function() -> None:
    # erfc(u) ~ exp(-u^2) / (u sqrt(pi))
    assert dict(log_growth(2 * log_erfc(s**2)).terms) == {4: -2, 0: -4}
