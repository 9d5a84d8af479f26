"""Anatomies whose parts are known beforehand."""

import math

import numpy as np
import pytest
from tests.comparison.ladder.synthetic import ladder

from critlearn.comparison.ladder.ladder import Ladder
from critlearn.inference import PowerLawFit, fit_power_law
from critlearn.numerics.window import Window


def on(steps: Ladder, low: float, high: float) -> PowerLawFit:
    """Fit on a window between two quantiles."""
    sketch = steps.measured["q"]
    return fit_power_law(sketch, window=Window.from_logs(sketch.quantile(low), sketch.quantile(high)))


def test_one_path_factor_of_all_samples_leaves_composition_and_data() -> None:
    """As in the toy model: nothing is multiplied, and nothing can depend on it."""
    steps = ladder(20_000, 0, variables=1, spread=0.0)
    fit = on(steps, 0.02, 0.5)
    anatomy = steps.anatomy("q", fit)
    assert anatomy is not None
    assert fit.exponent is not None
    assert anatomy.composition is not None
    # Bins are joined, which moves a window by a part of one.
    for part in (anatomy.path, anatomy.dependence):
        assert part.value == pytest.approx(0.0, abs=0.01)
    assert anatomy.total == pytest.approx(fit.exponent, abs=0.02)
    # lambda' = -(1 - g): uniform margins give 1 / (g (1 - g)), whose local exponent is 1 - g / (1 - g).
    window = anatomy.window
    sizes = np.linspace(window.log_lo, window.log_hi, 10_001)
    weight = 1 / (1 - np.exp(sizes))
    local = 1 - float((weight * np.exp(sizes) / (1 - np.exp(sizes))).sum() / weight.sum())
    assert anatomy.composition.value == pytest.approx(local, abs=0.02)


def test_independent_path_factors_have_no_dependence() -> None:
    for seed in range(3):
        steps = ladder(20_000, seed)
        anatomy = steps.anatomy("q", on(steps, 0.02, 0.3))
        assert anatomy is not None
        assert abs(anatomy.dependence.value) < 4 * anatomy.dependence.standard_error + 0.005
        assert anatomy.path.value != pytest.approx(0.0, abs=0.02)


def test_dependence_made_by_hand_is_seen() -> None:
    steps = ladder(20_000, 4, dependence=0.6)
    anatomy = steps.anatomy("q", on(steps, 0.02, 0.3))
    assert anatomy is not None
    assert abs(anatomy.dependence.value) > 10 * anatomy.dependence.standard_error


def test_errors_are_those_of_drawing_again() -> None:
    """The standard error of each part is the scatter of that part over data drawn anew, on one window."""
    first = ladder(4000, 0)
    fit = on(first, 0.02, 0.5)
    found = [ladder(4000, seed).anatomy("q", fit) for seed in range(40)]
    for name in ("data", "path", "dependence"):
        values = [getattr(anatomy, name).value for anatomy in found]
        errors = [getattr(anatomy, name).standard_error for anatomy in found]
        # A standard deviation of 40 values is known to 11%.
        assert np.std(values, ddof=1) == pytest.approx(np.mean(errors), rel=4 / math.sqrt(2 * 39))


def test_errors_that_are_nearly_alike_have_no_part_in_a_window() -> None:
    """Errors that differ by 4%, as those of long sequences, times path factors that spread over decades."""
    steps = ladder(2000, 5, margins=lambda generator, classes: generator.normal(2.0, 0.05, classes.size), spread=2.0)
    for high in (0.3, 0.5, 0.9):
        assert steps.anatomy("q", on(steps, 0.02, high)) is None
    spread = ladder(2000, 5)
    assert spread.anatomy("q", on(spread, 0.02, 0.5)) is not None
