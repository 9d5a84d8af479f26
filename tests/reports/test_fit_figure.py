"""Figures of a fit: what is drawn is the data and the law."""

import math

import numpy as np
import pytest

from critlearn.inference import fit_power_law, stability_map
from critlearn.numerics.window import Window
from critlearn.reports.fit_figure import fit_figure, stability_figure
from reference.power_law_samples import power_law

VALUES = power_law(1.5, 1e-4, 1.0, 20_000, 0)


def test_all_data_are_drawn_and_those_outside_lighter() -> None:
    fit = fit_power_law(VALUES, Window(1e-3, 0.1))
    upper = fit_figure(fit, "size").axes[0]
    lines = {line.get_label(): line for line in upper.get_lines()}
    outside, inside = lines["outside the window"], lines["on the window"]
    assert fit.density is not None
    assert len(outside.get_xdata()) + len(inside.get_xdata()) == len(fit.density.log_delta)
    assert (outside.get_alpha() or 1) < (inside.get_alpha() or 1)
    assert min(inside.get_xdata()) > -3
    assert max(inside.get_xdata()) < -1
    assert min(outside.get_xdata()) < -3


def test_the_law_lies_on_the_data() -> None:
    fit = fit_power_law(VALUES, Window(1e-4, 1.0))
    upper = fit_figure(fit).axes[0]
    law = next(line for line in upper.get_lines() if str(line.get_label()).startswith("k = 1.5"))
    x, y = np.asarray(law.get_xdata()), np.asarray(law.get_ydata())
    # p(x) = 0.5 x^-1.5 / (1e-4^-0.5 - 1)
    np.testing.assert_allclose(y, np.log10(0.5 / 99) - 1.5 * x, atol=0.03)


def test_a_density_is_that_of_the_law() -> None:
    density = fit_power_law(VALUES).density
    assert density is not None
    expected = math.log(0.5 / 99) - 1.5 * density.log_delta
    pull = (density.log_density - expected) * density.count**0.5
    assert np.abs(pull).max() < 5
    assert density.count.sum() == len(VALUES)


@pytest.mark.parametrize("values", [np.ones(100), np.zeros(100), VALUES[:20]])
def test_outcomes_without_a_window_are_drawn_too(values: np.ndarray) -> None:
    assert len(fit_figure(fit_power_law(values)).axes) == 2


def test_the_stability_map_shows_all_windows() -> None:
    found = stability_map(VALUES)
    figure = stability_figure(found)
    offsets = figure.axes[0].collections[0].get_offsets()
    assert len(offsets) == np.isfinite(found.exponent).sum()
