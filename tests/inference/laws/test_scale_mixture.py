"""Gaussian numbers of lognormal scale, against draws and against quadrature by another package."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from critlearn.inference.counts.cells import Cells
from critlearn.inference.laws.scale_mixture import ScaleMixture


@pytest.mark.parametrize("width", [0.3, 1.0, 3.0])
def test_probabilities_are_those_of_quadrature(width: float) -> None:
    edges = np.array([-20.0, -6.0, -1.0, 0.5, 3.0, 6.0])

    def below(edge: float) -> float:
        def integrand(n: float) -> float:
            return float(scipy.stats.norm.pdf(n) * math.erf(math.exp(edge - 0.4 - width * n) / math.sqrt(2)))

        return float(scipy.integrate.quad(integrand, -9, 9, epsabs=1e-13, limit=500)[0])

    expected = np.diff([below(float(edge)) for edge in edges])
    np.testing.assert_allclose(np.exp(ScaleMixture(0.4, width).log_masses(edges)), expected, rtol=1e-4)


def test_the_fit_finds_what_was_drawn() -> None:
    generator = np.random.default_rng(1)
    size = 100_000
    u = np.log(np.abs(generator.standard_normal(size))) + 0.7 + 1.5 * generator.standard_normal(size)
    cells = Cells.equal(-15.0, 0.1, 300)
    fit = ScaleMixture.fitted(cells, np.histogram(u, cells.edges)[0].astype(float))
    # The variance of u is 1.11^2 + s^2: ten errors of the mean, and of the deviation, of normal numbers.
    assert fit.log_scale == pytest.approx(0.7, abs=10 * 1.9 / math.sqrt(size))
    assert fit.width == pytest.approx(1.5, abs=10 * 1.9 / math.sqrt(2 * size))
