"""Tails in words, and what the rules of growth leave undecided."""

import pytest
import sympy as sp
from sympy.codegen.cfunctions import log1p

from critlearn.compositions.asymptotics.decay import decay_of
from critlearn.compositions.symbolic.functions import expit, log_erfc, s, softplus

LOG = sp.log(s)


@pytest.mark.parametrize(
    ("log_form", "tail", "power"),
    [
        (-3 * log1p(s), "m^-3", 3),
        (-2 * LOG + sp.log(LOG), "m^-2 ln(m)", 2),
        (-2 * s - LOG, "exp(-2 m)", None),
        (2 * log_erfc(s), "exp(-2 m^2)", None),
        (-sp.sqrt(s), "exp(-m^(1/2))", None),
        (-softplus(s), "exp(-m)", None),
        (LOG, "m", -1),
        (sp.Integer(3), "constant", 0),
        (sp.log(LOG), "ln(m)", 0),
        (-(LOG**2), "falls faster than any power of m", None),
        (-sp.exp(s), "falls like the exponential of an exponential of m", None),
        (-LOG / 3, "m^(-1/3)", sp.Rational(1, 3)),
        (softplus(-2 * LOG) - LOG, "m^-1", 1),  # ln(1 + s^-2) vanishes
        (sp.log(sp.Abs(2 - s)) * -4, "m^-4", 4),
    ],
)
def test_tails_in_words(log_form: sp.Expr, tail: str, power: object) -> None:
    decay = decay_of(log_form)
    assert decay is not None
    assert decay.tail("m") == tail
    assert decay.power == power


def test_tails_at_a_place_are_those_of_the_inverse_distance() -> None:
    decay = decay_of(-(s**2) / 2)
    assert decay is not None
    assert decay.tail_at("|y|") == "exp(-(1/2)/|y|^2)"


def test_products_of_powers_add_up() -> None:
    gap, slope = decay_of(-log1p(s)), decay_of(-2 * log1p(s))
    assert gap is not None
    assert slope is not None
    assert gap.times(sp.Integer(3), slope).power == 5


@pytest.mark.parametrize(
    "log_form", [sp.log(sp.Abs(sp.sin(s))), sp.exp(2 * s) - sp.exp(s), sp.log(expit(sp.cos(s)) - 1)]
)
def test_what_is_undecided_has_no_decay(log_form: sp.Expr) -> None:
    assert decay_of(log_form) is None
