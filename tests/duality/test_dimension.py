"""Ranks, effective dimensions and overlaps against written-out matrices."""

import pytest
import torch
from torch import nn

from critlearn.compositions import Composition
from critlearn.duality import DualityMap, learning_dimension
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from reference.networks import classes, seeded


def test_dimension_is_that_of_the_written_out_jacobians() -> None:
    data = classes((5, 6))
    phi = DualityMap(
        NeuralSystem(
            seeded(lambda: nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 1))),
            Composition("identity", "mse"),
            data,
        )
    )
    found = learning_dimension(phi, samples=5, directions=2)
    bases = []
    for at in range(5):
        left, values, _ = torch.linalg.svd(phi.jacobian(data.x[at], data.t[at]).dense(), full_matrices=False)
        bases.append(left[:, :2])
        squares = values**2
        ratio = float(squares.sum() ** 2 / (squares**2).sum())
        assert found.participation_ratios()[at] == pytest.approx(ratio, rel=1e-10)
        assert found.ranks()[at] == int((values > 1e-12 * values[0]).sum())
    for i in range(5):
        for j in range(5):
            cosines = torch.linalg.svdvals(bases[i].T @ bases[j])
            assert float(found.overlaps[i, j]) == pytest.approx(float((cosines**2).mean()), abs=1e-9)
    assert found.mean_overlap() == pytest.approx(
        float((found.overlaps.sum() - found.overlaps.diagonal().sum()) / 20), rel=1e-12
    )


def test_a_linear_unit_moves_in_one_plane() -> None:
    # y = w x: the change of w is -2 (y - t) x, whose derivative by (x, t) has rank 1.
    data = classes((3, 1))
    model = seeded(lambda: nn.Linear(1, 1, bias=False))
    found = learning_dimension(DualityMap(NeuralSystem(model, Composition("identity", "mse"), data)), directions=1)
    assert found.rank_counts() == {1: 3}
    torch.testing.assert_close(found.overlaps, torch.ones(3, 3).double())


def test_numbers_that_are_not_positive_are_refused() -> None:
    data = classes((3, 1))
    phi = DualityMap(NeuralSystem(seeded(lambda: nn.Linear(1, 1)), Composition("identity", "mse"), data))
    with pytest.raises(InvalidInputError, match="samples must be at least 1"):
        learning_dimension(phi, samples=0)
