"""The exponent under additive noise, where a plain fit is wrong."""

import numpy as np
import pytest

from critlearn.errors import InvalidInputError
from critlearn.inference import fit_power_law, fit_power_law_with_noise
from critlearn.numerics.window import Window
from reference.power_law_samples import power_law

WINDOW = Window(1e-4, 1.0)


def noisy(k: float, seed: int = 0, n: int = 20_000) -> np.ndarray:
    return power_law(k, 1e-4, 1.0, n, seed) + 1e-3 * np.random.default_rng(seed + 50).standard_normal(n)


@pytest.mark.parametrize("k", [0.5, 1.0, 1.5])
def test_a_known_noise_is_seen_through(k: float) -> None:
    fit = fit_power_law_with_noise(noisy(k), WINDOW, noise_scale=1e-3)
    assert abs(fit.exponent - k) < 4 * fit.standard_error
    assert fit.noise_scale == 1e-3
    assert fit.noise_scale_error is None
    plain = fit_power_law(noisy(k), WINDOW, sign="absolute")
    assert plain.ci95 is not None
    if k >= 1:
        # Without the noise in the model the error is far larger than the interval.
        assert not plain.ci95[0] - 0.02 < k < plain.ci95[1] + 0.02


def test_an_unknown_noise_is_fitted() -> None:
    fit = fit_power_law_with_noise(noisy(1.0, 1), WINDOW)
    assert fit.noise_scale_error is not None
    assert abs(fit.noise_scale - 1e-3) < 4 * fit.noise_scale_error
    assert abs(fit.exponent - 1.0) < 4 * fit.standard_error
    assert set(fit.to_dict()) >= {"exponent", "stderr", "noise_scale"}


def test_the_error_is_the_scatter_between_samples() -> None:
    fits = [fit_power_law_with_noise(noisy(1.0, seed, 1000), WINDOW, noise_scale=1e-3) for seed in range(24)]
    scatter = np.std([fit.exponent for fit in fits], ddof=1)
    # A standard deviation from 24 values is known to 15%.
    assert np.mean([fit.standard_error for fit in fits]) == pytest.approx(scatter, rel=0.6)


def test_without_noise_it_is_the_plain_fit() -> None:
    values = power_law(1.3, 1e-4, 1.0, 20_000, 0)
    seen = fit_power_law_with_noise(values, WINDOW, noise_scale=1e-12)
    assert seen.exponent == pytest.approx(fit_power_law(values, WINDOW).exponent, abs=1e-4)


@pytest.mark.parametrize(("data", "scale"), [(np.ones(10), 1.0), (np.full(100, np.nan), 1.0), (np.ones(100), -1.0)])
def test_what_cannot_be_fitted_is_refused(data: np.ndarray, scale: float) -> None:
    with pytest.raises(InvalidInputError):
        fit_power_law_with_noise(data, WINDOW, noise_scale=scale)


@pytest.mark.parametrize("k", [-1.5, 0.5])
def test_without_noise_no_scale_is_made_up(k: float) -> None:
    fit = fit_power_law_with_noise(power_law(k, 1e-2, 1.0, 5000, 3), Window(1e-2, 1.0))
    assert abs(fit.exponent - k) < 4 * fit.standard_error
    assert fit.noise_scale < 5e-3
    assert fit.summary().startswith("delta^-(-" if k < 0 else "delta^-0.")


def _uniform_in_log(size: int) -> np.ndarray:
    return power_law(1.0, 1e-2, 1.0, size, 0)


@pytest.mark.parametrize(
    ("data", "window", "scale"),
    [
        (_uniform_in_log(5000), (0.1, 0.2), None),
        (_uniform_in_log(5000), (0.1, 0.2), 1e-3),
        (_uniform_in_log(5000), (10.0, 100.0), None),
        (_uniform_in_log(5000), (10.0, 100.0), 0.1),
        (0.05 * np.random.default_rng(1).standard_normal(5000), (0.01, 1.0), None),
        (0.05 * np.random.default_rng(1).standard_normal(5000), (1e-4, 1e-3), None),
    ],
)
def test_noise_alone_and_windows_elsewhere_have_no_exponent(
    data: np.ndarray, window: tuple[float, float], scale: float | None
) -> None:
    with pytest.raises(InvalidInputError, match=r"do not resolve|must contain all"):
        fit_power_law_with_noise(data, window, noise_scale=scale)


def test_an_infinite_value_is_named_as_such() -> None:
    with pytest.raises(InvalidInputError, match="all finite; got 101, 100 finite"):
        fit_power_law_with_noise(np.append(np.ones(100), np.inf), WINDOW)
