"""Convolutions of histograms of both signs against the sums written out pair by pair."""

import numpy as np
import pytest

from critlearn.fluctuations.counting.convolution import convolve, workspace


def _pair_by_pair(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Counts (bin, sign) of all sums of a number in the one and a number in the other; signs multiply."""
    plain, crossed = np.zeros((2, len(first) + len(second) - 1), dtype=np.int64)
    for sign in range(2):
        plain += np.convolve(first[:, sign], second[:, sign])
        crossed += np.convolve(first[:, sign], second[:, 1 - sign])
    return np.stack([plain, crossed], axis=1)


def _histogram(generator: np.random.Generator, bins: int, filled: float, most: int) -> np.ndarray:
    """Counts (bin, sign) with the given part of bins filled, and a thin tail below."""
    counts = generator.integers(0, most + 1, (bins, 2)) * (generator.random((bins, 2)) < filled)
    counts[: bins // 3] = (generator.random((bins // 3, 2)) < 0.01).astype(np.int64)
    return counts


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("bins", "filled", "most"),
    [((700, 500), (0.5, 0.1), (12, 2)), ((5, 3), (1, 1), (3, 1)), ((40, 200), (0.9, 0.02), (900, 60_000)),
     ((1, 300), (1, 0.05), (60_000, 3)), ((33, 1), (0.5, 1), (1, 60_000)), ((600, 400), (0.9, 0.3), (31, 1)),
     ((600, 400), (0.9, 0.3), (32, 1)), ((900, 900), (0.8, 0.9), (1, 1)), ((64, 2000), (1, 0.02), (31, 4))],
)  # fmt: skip
def test_counts_are_those_of_all_pairs(
    seed: int, bins: tuple[int, int], filled: tuple[float, float], most: tuple[int, int]
) -> None:
    generator = np.random.default_rng(seed)
    dense, sparse = (_histogram(generator, *each) for each in zip(bins, filled, most, strict=True))
    _check(dense, sparse)


@pytest.mark.parametrize(
    ("full", "copies"),
    [(11, 24), (31, 8), (32, 8), (31, 33), (31, 2114), (31, 2116), (31, 4000), (255, 300), (30, 2184), (1, 65_535)],
)
def test_bins_that_are_full_all_over_do_not_run_over(full: int, copies: int) -> None:
    # Copies overlap everywhere: the fullest bin of the sum holds what all of them together do.
    dense = np.full((copies // 2 + 300, 2), full)
    sparse = np.zeros((-(-copies // 2), 2), dtype=np.int64)
    sparse.ravel()[:copies] = 1
    _check(dense, sparse)


def _check(dense: np.ndarray, sparse: np.ndarray) -> None:
    """Hold counts against those of all pairs."""
    bins = (len(dense), len(sparse))
    space = workspace(sum(bins))
    counts = np.ones((sum(bins) + 9, 2), np.int64)
    rows = [each.astype(np.uint16).ravel() for each in (dense, sparse)]
    convolve(rows[0], bins[0], rows[1], bins[1], space, 4, counts)
    expected = np.ones_like(counts)
    expected[4 : 4 + sum(bins) - 1] += _pair_by_pair(dense, sparse)
    np.testing.assert_array_equal(counts, expected)
    # What the next row starts from.
    assert not any(each.any() for each in (space.source, space.scratch, space.byte_source, space.buffer))
