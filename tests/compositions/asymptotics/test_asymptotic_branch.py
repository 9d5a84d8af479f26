"""Branches that hold far out, against values of the whole expression there."""

import mpmath
import pytest
import sympy as sp

from critlearn.compositions.asymptotics.asymptotic_branch import asymptotic_branch, asymptotic_sign, vanishes_near
from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import s


@pytest.mark.parametrize(
    ("expression", "branch"),
    [
        (sp.Abs(3 - s), s - 3),
        (sp.Max(s, 7) + sp.Min(s, 7), s + 7),
        (sp.sign(1 - s) * s, -s),
        (sp.Piecewise((s**2, s < 100), (s, True)), s),
        (sp.Heaviside(s - 5) * s, s),
        (sp.Abs(sp.Max(1 - s, -4) * s), 4 * s),
        (sp.Abs(sp.tanh(s) - 1), 1 - sp.tanh(s)),  # of the size 1e-260
        (sp.DiracDelta(s - 3) + 1, sp.Integer(1)),
    ],
)
def test_branches_far_out(expression: sp.Expr, branch: sp.Expr) -> None:
    found = asymptotic_branch(expression)
    assert sp.expand(found - branch) == 0
    if not expression.has(sp.DiracDelta):
        with mpmath.workdps(400):
            x = mpmath.mpf(350)
            assert mpmath.mpf(evaluate(found, {s: x})) == mpmath.mpf(evaluate(expression, {s: x}))


def test_signs_far_out() -> None:
    assert [asymptotic_sign(one) for one in (s - 200, sp.tanh(s) - 1, sp.exp(-s), sp.Integer(-2))] == [1, -1, 1, -1]


def test_zero_stretches() -> None:
    hinge = sp.Max(1 - s, 0) ** 2
    assert [vanishes_near(hinge, x) for x in (0.5, 0.99, 1.01, 40.0)] == [False, False, True, True]
    assert not vanishes_near(sp.exp(-s), 1e4)  # zero in floating point alone
