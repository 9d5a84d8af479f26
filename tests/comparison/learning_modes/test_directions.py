"""Leading directions of the changes of half of the samples, against the decomposition of the whole matrix in NumPy."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.comparison.learning_modes import directions, sample_changes
from critlearn.comparison.learning_modes.directions import leading_directions
from critlearn.comparison.learning_modes.sample_changes import SampleChanges
from critlearn.comparison.learning_modes.sample_sizes import sample_sizes
from critlearn.compositions import Composition
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.network import NeuralSystem
from critlearn.network.checks.finiteness import NonFiniteError
from reference.plain_gradients import plain_gradients

SAMPLES, NUMBER = 301, 4
"""An odd number: the halves differ in length, and the last batch is no whole one."""

HALVES = [[number for number in range(SAMPLES) if f"{number:b}".count("1") % 2 == half] for half in (0, 1)]


class Recurrent(nn.Module):
    """A recurrent layer, read out at its last step."""

    def __init__(self) -> None:
        super().__init__()
        self.states, self.out = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.states(x)[0][:, -1])


class Outside(nn.Module):
    """A network that uses the weight of its layer outside of it, too, so that no rule covers it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x))) + self.first.weight.sum()


def _networks() -> dict[str, tuple[nn.Module, Tensor]]:
    torch.manual_seed(1)
    return {
        "dense": (nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)), torch.randn(SAMPLES, 6)),
        "convolution": (
            nn.Sequential(nn.Conv2d(2, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)),
            torch.randn(SAMPLES, 2, 3, 3),
        ),
        "recurrent": (Recurrent(), torch.randn(SAMPLES, 5, 3)),
        "embedding": (
            nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(8, 3)),
            torch.randint(9, (SAMPLES, 2)),
        ),
        "no rule": (Outside(), torch.randn(SAMPLES, 6)),
    }


def _changes(model: nn.Module, x: Tensor, half: int = 0) -> tuple[SampleChanges, np.ndarray]:
    """Changes of a half as an operator, and as a matrix from a loop of automatic differentiation."""
    model, x = model.double(), x.double() if x.is_floating_point() else x
    t = torch.arange(SAMPLES) % 3
    system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))
    rows = plain_gradients(model, nn.CrossEntropyLoss(), x[HALVES[half]], t[HALVES[half]])
    changes = SampleChanges(PerSampleGradients(system, quiet=True), half)
    return changes, -np.concatenate([rows[name] for name in changes.places], axis=1)


@pytest.mark.parametrize("way", ["exact", "randomised", "randomised, nothing written out"])
@pytest.mark.parametrize("kind", list(_networks()))
def test_directions_are_right_singular_vectors_of_the_centred_changes(
    kind: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, matrix = _changes(*_networks()[kind])
    exact = way == "exact"
    if "nothing" in way:
        # As variables of many entries are treated.
        monkeypatch.setattr(sample_changes, "WRITTEN_OUT", 0)
        monkeypatch.setattr(directions, "_PRODUCTS", 0)
    found = leading_directions(changes, NUMBER, seed=0, exact=exact)
    centred = matrix - matrix.mean(axis=0)
    _, values, vectors = np.linalg.svd(centred, full_matrices=False)
    unit = np.exp(found.log_unit)
    # Three products with the scatter matrix, in the image of ten vectors more, leave the twelfth power of the ratio of
    # singular values as error, as those within are never too large (Halko, Martinsson and Tropp 2011).
    beyond = 0.0 if exact or len(values) <= NUMBER + 10 else values[NUMBER + 10]
    errors = 1 - found.singular_values.numpy() * unit / values[:NUMBER]
    assert (np.abs(errors) <= 1e-10 + 10 * (beyond / values[:NUMBER]) ** 12).all(), errors
    overlaps = np.abs((found.vectors.numpy() * vectors[:NUMBER]).sum(axis=1))
    assert (1 - overlaps <= 1e-10 + 30 * (beyond / values[:NUMBER]) ** 12).all(), overlaps
    np.testing.assert_allclose(found.sizes * unit**2, (centred**2).sum(axis=1), rtol=1e-9)
    # The randomised one takes what is left of the spectrum from the inner products of some pairs of samples.
    np.testing.assert_allclose(found.fourth_powers * unit**4, (values**4).sum(), rtol=1e-9 if exact else 0.02)


def test_a_gap_makes_the_randomised_decomposition_exact_to_a_millionth() -> None:
    # Inputs of three large and 57 small dimensions.
    torch.manual_seed(5)
    x = torch.randn(SAMPLES, 60) * torch.tensor([9.0, 6.0, 4.0, *[0.3] * 57])
    changes, matrix = _changes(nn.Linear(60, 3), x)
    found = leading_directions(changes, NUMBER, seed=0, exact=False)
    values = np.linalg.svd(matrix - matrix.mean(axis=0), compute_uv=False)
    assert values[NUMBER + 10] < 0.3 * values[NUMBER - 1]
    np.testing.assert_allclose(found.singular_values * np.exp(found.log_unit), values[:NUMBER], rtol=1e-6)


def test_rows_of_any_scale_become_orthonormal_with_the_same_span() -> None:
    torch.manual_seed(6)
    rows = torch.randn(5, 50_001, dtype=torch.float64) * torch.logspace(0, -12, 5)[:, None]
    found = rows.clone()
    directions.make_orthonormal(found)
    np.testing.assert_allclose(found @ found.T, np.eye(5), atol=1e-13)
    # Row by row: a decomposition of all together would not see the small ones.
    left = rows - (rows @ found.T) @ found
    assert (left.norm(dim=1) / rows.norm(dim=1)).max() < 1e-13


@pytest.mark.parametrize("half", [0, 1])
def test_components_are_those_of_the_samples_of_the_half(half: int) -> None:
    changes, matrix = _changes(*_networks()["dense"], half)
    vectors = torch.linalg.qr(torch.randn(matrix.shape[1], 2, dtype=torch.float64)).Q.T.contiguous()
    found = sample_sizes(changes, vectors)
    np.testing.assert_allclose(found.sign * np.exp(found.log_change), matrix @ vectors.numpy().T, rtol=1e-9)


def test_path_factors_are_derivatives_of_the_output_along_the_direction() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    x, t = torch.randn(40, 4, dtype=torch.float64), torch.randn(40).sign().double()
    system = NeuralSystem(model, Composition("tanh", "mse"), TensorDataset(x, t))
    changes = SampleChanges(PerSampleGradients(system), 1)
    vectors = torch.linalg.qr(torch.randn(changes.variables, 3, dtype=torch.float64)).Q.T.contiguous()
    found = sample_sizes(changes, vectors)
    for place, sample in enumerate(number for number in HALVES[1] if number < 40):
        gradients = torch.autograd.grad(
            model(x[sample]).squeeze(), [system.parameters[name] for name in changes.places]
        )
        along = vectors @ torch.cat([part.flatten() for part in gradients])
        np.testing.assert_allclose(found.log_factor[place], along.abs().log(), rtol=1e-9)


def test_components_are_known_by_their_logarithms_where_the_changes_underflow() -> None:
    # y = 40 x_0 for x_0 up to 100: errors of cross-entropy down to exp(-4000).
    torch.manual_seed(3)
    model = nn.Linear(2, 1, bias=False).double()
    model.weight.data = torch.tensor([[40.0, 0.0]], dtype=torch.float64)
    x = torch.stack([torch.linspace(0, 100, 64), torch.randn(64)], dim=1).double()
    system = NeuralSystem(model, Composition("sigmoid", "bce"), TensorDataset(x, torch.ones(64).double()))
    vectors = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    found = sample_sizes(SampleChanges(PerSampleGradients(system), 0), vectors)
    chosen = [number for number in HALVES[0] if number < 64]
    log_error = -torch.nn.functional.softplus(40 * x[chosen, 0])
    np.testing.assert_allclose(found.log_error, log_error, rtol=1e-12)
    assert found.log_error.min() < -3000
    expected = log_error + (x[chosen] @ vectors[0]).abs().log()
    np.testing.assert_allclose(found.log_change[:, 0], expected, rtol=1e-12)


def test_no_more_directions_than_the_changes_have() -> None:
    # Two inputs and no bias: the changes fill two dimensions.
    torch.manual_seed(4)
    model = nn.Linear(2, 1, bias=False).double()
    x = torch.randn(80, 2, dtype=torch.float64)
    loss = Composition("identity", "mse")
    system = NeuralSystem(model, loss, TensorDataset(x, torch.randn(80, dtype=torch.float64)))
    changes = SampleChanges(PerSampleGradients(system), 0)
    assert len(leading_directions(changes, 6, seed=0, exact=None).vectors) == 2
    assert len(leading_directions(changes, 6, seed=0, exact=False).vectors) == 2
    # A wide layer that all samples see through the same two inputs.
    wide = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 50, bias=False)).double()
    wide[1].weight.requires_grad_(False)
    system = NeuralSystem(wide, nn.CrossEntropyLoss(), TensorDataset(x, torch.arange(80) % 50))
    for exact in (True, False):
        changes = SampleChanges(PerSampleGradients(system), 0)
        assert len(leading_directions(changes, 6, seed=0, exact=exact).vectors) == 2


def test_a_sample_that_is_not_finite_has_its_number_in_the_data() -> None:
    x = torch.ones(600, 2, dtype=torch.float64)
    x[577] = torch.nan  # 1001000001 in binary digits
    system = NeuralSystem(nn.Linear(2, 1).double(), Composition("tanh", "mse"), TensorDataset(x, torch.ones(600)))
    with pytest.raises(NonFiniteError, match="sample 577"):
        SampleChanges(PerSampleGradients(system), 1).mean()
