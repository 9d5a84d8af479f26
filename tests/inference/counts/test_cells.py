"""Sums over cells against quadrature and against zeta functions."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special

from critlearn.errors import InvalidInputError
from critlearn.inference.counts.cells import Cells
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.laws.power_law_uneven_cells import distribution
from critlearn.inference.laws.window_fits import fit_window
from critlearn.numerics.window import Window


@pytest.mark.parametrize(
    "edges", [np.linspace(-3, 2, 40), np.log(np.linspace(0.1, 5, 30)), np.array([-8.0, -7.9, -4.0, -3.0, 0.0, 0.01])]
)
def test_masses_agree_with_quadrature(edges: np.ndarray) -> None:
    def density(u: np.ndarray) -> np.ndarray:
        return 1.3 * u - np.exp(u)

    cells = Cells(edges)
    exact = np.array(
        [scipy.integrate.quad(lambda u: math.exp(density(u)), a, b)[0] for a, b in itertools.pairwise(edges)]
    )
    np.testing.assert_allclose(np.exp(cells.log_masses(density)), exact / exact.sum(), rtol=1e-9)
    assert cells.log_normaliser(density) == pytest.approx(math.log(exact.sum()), abs=1e-9)


@pytest.mark.parametrize("k", [1.2, 2.5, 4.0])
def test_masses_of_integers_agree_with_zeta_functions(k: float) -> None:
    cells = Cells.integers(3, 50_000)
    first = cells.first_integer
    assert first is not None
    masses = scipy.special.zeta(k, first[:-1]) - scipy.special.zeta(k, first[1:])
    found = np.exp(cells.log_masses(lambda u: (1 - k) * u))
    # Above 200 a sum over integers is taken as an integral: one part in k (k + 1) / (24 x^2).
    np.testing.assert_allclose(found, masses / masses.sum(), rtol=5e-5)


@pytest.mark.parametrize("k", [1.5, 2.5])
def test_a_law_to_infinity_has_the_tail_of_the_zeta_function(k: float) -> None:
    cells = Cells.integers(1, 1000)
    first = cells.first_integer
    assert first is not None
    found = distribution(cells, np.array([1 - k]), below=False, above=True)[0]
    expected = 1 - scipy.special.zeta(k, first) / scipy.special.zeta(k, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_irregular_cells_fit_like_equal_ones() -> None:
    generator = np.random.default_rng(0)
    equal = Cells.equal(-5.0, 0.05, 100)
    counts = generator.poisson(50 * np.exp(0.4 * equal.centres + 3), (4, 100)).astype(np.float64)
    by_formula = fit_window(GroupedCounts(equal, counts), 10, 90)
    by_sums = fit_window(GroupedCounts(Cells(equal.edges), counts), 10, 90)
    assert by_formula is not None
    assert by_sums is not None
    assert by_sums.exponent == pytest.approx(by_formula.exponent, abs=1e-8)
    assert by_sums.standard_error == pytest.approx(by_formula.standard_error, rel=1e-3)


@pytest.mark.parametrize("open_below", [False, True])
def test_open_sides_are_the_limit_of_far_cut_offs(open_below: bool) -> None:
    cells = Cells.equal(0.0, 0.1, 60)
    counts = np.random.default_rng(1).poisson(100 * np.exp((1 if open_below else -1) * 0.7 * cells.centres))[None]
    counts = counts.astype(np.float64)
    found = fit_window(GroupedCounts(cells, counts, open_below=open_below, open_above=not open_below), 0, 60)
    # Geometric law: the mean index from the closed end gives the parameter at once.
    index = np.arange(60)[::-1] if open_below else np.arange(60)
    mean = float(counts[0] @ index / counts.sum())
    theta = (1 if open_below else -1) * math.log1p(1 / mean) / 0.1
    assert found is not None
    assert found.exponent == pytest.approx(1 - theta, abs=1e-9)


def test_windows_move_inwards() -> None:
    cells = Cells.equal(0.0, 1.0, 10)
    assert cells.inside(Window.from_logs(1.5, 7.2)) == slice(2, 7)
    assert cells.inside(Window.from_logs(2.0 + 1e-9, 7.0 - 1e-9)) == slice(2, 7)


def test_joining_cells_keeps_counts_and_open_ends() -> None:
    counts = np.arange(1.0, 11.0)[None]
    joined = GroupedCounts(Cells.equal(0.0, 1.0, 10), counts).coarsened(4)
    # One cell is left over: an empty one beside it would pull a fit, so it is only counted.
    assert joined.counts.tolist() == [[1 + 2 + 3, 4 + 5 + 6, 7 + 8 + 9]]
    assert joined.outside == 10
    assert joined.total == 55
    above = GroupedCounts(Cells.equal(0.0, 1.0, 10), counts, open_above=True).coarsened(4)
    assert above.counts.tolist() == [[6, 15, 24, 10]]
    assert above.edges.tolist() == [0, 3, 6, 9, 12]
    below = GroupedCounts(Cells.equal(0.0, 1.0, 10), counts, open_below=True).coarsened(4)
    assert below.counts.tolist() == [[1, 9, 18, 27]]
    assert below.edges.tolist() == [-2, 1, 4, 7, 10]


@pytest.mark.parametrize("edges", [[0.0, 0.0, 1.0], [1.0, 0.0], [0.0, np.nan], [0.0, np.inf]])
def test_edges_that_are_none_are_refused(edges: list[float]) -> None:
    with pytest.raises(InvalidInputError, match="ascending"):
        Cells(np.array(edges))
