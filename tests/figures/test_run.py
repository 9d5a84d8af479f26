"""Figures show the numbers that they are given, also far below the smallest float."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from critlearn.figures.quantity import density_figure, quantity_figure
from critlearn.figures.run import drift_figure, loss_figure
from critlearn.inference import Criteria, fit_power_law
from critlearn.numerics.log_sketch import LogSketch


def _quantity(sketch: LogSketch) -> dict[str, object]:
    fit = fit_power_law(sketch, criteria=Criteria(replicates=50))
    curves = {"measured": fit.curve.to_dict() if fit.curve else None, "predicted": None}
    return {"measured": fit.to_dict(), "predicted": None, "curves": curves}


def _drawn(figure: Figure, label: str) -> tuple[np.ndarray, np.ndarray]:
    line = next(line for line in figure.axes[0].lines if line.get_label() == label)
    return np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)


@pytest.mark.parametrize("lowest", [-8.0, -1000.0])
def test_density_of_a_log_uniform_sample_falls_as_one_over_its_size(lowest: float) -> None:
    decades = 6.0
    log_abs = (lowest + decades * np.random.default_rng(1).random(400_000)) * math.log(10)
    sketch = LogSketch.from_logs(log_abs, None, np.arange(400_000) % 64, 64)
    figure = density_figure(sketch, _quantity(sketch))
    x, y = _drawn(figure, "measured")
    inner = slice(1, -1)
    # p(delta) = 1 / (delta ln(hi / lo)); a bin of a twentieth of a decade holds some 3,300 of the draws.
    expected = -x[inner] - math.log10(decades * math.log(10))
    assert np.abs(y[inner] - expected).max() < 5 / math.sqrt(3300) / math.log(10)
    assert x.min() == pytest.approx(lowest, abs=0.06)
    figure.savefig("/dev/null", format="png")


def test_drift_figure_leaves_out_what_has_no_logarithm() -> None:
    scatter = {"drift": [0.1, 0.0, 0.01], "fluctuation": [1.0, 1.0, 2.0]}
    figure = drift_figure({"scatter": scatter, "tolerance": 0.1})
    x, y = _drawn(figure, "trainable variable")
    np.testing.assert_allclose(x, np.log10([1.0, 2.0]))
    np.testing.assert_allclose(y, np.log10([0.1, 0.01]))


def test_empty_sketch_and_missing_curves_are_drawn_as_nothing() -> None:
    sketch = LogSketch.empty()
    none = {"measured": {"exponent": None}, "predicted": None, "curves": {"measured": None, "predicted": None}}
    for figure in (density_figure(sketch, none), quantity_figure(sketch, none)):
        figure.savefig("/dev/null", format="png")
        assert not [line for axes in figure.axes for line in axes.lines if len(line.get_xdata()) > 2]


def test_a_prediction_at_a_single_size_is_not_drawn() -> None:
    sketch = LogSketch.from_logs(np.zeros(300), None, np.arange(300) % 64, 64)
    # As narrow as its grid: 300 values are unlikely to lie beyond its points.
    narrow = {"log_delta": [0.0, 1e-9], "log_density": [0.0, 0.0]}
    quantity = {"measured": {"exponent": None, "count": 300}, "curves": {"measured": None, "predicted": narrow}}
    figure = quantity_figure(sketch, quantity)
    assert "predicted" not in figure.axes[0].get_legend_handles_labels()[1]
    assert figure.axes[2].get_ylabel() == "measured\n/ fit"


def test_loss_figure_holds_every_epoch() -> None:
    figure = loss_figure({"losses": [3.0, 2.0, 1.5]})
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [3.0, 2.0, 1.5])


def test_a_law_with_cut_off_is_drawn_with_its_cut_off() -> None:
    # p(d) = d^-1.4 exp(-d / 0.3) from 1e-3 on.
    edges = np.linspace(np.log(1e-3), np.log(5.0), 20_001)
    centres = 0.5 * (edges[1:] + edges[:-1])
    below = np.concatenate([[0.0], np.cumsum(np.exp(-0.4 * centres - np.exp(centres) / 0.3))])
    uniform = np.random.default_rng(2).random(40_000)
    sketch = LogSketch.from_values(np.exp(np.interp(uniform, below / below[-1], edges)))
    quantity = _quantity(sketch)
    assert quantity["measured"]["verdict"] == "power law with cut-off"
    figure = density_figure(sketch, quantity)
    label = next(line.get_label() for line in figure.axes[0].lines if str(line.get_label()).startswith("fit |δq|"))
    (x, y), line = _drawn(figure, "measured"), _drawn(figure, str(label))
    inside = (x > line[0].min()) & (x < math.log10(0.3))
    assert np.abs(np.interp(x[inside], *line) - y[inside]).max() < 0.15
