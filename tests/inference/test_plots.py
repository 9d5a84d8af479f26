"""A fit draws itself and is a distribution: what is drawn is computed from the counts that were fitted."""

import math

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from critlearn.errors import InvalidInputError
from critlearn.inference import PowerLawFit, fit_power_law
from critlearn.inference.laws.fitted_law import FittedLaw
from critlearn.inference.plots import plot_fit

KINDS = ("density", "ccdf", "local", "stability", "qq")
TAIL = FittedLaw(2.5, 1.0).rvs(3_000, random_state=0)
INTEGERS = FittedLaw(1.95, 1, discrete=True).rvs(5_000, random_state=0)


@pytest.fixture(scope="module")
def tail() -> PowerLawFit:
    return fit_power_law(TAIL, (1.0, 1e9), side="large")


@pytest.fixture(scope="module")
def integers() -> PowerLawFit:
    return fit_power_law(INTEGERS, (2, 1e7), discrete=True, side="large")


def drawn(fit: PowerLawFit, kind: str) -> Axes:
    axes = fit.plot(kind, Figure().subplots(), name="size")  # type: ignore[arg-type]
    axes.figure.canvas.draw()
    return axes


def line(axes: Axes, start: str) -> tuple[np.ndarray, np.ndarray]:
    found = next(line for line in axes.lines if str(line.get_label()).startswith(start))
    return np.asarray(found.get_xdata(), dtype=float), np.asarray(found.get_ydata(), dtype=float)


def test_a_fit_is_its_law(tail: PowerLawFit, integers: PowerLawFit) -> None:
    assert tail.exponent is not None
    assert tail.ccdf(1e6) == pytest.approx(10 ** (6 * (1 - tail.exponent)), rel=1e-9)
    assert tail.cdf(tail.ppf(0.3)) == pytest.approx(0.3)
    np.testing.assert_array_equal(tail.rvs(5, 1), tail.rvs(5, 1))
    assert tail.pdf([0.5, 2.0])[0] == 0
    assert integers.law is not None
    assert (integers.law.discrete, integers.law.lower, integers.law.upper) == (True, 2, math.inf)
    assert integers.pdf([1, 2, 2.5]).tolist() == [0, pytest.approx(integers.cdf(2)), 0]


def test_a_window_between_the_values_bounds_the_law() -> None:
    law = fit_power_law(TAIL, (1.0, 10.0)).law
    assert law is not None
    assert (law.lower, law.upper) == (pytest.approx(1.0), pytest.approx(10.0))
    law = fit_power_law(INTEGERS, (3, 40), discrete=True).law
    assert law is not None
    assert (law.lower, law.upper) == (3, 40)


def test_a_law_down_to_zero_has_no_lower_end() -> None:
    law = fit_power_law(FittedLaw(0.5, 0.0, 1.0).rvs(3_000, 0), (1e-9, 1.0), side="small").law
    assert law is not None
    assert law.lower == 0
    assert law.pdf(1e-200) > 0


def test_without_a_window_there_is_no_law_but_there_are_pictures() -> None:
    fit = fit_power_law(np.ones(200))
    assert fit.law is None
    with pytest.raises(InvalidInputError, match="no law"):
        fit.ccdf(1.0)
    for kind in KINDS:
        assert drawn(fit, kind).get_xlabel()
    for kind in KINDS:
        assert drawn(fit_power_law(np.zeros(60)), kind).get_xlabel()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_draws_every_fit(kind: str, tail: PowerLawFit, integers: PowerLawFit) -> None:
    for fit in (tail, integers, fit_power_law(TAIL)):
        assert "size" in drawn(fit, kind).get_xlabel()


def test_a_kind_that_there_is_not_is_named() -> None:
    with pytest.raises(InvalidInputError, match='did you mean "ccdf"'):
        plot_fit(fit_power_law(TAIL), "cdf", None, "x")


def test_new_axes_are_those_of_pyplot(tail: PowerLawFit) -> None:
    axes = tail.plot()
    assert axes is pyplot.gca()
    pyplot.close(axes.figure)


def test_the_law_lies_on_the_tail(tail: PowerLawFit, integers: PowerLawFit) -> None:
    for fit, values in ((tail, TAIL), (integers, INTEGERS)):
        axes = drawn(fit, "ccdf")
        x, share = line(axes, "data")
        low = 0.0 if fit is tail else math.log10(2)
        kept = (x >= low) & (share > math.log10(30 / values.size))
        law_x, law = line(axes, "k =")
        expected = np.interp(x[kept], law_x, law)
        assert np.abs(share[kept] - expected).max() < 0.1
        np.testing.assert_allclose(
            10 ** share[kept][::20], [(values >= v * (1 - 1e-9)).mean() for v in 10 ** x[kept][::20]], rtol=1e-9
        )


def test_stability_holds_the_fits_of_tails(tail: PowerLawFit) -> None:
    x, k = line(drawn(tail, "stability"), "fit from here on")
    # The estimator of Hill on the values above each lower end.
    for lower, exponent in zip(10 ** x[5:40:7], k[5:40:7], strict=True):
        above = TAIL[lower <= TAIL]
        assert exponent == pytest.approx(1 + above.size / np.log(above / lower).sum(), abs=0.02)
    mark, chosen = line(drawn(tail, "stability"), "k =")
    assert (mark[0], chosen[0]) == (pytest.approx(0, abs=1e-9), tail.exponent)


def test_quantiles_lie_in_their_range(tail: PowerLawFit, integers: PowerLawFit) -> None:
    for fit in (tail, integers):
        x, y = line(drawn(fit, "qq"), "values")
        assert np.abs(x - y)[:-20].max() < 0.15


def test_a_fit_is_one_flat_row(tail: PowerLawFit) -> None:
    frame = tail.to_dataframe()
    (row,) = frame.to_dict("records")
    assert (row["ci95_low"], row["ci95_high"]) == tail.ci95
    assert row["window_high"] == pytest.approx(TAIL.max(), rel=0.02)
    assert "alternatives.exponential.p_value" in row
    assert not any(isinstance(value, list | dict | tuple) for value in row.values())
    nothing = fit_power_law(np.ones(200)).to_dataframe().to_dict("records")[0]
    assert nothing["ci95_low"] is None
    assert not any(isinstance(value, list | dict | tuple) for value in nothing.values())
