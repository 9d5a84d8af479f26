"""Ranks, effective dimensions and overlaps against written-out matrices."""

from statistics import median

import pytest
import torch
from torch import nn

from critlearn.compositions import Composition
from critlearn.duality import DualityMap, learning_dimension
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from reference.networks import Pairs, classes, seeded


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


@pytest.mark.usefixtures("without_shape_checker")
def test_numbers_that_are_not_positive_are_refused() -> None:
    data = classes((3, 1))
    phi = DualityMap(NeuralSystem(seeded(lambda: nn.Linear(1, 1)), Composition("identity", "mse"), data))
    for samples in (0, 2.5):
        with pytest.raises(InvalidInputError, match="samples must be at least 1"):
            learning_dimension(phi, samples=samples)


def test_samples_without_a_tangent_space_have_no_overlap() -> None:
    x = torch.tensor([[1.0, 0.5], [0.8, -0.2], [-1.0, 0.3], [-2.0, 0.1]], dtype=torch.float64)
    model = seeded(lambda: nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 2)))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0]]))
        model[0].bias.zero_()
    phi = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), Pairs(x, torch.tensor([0, 1, 0, 1]))))
    found = learning_dimension(phi, directions=2)
    assert found.rank_counts() == {0: 2, 2: 2}
    assert found.overlaps[2:].isnan().all()
    matrices = [phi.jacobian(x[at], torch.tensor(at)).dense() for at in (0, 1)]
    bases = [torch.linalg.svd(matrix, full_matrices=False)[0] for matrix in matrices]
    cosines = torch.linalg.svdvals(bases[0].T @ bases[1])
    assert found.mean_overlap() == pytest.approx(float((cosines**2).mean()), rel=1e-9)
    with torch.no_grad():
        model[0].bias.fill_(-50.0)
    assert learning_dimension(phi, directions=2).mean_overlap() is None
    # As many leading directions as are asked for, also where they change nothing.
    jacobian = phi.jacobian(x[0], torch.tensor(0))
    assert jacobian.top_singular_values(2).tolist() == [0.0, 0.0]
    directions = jacobian.leading_directions(2).x
    torch.testing.assert_close(directions @ directions.T, torch.eye(2).double())


def test_leading_directions_of_wide_inputs_that_change_nothing() -> None:
    x = torch.randn(3, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = seeded(lambda: nn.Sequential(nn.Linear(9, 1), nn.ReLU(), nn.Linear(1, 2)))
    with torch.no_grad():
        model[0].bias.fill_(-50.0)
    phi = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), Pairs(x, torch.tensor([0, 1, 0]))))
    found = phi.jacobian(x[0], torch.tensor(0)).leading_directions(6)
    assert found.values.tolist() == [0.0] * 6
    torch.testing.assert_close(found.x @ found.x.T, torch.eye(6).double())


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("kind", ["flat", "curved", "with noise"])
def test_along_data_of_few_dimensions(dimension: int, kind: str) -> None:
    generator = torch.Generator().manual_seed(dimension)
    inside = torch.randn(400, dimension, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    x = inside @ basis[:dimension]
    if kind == "curved":
        x = x + 0.1 * (inside**2).sum(dim=1, keepdim=True) * basis[5]
    if kind == "with noise":
        x = x + 1e-3 * torch.randn(400, 6, generator=generator, dtype=torch.float64)
    t = torch.where(inside[:, 0] > 0, 1.0, -1.0).double()
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)))
    phi = DualityMap(NeuralSystem(model, Composition("tanh", "mse"), Pairs(x, t)))
    found = learning_dimension(phi, samples=40)
    assert found.rank_counts() == {6: 40}
    dimensions = [spectrum.boundary for spectrum in found.along_data]
    # Far from the middle samples are so rare that curvature shows among the nearest.
    assert sum(size == dimension for size in dimensions) >= (40 if kind == "flat" else 36)
    for at, spectrum in enumerate(found.along_data):
        assert spectrum.rank() == spectrum.boundary
        if kind == "flat":
            # The tangent space is known: the singular values are those of J on the plane itself.
            place = round(at * 399 / 39)
            expected = torch.linalg.svdvals(phi.jacobian(x[place], t[place]).dense() @ basis[:dimension].T)
            torch.testing.assert_close(spectrum.values(), expected, rtol=1e-9, atol=0)


def test_continuous_targets_are_coordinates_of_the_data() -> None:
    x = torch.linspace(-1, 1, 200).double()[:, None] * torch.tensor([[1.0, 2.0, -1.0]], dtype=torch.float64)
    data = Pairs(x, torch.sin(x[:, 0]))
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)))
    found = learning_dimension(DualityMap(NeuralSystem(model, Composition("identity", "mse"), data)), samples=20)
    assert {spectrum.boundary for spectrum in found.along_data} == {1}
    assert found.to_dict()["along_data"]["rank_counts"] == {"1": 20}


def test_a_class_of_one_sample_has_no_direction() -> None:
    data = classes((4, 3))
    t = torch.tensor([1.0, -1.0, -1.0, -1.0]).double()
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)))
    phi = DualityMap(NeuralSystem(model, Composition("tanh", "mse"), Pairs(data.x, t)))
    found = learning_dimension(phi)
    assert found.along_data[0].boundary == 0
    assert found.along_data[0].participation_ratio() == 0
    assert "along the data" in found.summary()
    with pytest.raises(InvalidInputError, match=r"shape \(3, number\)"):
        phi.jacobian(data.x[0], t[0]).along(torch.zeros(2, 1).double())


@pytest.mark.parametrize("dimension", [1, 2])
def test_the_summary_tells_data_on_a_line_from_those_on_a_plane(dimension: int) -> None:
    generator = torch.Generator().manual_seed(0)
    inside = torch.randn(200, dimension, generator=generator, dtype=torch.float64)
    x = inside @ torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q[:dimension]
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)))
    data = Pairs(x, torch.where(inside[:, 0] > 0, 1.0, -1.0).double())
    found = learning_dimension(DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data)), samples=20)
    assert f"20 samples: rank 6 (20), effective dimension {median(found.participation_ratios()):.1f}" in found.summary()
    along = median(spectrum.participation_ratio() for spectrum in found.along_data)
    assert f"along the data rank {dimension} (20), effective dimension {along:.1f}" in found.summary()
    # Fifteen neighbours of about a hundred samples of a class.
    assert found.to_dict()["along_data"]["note"] == ""
    assert "whole set" not in found.summary()


def test_neighbourhoods_of_few_samples_are_the_whole_set() -> None:
    model = seeded(lambda: nn.Linear(4, 1))
    found = learning_dimension(DualityMap(NeuralSystem(model, Composition("identity", "mse"), classes((3, 4)))))
    assert "neighbourhoods hold 100% of the data" in found.summary()
    assert "whole set" in found.to_dict()["along_data"]["note"]
