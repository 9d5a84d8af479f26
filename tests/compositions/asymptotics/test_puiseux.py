"""Series in falling powers against SymPy's series and remainders in many digits."""

import mpmath
import pytest
import sympy as sp

from critlearn.compositions.asymptotics.puiseux import NoSeriesError, leading_power, power_series
from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import expit, s, softplus

EXPRESSIONS = [
    1 - s / sp.cbrt(1 + s**3),
    sp.sqrt(s**2 + s) - s,
    (s + 2) / (s**2 + 3) - 1 / s,
    sp.exp(1 / s) * sp.cos(1 / s),
    sp.atan(2 + 1 / s) * s**2,
    expit(1 / sp.sqrt(s)),
    softplus(1 / s) - sp.log(2),
    sp.erf(1 / s) / s,
    (s + sp.sqrt(s)) ** sp.Rational(2, 3),
]


def power_of(x: mpmath.mpf, power: sp.Rational) -> mpmath.mpf:
    return x ** (mpmath.mpf(power.p) / power.q)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_remainder_is_smaller_than_the_last_term(expression: sp.Expr) -> None:
    series = power_series(expression, s)
    last = min(series)
    sizes = []
    with mpmath.workdps(500):
        for x in (mpmath.mpf(10) ** 8, mpmath.mpf(10) ** 10):
            sums = sum(mpmath.mpf(str(sp.N(c, 500))) * power_of(x, power) for power, c in series.items())
            sizes.append(abs(mpmath.mpf(evaluate(expression, {s: x})) - sums) / power_of(x, last))
    # The next power is lower by a sixth or more, a factor of 10^(-1/3) for a factor of 100 in s.
    assert sizes[1] < 0.5 * sizes[0] or sizes[0] < mpmath.mpf(10) ** -60


@pytest.mark.parametrize("expression", EXPRESSIONS[:5])
def test_leading_terms_are_those_of_sympy(expression: sp.Expr) -> None:
    u = sp.Symbol("u", positive=True)
    lead = sp.series(sp.expand(expression.subs(s, 1 / u)), u, 0, 4).removeO().as_leading_term(u)
    power = leading_power(expression, s)
    assert power == -lead.as_coeff_exponent(u)[1]
    assert sp.simplify(power_series(expression, s)[power] - lead.as_coeff_exponent(u)[0]) == 0


@pytest.mark.parametrize(
    "expression", [sp.exp(s), sp.sin(s), sp.log(s), sp.tanh(s) - 1, sp.sqrt(1 / s - 1), s - s * sp.exp(sp.exp(-s))]
)
def test_what_has_no_series_is_refused(expression: sp.Expr) -> None:
    with pytest.raises(NoSeriesError):
        power_series(expression, s)
