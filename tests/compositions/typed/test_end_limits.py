"""Limits of outputs at the ends of the line against SymPy's."""

import math

import pytest
import sympy as sp

from critlearn.compositions.symbolic.functions import expit
from critlearn.compositions.typed.activation_from_expression import real_y as y
from critlearn.compositions.typed.end_limits import limit_at_end


@pytest.mark.parametrize(
    ("value", "lower", "upper"),
    [
        (sp.tanh(y), -1, 1),
        (sp.atan(y), -sp.pi / 2, sp.pi / 2),
        (y / (1 + sp.Abs(y)), -1, 1),
        (sp.tanh(sp.tanh(y)), -sp.tanh(1), sp.tanh(1)),
        (sp.Max(y, 0), 0, sp.oo),
        (expit(y) ** 2, 0, 1),
        (y**3, -sp.oo, sp.oo),
        (sp.exp(-sp.exp(-y)), 0, 1),
    ],
)
def test_limits(value: sp.Expr, lower: sp.Expr, upper: sp.Expr) -> None:
    for end, limit in ((-1, lower), (1, upper)):
        found = limit_at_end(value, y, end)
        assert found == limit or abs(float(found) - float(limit)) < 1e-12


def test_an_oscillation_has_no_limit() -> None:
    assert math.isnan(float(limit_at_end(sp.sin(y), y, 1)))
