"""Window between two quantiles, against a law whose quantiles are known."""

import numpy as np
import pytest

from critlearn.comparison.predicted_exponent import quantile_window
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch


def test_quantiles_of_a_uniform_logarithm_and_zeros_are_left_out() -> None:
    logs = np.append(np.linspace(-10.0, 0.0, 200_001)[:-1], np.full(50_000, -np.inf))
    window = quantile_window(LogSketch.from_logs(logs), 0.1, 0.9)
    assert window is not None
    assert window.log_lo == pytest.approx(-9.0, abs=BIN_WIDTH)
    assert window.log_hi == pytest.approx(-1.0, abs=BIN_WIDTH)


def test_one_size_has_no_window_between_equal_quantiles() -> None:
    sketch = LogSketch.from_logs(np.zeros(100))
    window = quantile_window(sketch)
    # Interpolated in the one bin, it is narrower than the bin.
    assert window is None or window.log_hi - window.log_lo < BIN_WIDTH
