"""Densities on the line against SciPy, and refusals of texts that describe none."""

import numpy as np
import pytest
import scipy.stats

from critlearn.errors import InvalidInputError
from critlearn.prediction import EmpiricalDensity, parse_density


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("uniform(-0.3,2.3)", scipy.stats.uniform(-0.3, 2.6)),
        ("normal(1, 2)", scipy.stats.norm(1, 2)),
        (" laplace( 1 ,7e-1 ) ", scipy.stats.laplace(1, 0.7)),
    ],
)
def test_named_densities_are_scipys(text: str, law: object) -> None:
    density = parse_density(text)
    x = np.linspace(-0.2, 2.2, 7)
    np.testing.assert_allclose(density.log_density(x), law.logpdf(x))  # type: ignore[attr-defined]
    step = 1e-6
    slope = (law.logpdf(x + step) - law.logpdf(x - step)) / (2 * step)  # type: ignore[attr-defined]
    smooth = np.abs(x - 1) > 1e-3
    np.testing.assert_allclose(density.log_density_slope(x)[smooth], slope[smooth], atol=1e-6)
    assert scipy.stats.kstest(density.sample(5000, np.random.default_rng(1)), law.cdf).pvalue > 1e-4  # type: ignore[attr-defined]
    assert parse_density(str(density)) == density


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unifrom(0,1)", 'did you mean "uniform"'),
        ("uniform(1,0)", "low < high"),
        ("uniform(1,1)", "low < high"),
        ("normal(0,-1)", "standard deviation > 0"),
        ("normal(0,nan)", "finite"),
        ("normal(0,inf)", "finite"),
        ("laplace(1)", "two numbers"),
        ("laplace(a,b)", "needs numbers"),
        ("__import__('os')", "unknown input density"),
        ("().__class__", "is not one of"),
        ("", "is not one of"),
    ],
)
def test_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_density(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_kernel_estimate_agrees_with_scipys() -> None:
    values = np.random.default_rng(5).normal(2, 3, size=400)
    density = EmpiricalDensity(values)
    kernels = scipy.stats.gaussian_kde(values, bw_method=density.bandwidth / values.std(ddof=1))
    low, high = values.min(), values.max()

    def reference(at: np.ndarray) -> np.ndarray:
        """With its mirror images beyond both ends."""
        return np.asarray(kernels(at) + kernels(2 * low - at) + kernels(2 * high - at))

    x = np.linspace(low + 1e-3, high - 1e-3, 9)
    np.testing.assert_allclose(density.log_density(x), np.log(reference(x)), rtol=1e-9)
    step = 1e-5
    slope = (np.log(reference(x + step)) - np.log(reference(x - step))) / (2 * step)
    np.testing.assert_allclose(density.log_density_slope(x), slope, atol=1e-6)
    integral = [
        kernels.integrate_box_1d(low, at)
        + kernels.integrate_box_1d(2 * low - at, low)
        + kernels.integrate_box_1d(2 * high - at, 2 * high - low)
        for at in x
    ]
    np.testing.assert_allclose(density.cumulative(x), integral, rtol=1e-9)
    assert np.isneginf(density.log_density(np.array([low - 0.1, high + 0.1]))).all()
    np.testing.assert_allclose(density.cumulative(x) + density.survival(x), 1)
    np.testing.assert_allclose(density.cumulative(density.quantile(np.array([0.1, 0.5]))), [0.1, 0.5], atol=1e-3)


@pytest.mark.parametrize("values", [[1.0] * 50, [1.0, 2.0], [np.nan, *range(20)]])
def test_margins_without_a_density_are_refused(values: list[float]) -> None:
    with pytest.raises(InvalidInputError, match="at least 10"):
        EmpiricalDensity(np.array(values))
