"""Pictures of a fit show the numbers that they are given, on axes of decimal logarithms."""

import math

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from critlearn.figures.fit import Curve, draw_ccdf, draw_density, draw_local, draw_qq, draw_stability, exponent_label
from critlearn.figures.illustration import drawn_data

LN10 = math.log(10)
LOG_X = LN10 * np.linspace(-2, 2, 9)
WINDOW = (-LN10, LN10)


@pytest.fixture
def axes() -> Axes:
    return Figure(layout="constrained").subplots()


def drawn(axes: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    line = next(line for line in axes.lines if line.get_label() == label)
    return np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)


def legend(axes: Axes) -> list[str]:
    shown = axes.get_legend()
    assert shown is not None
    return [text.get_text() for text in shown.get_texts()]


def test_a_density_is_drawn_with_its_errors_and_the_law(axes: Axes) -> None:
    law = Curve("k = 1.50", LOG_X, -1.5 * LOG_X, established=False)
    other = Curve("lognormal", LOG_X, -(LOG_X**2))
    count = np.array([1.0, 4, 100, 100, 100, 100, 100, 25, 1])
    draw_density(axes, LOG_X, -1.5 * LOG_X, count, window=WINDOW, law=law, others=[other], name="size")
    assert legend(axes) == ["outside the window", "on the window", "k = 1.50", "lognormal"]
    for label, size in (("outside the window", 4), ("on the window", 5)):
        x, y = drawn(axes, label)
        assert x.size == size
        np.testing.assert_allclose(y, -1.5 * x)
    assert next(line for line in axes.lines if line.get_label() == "k = 1.50").get_linestyle() == "--"
    bars = drawn_data(axes.figure)  # type: ignore[arg-type]
    bar = bars[bars["series"] == "standard error, outside the window"]["density p(size)"].to_numpy()
    # Of four values the error is half, of a single one it is all.
    np.testing.assert_allclose(bar[2:4] - 1.5 * 1.5, np.log10([0.5, 1.5]))
    np.testing.assert_allclose(bar[:2] - 1.5 * 2.0, [-1, math.log10(2)])


def test_a_tail_is_a_staircase_or_points(axes: Axes) -> None:
    share = np.log(np.linspace(1, 0.1, 9))
    draw_ccdf(axes, LOG_X, share, law=Curve("k = 1.50", LOG_X, share), window=WINDOW)
    assert next(line for line in axes.lines if line.get_label() == "data").get_drawstyle() == "steps-pre"
    np.testing.assert_allclose(drawn(axes, "k = 1.50")[1], share / LN10)
    points = Figure().subplots()
    draw_ccdf(points, LOG_X, share, steps=False)
    assert points.lines[0].get_marker() == "."


def test_the_local_exponent_has_its_band_and_the_fit_its_window(axes: Axes) -> None:
    k = np.full(9, 1.5)
    draw_local(axes, LOG_X, k, (k - 0.1, k + 0.1), window=WINDOW, fitted=("k = 1.52", 1.52))
    assert legend(axes) == ["simultaneous 95% band", "local exponent", "k = 1.52"]
    (segment,) = axes.collections[-1].get_segments()  # type: ignore[attr-defined]
    np.testing.assert_allclose(segment, [[-1, 1.52], [1, 1.52]])


def test_stability_marks_the_choice(axes: Axes) -> None:
    k = np.linspace(2.5, 1.5, 9)
    draw_stability(axes, LOG_X, k, (k - 0.1, k + 0.1), chosen=("k = 1.50", LN10, 1.5), name="a $")
    assert [float(v[0]) for v in drawn(axes, "k = 1.50")] == [1.0, 1.5]
    assert axes.get_xlabel() == r"lower end of the window, a \$"


def test_quantiles_are_held_against_the_line_on_which_they_are_equal(axes: Axes) -> None:
    draw_qq(axes, LOG_X, LOG_X + 0.1, (LOG_X - 0.3, LOG_X + 0.3))
    x, y = drawn(axes, "values on the window")
    np.testing.assert_allclose(y - x, 0.1 / LN10)
    x, y = drawn(axes, "equal")
    np.testing.assert_array_equal(x, y)


def test_nothing_is_drawn_of_nothing(axes: Axes) -> None:
    nothing = np.zeros(0)
    draw_density(axes, nothing, nothing, nothing)
    draw_ccdf(axes, nothing, nothing)
    draw_local(axes, nothing, nothing, (nothing, nothing))
    draw_stability(axes, nothing, nothing, (nothing, nothing))
    draw_qq(axes, nothing, nothing)
    axes.figure.canvas.draw()


@pytest.mark.parametrize(("reach", "expected"), [(4.0, ["10⁻⁴", "10⁻²", "10⁰"]), (0.3, ["0.7", "1", "1.5"])])
def test_short_axes_are_labelled_with_numbers(axes: Axes, reach: float, expected: list[str]) -> None:
    log_x = LN10 * np.linspace(-reach, reach, 9)
    draw_qq(axes, log_x, log_x)
    axes.figure.canvas.draw()
    assert set(expected) <= {tick.get_text() for tick in axes.get_xticklabels()}


def test_an_exponent_has_true_minus_signs() -> None:
    assert exponent_label(-0.5, (-0.61, -0.39)) == "k = −0.50 [−0.61, −0.39]"
    assert exponent_label(1.0, None) == "k = 1.00"
