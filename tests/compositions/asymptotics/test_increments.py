"""Differences that do not cancel, against plain subtraction in many digits."""

import mpmath
import pytest
import sympy as sp
from sympy.codegen.cfunctions import log1p

from critlearn.compositions.asymptotics.increments import increment, increment_of_smooth, split_far_out
from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import expit, s, softplus

AT = sp.Rational(7, 10)


def at(form: sp.Expr, x: str) -> mpmath.mpf:
    return mpmath.mpf(evaluate(form, {s: mpmath.mpf(x)}))


@pytest.mark.parametrize("function", [sp.tanh, sp.atan, expit, softplus, sp.erf])
@pytest.mark.parametrize("step", ["1e-12", "-1e-12"])
def test_increments(function: type[sp.Function], step: str) -> None:
    form = increment(function(s), AT, s)
    with mpmath.workdps(20):
        found = at(form, step)
    with mpmath.workdps(80):
        true = at(function(AT + s), step) - at(function(AT + 0 * s), step)
        # 1e-12 is all that twenty digits would leave of a difference; that of erf is right to the square of the step.
        assert abs(found / true - 1) < 1e-15


@pytest.mark.parametrize("function", [sp.exp, sp.log, log1p, sp.sin, sp.cos])
def test_increments_of_smooth_functions(function: type[sp.Function]) -> None:
    limit, remainder = increment_of_smooth(function(s), AT, s)
    with mpmath.workdps(20):
        found = at(remainder, "1e-12")
    with mpmath.workdps(80):
        assert abs(mpmath.mpf(evaluate(limit, {s: mpmath.mpf(1)})) - at(function(AT + 0 * s), "1")) < 1e-70
        assert abs(found / (at(function(AT + s), "1e-12") - at(function(AT + 0 * s), "1")) - 1) < 1e-15


@pytest.mark.parametrize(
    ("function", "sign"),
    [*((f, sign) for f in (sp.tanh, sp.erf, sp.atan) for sign in (1, -1)), (expit, 1), (softplus, 1), (sp.erfc, -1)],
)
def test_limit_and_remainder_far_out(function: type[sp.Function], sign: int) -> None:
    limit, remainder = split_far_out(function(s), sign)
    with mpmath.workdps(60):
        x = str(20 * sign)
        assert abs(at(limit, x) + at(remainder, x) - at(function(s), x)) < mpmath.mpf(10) ** -55
        assert abs(at(remainder, x)) < 0.06  # 1/20 for the arctangent, exponentials of 20 for the others


def test_functions_without_a_form_have_none() -> None:
    assert increment(sp.sin(s), AT, s) is None
    assert increment_of_smooth(sp.log(s), sp.Integer(0), s) is None
    assert split_far_out(sp.exp(s), 1) is None
    assert split_far_out(expit(s), -1) is None
