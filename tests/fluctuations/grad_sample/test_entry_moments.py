"""Means and spreads of batches merged, against those of all samples at once and against exact fractions."""

from fractions import Fraction

import numpy as np
import torch

from critlearn.fluctuations.grad_sample.entry_moments import EntryMoments


def test_merged_batches_have_the_moments_of_all_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([1.0, 1e-200, 1e3, 0.0], dtype=torch.float64)
    values = torch.randn(20, 4, generator=generator, dtype=torch.float64) * sizes
    values[:3, 2] = 0.0
    weight = torch.rand(20, generator=generator, dtype=torch.float64)
    merged = EntryMoments.of(values[:3], weight[:3]).merged(EntryMoments.of(values[3:], weight[3:]))
    expected = (values * weight[:, None]).numpy()
    assert merged.samples == 20
    np.testing.assert_allclose(merged.mean * merged.peak, expected.mean(axis=0), rtol=1e-12, atol=0)
    # Squares of 1e-200 are no numbers: the units are.
    scaled = expected / np.where(merged.peak > 0, merged.peak, 1)
    np.testing.assert_allclose(merged.squares, ((scaled - scaled.mean(axis=0)) ** 2).sum(axis=0), rtol=1e-12, atol=0)
    np.testing.assert_allclose(merged.size * merged.peak, np.abs(expected).mean(axis=0), rtol=1e-12, atol=0)
    # The third entry has no change in the three samples of the first batch.
    assert merged.movers.tolist() == [20, 20, 17, 0]


def test_units_of_two_batches_far_apart() -> None:
    """Two samples of size 3 in units of 2^-60 of the other batch, as exact fractions."""
    weight = torch.ones(2, dtype=torch.float64)
    small = EntryMoments.of(torch.tensor([[3.0], [5.0]]).double(), weight)
    large = EntryMoments.of(torch.tensor([[1.0], [2.0]]).double(), weight)
    merged = small.merged(large, shrunk=2.0**-60)
    values = [Fraction(3, 2**60), Fraction(5, 2**60), Fraction(1), Fraction(2)]
    mean = sum(values) / 4
    assert float(merged.mean * merged.peak) == float(mean)
    # All are positive, so that the mean size is the mean.
    assert float(merged.size * merged.peak) == float(mean)
    squares = float(sum((value - mean) ** 2 for value in values))
    np.testing.assert_allclose(float(merged.squares * merged.peak**2), squares, rtol=1e-15)
