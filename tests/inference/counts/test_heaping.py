"""Rounded values are recognised by their heaps, and values that only have few digits are not."""

import numpy as np
import pytest

from critlearn.inference import Criteria, fit_power_law
from critlearn.inference.counts.heaping import digit_cells, heaped_digits, size_cells
from reference.power_law_samples import power_law, rounded

VALUES = power_law(1.5, 1.0, 1e4, 20_000, 0)
FEW = Criteria(replicates=50)


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_rounding_is_seen(digits: int) -> None:
    assert heaped_digits(rounded(VALUES, digits)) == digits
    # The unit does not matter.
    assert heaped_digits(rounded(VALUES, digits) * 1e-9) == digits


def test_rounding_of_half_of_the_values_is_seen() -> None:
    assert heaped_digits(np.where(np.arange(VALUES.size) % 2 == 0, rounded(VALUES, 2), VALUES)) == 2
    assert heaped_digits(np.where(np.arange(VALUES.size) % 2 == 0, rounded(VALUES, 1), rounded(VALUES, 2))) == 1


@pytest.mark.parametrize(
    "values",
    [
        VALUES,
        VALUES.astype(np.float32),
        np.floor(VALUES),
        np.round(VALUES, 1),
        np.random.default_rng(0).zipf(1.8, 20_000).clip(max=2**50).astype(np.float64),
        np.floor(1e4 * VALUES),
        VALUES[:50],
    ],
    ids=["floats", "single", "integers", "tenths", "zipf", "large integers", "few"],
)
def test_values_as_they_are_have_no_heaps(values: np.ndarray) -> None:
    assert heaped_digits(values) is None


def test_cells_lie_half_way_between_round_numbers() -> None:
    cells = digit_cells(np.array([0.9, 1.1, 35.0]), 2, discrete=False)
    edges = np.exp(cells.edges)
    assert edges[0] < 0.9
    assert edges[-1] > 35.0
    for number in (0.95, 1.1, 9.9, 10.0, 35.0):
        at = int(np.searchsorted(edges, number))
        assert edges[at - 1] < number < edges[at]
    assert np.abs(edges - 1.05).min() < 1e-12
    assert np.abs(edges - 34.5).min() < 1e-12


def test_cells_of_integers_hold_whole_ones() -> None:
    cells = digit_cells(np.array([1.0, 250.0]), 1, discrete=True)
    assert cells.first_integer is not None
    # 1, 2, ..., 9, then 10 to 14 for 10, 15 to 24 for 20, ...
    np.testing.assert_array_equal(cells.first_integer[:11], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15])
    assert cells.first_integer[-1] > 250


def test_a_few_sizes_are_cells_around_each() -> None:
    sizes = np.repeat([1.0, 2.0, 8.0], 100)
    cells = size_cells(sizes)
    assert cells is not None
    np.testing.assert_allclose(np.exp(cells.edges), [2**-0.5, 2**0.5, 4.0, 16.0])
    assert size_cells(VALUES) is None
    # Three sizes of a few values each are no grid.
    assert size_cells(np.array([1.0, 2.0, 8.0])) is None


@pytest.mark.parametrize("case", ["two digits", "half to one digit"])
def test_the_exponent_of_rounded_values_is_covered(case: str) -> None:
    values = rounded(VALUES, 2)
    if case != "two digits":
        values = np.where(np.random.default_rng(1).random(values.size) < 0.5, rounded(VALUES, 1), values)
    fit = fit_power_law(values, criteria=FEW)
    assert fit.heaped_digits == (2 if case == "two digits" else 1)
    assert fit.established
    assert fit.standard_error is not None
    assert fit.exponent == pytest.approx(1.5, abs=4 * fit.standard_error)
