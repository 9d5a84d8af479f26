"""Heavy tails through exponential error signals, of which ln delta is the margin itself: windows by derivation."""

import json
import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from critlearn.compositions import Composition
from critlearn.prediction import density_from, predict_from_density
from critlearn.prediction.push_forward.channel import BiasChannel
from critlearn.prediction.push_forward.grid import graded_grid
from critlearn.prediction.push_forward.push_forward import push_forward

# g = 1/(1 + e^y), lambda' -> -1: k = 1 + (ln p)', with (ln p)' by hand.
LAWS = [
    ("levy()", scipy.stats.levy(), lambda y: -1.5 / y + 0.5 / y**2),
    ("pareto(0.5)", scipy.stats.pareto(0.5), lambda y: -1.5 / y),
    ("cauchy(0,5)", scipy.stats.cauchy(0, 5), lambda y: -2 * y / (25 + y**2)),
]


@pytest.mark.parametrize(("text", "law", "slope"), LAWS)
def test_the_window_begins_where_the_data_term_allows(text: str, law: object, slope: object) -> None:
    prediction = predict_from_density(Composition("sigmoid", "bce"), text)
    assert prediction.exact == "1"
    assert prediction.window is not None
    begins = scipy.optimize.brentq(lambda y: slope(y) + 0.05, 20, 100)  # type: ignore[operator]
    # Bins there are a hundredth of the distance from the median wide at most.
    assert prediction.window.log_hi == pytest.approx(-begins, rel=0.02)
    assert prediction.window.decades > 1000
    inside = prediction.distribution.centres < prediction.window.log_hi
    probability = law.sf(-prediction.window.log_hi)  # type: ignore[attr-defined]
    assert prediction.distribution.mass[inside].sum() == pytest.approx(probability, abs=1e-4)
    json.dumps(prediction.to_dict(), allow_nan=False)


def test_what_is_far_from_the_middle_is_seen_as_well() -> None:
    # ln delta = ln 8 - 4 y: uniform there, so that k = 1 exactly on it.
    prediction = predict_from_density(Composition("tanh", "mse"), "0.9*normal(0,1)+0.1*uniform(1000,5000)")
    assert prediction.window is not None
    assert prediction.exponent == pytest.approx(1, abs=1e-6)
    assert prediction.window.log_lo == pytest.approx(math.log(8) - 20000, abs=100)
    assert prediction.window.log_hi == pytest.approx(math.log(8) - 4000, abs=100)


def test_uneven_bins_are_made_even_without_losing_probability() -> None:
    law = density_from("t(3,0,30)")
    uneven = push_forward(law, [BiasChannel(Composition("tanh", "mse"))], graded_grid)
    even = uneven.even()
    widths = np.diff(even.edges)
    np.testing.assert_allclose(widths, widths[0], rtol=1e-6)
    assert even.mass.sum() == pytest.approx(1, abs=1e-6)
    # ln delta = ln 8 - 4 y far out, and ln 16 - 2 |y| on the other side.
    for y in (50.0, 100.0, 400.0):
        at = math.log(8) - 4 * y
        below = float(np.interp(at, even.edges[1:], np.cumsum(even.mass)))
        truth = law.survival(np.array(y)) + law.cumulative(np.array((at - math.log(16)) / 2))
        assert below == pytest.approx(float(truth), abs=2e-3)


def test_slopes_of_heavy_tails_are_right_far_out() -> None:
    x = np.array([30.0, 1e4, 1e9, 1e15])
    np.testing.assert_allclose(density_from("levy()").log_density_slope(x), -1.5 / x + 0.5 / x**2, rtol=1e-8)
