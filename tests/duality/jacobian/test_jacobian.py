"""The Jacobian against double automatic differentiation, central differences and mpmath."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from critlearn.compositions import Composition
from critlearn.duality import DualityMap
from critlearn.duality.jacobian.leading_directions import leading_by_iteration
from critlearn.errors import InvalidInputError
from critlearn.network import ActivationModule, NeuralSystem, feed_forward
from critlearn.numerics.accurate_svd import accurate_singular_values
from reference.networks import Pairs, classes, logistic_cross_entropy, seeded, softsign_absolute, tanh_squared


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.cell(x)[0][:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.out = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(12, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.inner(x, x, x, need_weights=False)[0].flatten(1))


NETWORKS = {
    "dense": (lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)), (6,)),
    "deep and narrow": (
        lambda: nn.Sequential(nn.Linear(6, 3), nn.GELU(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 1)),
        (6,),
    ),
    "without biases": (
        lambda: nn.Sequential(nn.Linear(6, 3, bias=False), nn.SiLU(), nn.Linear(3, 1, bias=False)),
        (6,),
    ),
    "convolutional": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 1)),
        (2, 6, 6),
    ),
    "normalised": (lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 1)), (6,)),
    "attention": (Attention, (3, 4)),
    "recurrent": (Recurrent, (3, 2)),
}


def twice(activation: nn.Module) -> nn.Module:
    """One activation module in two places."""
    return nn.Sequential(nn.Linear(6, 5), activation, nn.Linear(5, 5), activation, nn.Linear(5, 1))


def layer_twice() -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(6, 1))


NETWORKS |= {
    "one ReLU in two places": (lambda: twice(nn.ReLU()), (6,)),
    "one SiLU in two places": (lambda: twice(nn.SiLU()), (6,)),
    "one layer in two places": (layer_twice, (6,)),
}
PLAIN = {
    ("tanh", "mse"): tanh_squared,
    ("sigmoid", "bce"): logistic_cross_entropy,
    ("softsign", "mae"): softsign_absolute,
    ("identity", "mse"): lambda y, t: ((y - t) ** 2).sum(),
    ("identity", "cauchy"): lambda y, t: torch.log1p((y - t) ** 2).sum() / 2,
}


def changes(phi: DualityMap, x: Tensor, t: Tensor) -> Tensor:
    return torch.cat([change.flatten() for change in phi(x[None], t[None]).values()])


def by_double_differentiation(model: nn.Module, loss: object, x: Tensor, t: Tensor, lr: float) -> Tensor:
    """Derivatives of the gradients by x and t, one variable after the other, by plain automatic differentiation."""
    x, t = x.clone().requires_grad_(), t.clone().requires_grad_()
    # Torch's fused attention has no second derivative.
    with sdpa_kernel(SDPBackend.MATH):
        value = loss(model(x[None]).reshape(-1), t.reshape(-1))
    gradients = torch.autograd.grad(value, list(model.parameters()), create_graph=True)
    rows = []
    for entry in torch.cat([gradient.flatten() for gradient in gradients]):
        parts = torch.autograd.grad(entry, (x, t), retain_graph=True, allow_unused=True, materialize_grads=True)
        rows.append(torch.cat([part.flatten() for part in parts]))
    return -lr * torch.stack(rows)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("names", PLAIN, ids="+".join)
def test_agrees_with_double_differentiation_and_differences(network: str, names: tuple[str, str]) -> None:
    make, shape = NETWORKS[network]
    model, data = seeded(make), classes((3, *shape))
    lr = 0.3
    phi = DualityMap(NeuralSystem(model, Composition(*names), data), lr)
    x, t = data.x[1], data.t[1]
    jacobian = phi.jacobian(x, t)
    expected = by_double_differentiation(model, PLAIN[names], x, t, lr)
    expected = expected[:, : jacobian.shape[1]]
    assert jacobian.shape == (sum(p.numel() for p in model.parameters()), x.numel() + (names[0] == "identity"))
    dense = jacobian.dense()
    size = float(expected.abs().max())
    torch.testing.assert_close(dense, expected, rtol=1e-9, atol=1e-12 * size)

    direction = torch.randn(jacobian.shape[1], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights = torch.randn(jacobian.shape[0], generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    chosen = [3, 0]
    of_two = [
        by_double_differentiation(model, PLAIN[names], *pair, lr)[chosen] for pair in ((x, t), (data.x[2], data.t[2]))
    ]
    rows = phi.jacobian_rows(data.x[1:], data.t[1:], chosen)
    torch.testing.assert_close(rows, torch.stack(of_two)[:, :, : rows.shape[2]], rtol=1e-9, atol=1e-12 * size)
    torch.testing.assert_close(jacobian.jvp(direction), expected @ direction, rtol=1e-9, atol=1e-11 * size)
    torch.testing.assert_close(jacobian.vjp(weights), expected.T @ weights, rtol=1e-9, atol=1e-11 * size)

    step = 1e-5
    shift = step * direction[: x.numel()].reshape(x.shape)
    shift_t = step * direction[-1] if names[0] == "identity" else 0.0
    difference = (changes(phi, x + shift, t + shift_t) - changes(phi, x - shift, t - shift_t)) / (2 * step)
    along = expected @ direction
    torch.testing.assert_close(difference, along, rtol=0, atol=1e-6 * float(along.abs().max()))

    values = torch.linalg.svdvals(expected)
    largest = float(values[0])
    torch.testing.assert_close(jacobian.singular_values(), values, rtol=0, atol=1e-10 * largest)
    assert jacobian.rank(1e-9) == int((values > 1e-9 * largest).sum())
    leading = jacobian.leading_directions(2)
    found = torch.cat([leading.x.flatten(1), leading.t], dim=1)
    torch.testing.assert_close((expected @ found.T).norm(dim=0), values[:2], rtol=1e-9, atol=0)
    torch.testing.assert_close(found @ found.T, torch.eye(2).double(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("trained", ["0.weight", "0.bias", "2.weight"])
def test_frozen_variables_have_no_rows(trained: str) -> None:
    model, data = seeded(lambda: nn.Sequential(nn.Linear(9, 3), nn.Tanh(), nn.Linear(3, 1))), classes((3, 9))
    for name, value in model.named_parameters():
        value.requires_grad_(name == trained)
    jacobian = DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data)).jacobian(data.x[0], data.t[0])
    values = torch.linalg.svdvals(jacobian.dense())
    torch.testing.assert_close(jacobian.singular_values(), values, rtol=0, atol=1e-12 * float(values[0]))


def many_classes(soft: bool) -> tuple[nn.Module, Pairs]:
    model = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(40, 7), nn.Tanh(), nn.Linear(7, 4)))
    x = torch.randn(5, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return model, Pairs(x, t.softmax(dim=1) if soft else t.argmax(dim=1))


def test_softmax_with_probabilities_has_an_exact_null_direction_and_known_multiplicities() -> None:
    model, data = many_classes(True)
    phi = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), data))
    x, t = data.x[0], data.t[0]
    jacobian = phi.jacobian(x, t)
    loss = nn.CrossEntropyLoss()
    expected = by_double_differentiation(model, lambda y, t: loss(y[None], t[None]), x, t, 1.0)
    torch.testing.assert_close(jacobian.dense(), expected, rtol=0, atol=1e-13)
    values = torch.linalg.svdvals(expected)
    torch.testing.assert_close(jacobian.singular_values(), values, rtol=0, atol=1e-13 * float(values[0]))
    assert jacobian.singular_values()[-1] == 0
    assert jacobian.rank() == 43
    assert jacobian.log_volume() == -math.inf
    null = torch.cat([torch.zeros(40).double(), model(x[None])[0].softmax(dim=0)]).detach()
    assert float(jacobian.jvp(null).abs().max()) < 1e-15
    # 40 inputs, 7 hidden units and x itself: 32 directions with the size of the first error.
    error = phi(x[None], t[None])["1.bias"].norm()
    assert int((abs(jacobian.singular_values() / error - 1) < 1e-12).sum()) == 32


def test_probabilities_are_coordinates_and_classes_are_not() -> None:
    model, data = many_classes(False)
    phi = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), data))
    by_class = phi.jacobian(data.x[0], data.t[0])
    assert by_class.shape[1] == 40
    one_hot = torch.nn.functional.one_hot(data.t[0], 4).double()
    by_weights = phi.jacobian(data.x[0], one_hot)
    assert by_weights.shape[1] == 44
    torch.testing.assert_close(by_weights.dense()[:, :40], by_class.dense(), rtol=1e-12, atol=1e-15)
    with pytest.raises(InvalidInputError, match="discrete"):
        phi.jacobian(data.x[0], data.t[0], targets=True)


def test_batches_and_layers_have_the_spectra_of_single_samples_and_rows() -> None:
    model, data = many_classes(True)
    phi = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), data), 0.5)
    for spectrum, x, t in zip(phi.spectra(data.x, data.t), data.x, data.t, strict=True):
        values = torch.linalg.svdvals(phi.jacobian(x, t).dense())
        torch.testing.assert_close(spectrum.values(), values, rtol=0, atol=1e-12 * float(values[0]))
    jacobian = phi.jacobian(data.x[0], data.t[0])
    dense = jacobian.dense()
    parts = {"1": dense[: 7 * 41], "3": dense[7 * 41 :]}
    for layer, spectrum in jacobian.by_layer().items():
        values = torch.linalg.svdvals(parts[layer])
        torch.testing.assert_close(spectrum.values(), values, rtol=0, atol=1e-12 * float(values[0]))


def test_largest_singular_values_without_the_matrix() -> None:
    model = seeded(lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 1)))
    data = classes((2, 1, 8, 8))
    jacobian = DualityMap(NeuralSystem(model, Composition("sigmoid", "bce"), data)).jacobian(data.x[0], data.t[0])
    values = torch.linalg.svdvals(jacobian.dense())
    found = jacobian._factor * leading_by_iteration(jacobian._operator, 5)[0]
    torch.testing.assert_close(found, values[:5], rtol=1e-10, atol=0)
    assert jacobian.linear_operator().shape == jacobian.shape


def deep_tanh_chain(gains: tuple[float, ...], x: float, t: int) -> list[mp.mpf]:
    """Derivatives by x of the gradients by all weights and biases of scalar tanh layers, by mpmath."""

    def gradients(value: mp.mpf) -> list[mp.mpf]:
        states = [value]
        for gain in gains:
            states.append(mp.tanh(gain * states[-1]))
        error, found = 2 * (states[-1] - t) / mp.cosh(gains[-1] * states[-2]) ** 2, []
        for at in range(len(gains) - 1, -1, -1):
            found = [error * states[at], error, *found]
            if at:
                error = error * gains[at] / mp.cosh(gains[at - 1] * states[at - 1]) ** 2
        return found

    with mp.workdps(900):
        step = mp.mpf(10) ** -250
        above, below = gradients(mp.mpf(x) + step), gradients(mp.mpf(x) - step)
        return [-(a - b) / (2 * step) for a, b in zip(above, below, strict=True)]


@pytest.mark.parametrize("gains", [(40.0, 45.0), (150.0, 200.0), (20.0, 30.0, 25.0)])
def test_log_volume_where_errors_are_far_below_rounding(gains: tuple[float, ...]) -> None:
    modules: list[nn.Module] = []
    for gain in gains:
        linear = nn.Linear(1, 1).double()
        nn.init.constant_(linear.weight, gain)
        nn.init.zeros_(linear.bias)
        modules += [linear, ActivationModule("tanh")]
    data = Pairs(torch.ones(2, 1).double(), torch.ones(2).double())
    phi = DualityMap(NeuralSystem(nn.Sequential(*modules[:-1]), Composition("tanh", "mse"), data))
    with mp.workdps(900):
        expected = mp.log(mp.norm(mp.matrix(deep_tanh_chain(gains, 1.0, 1))))
    assert phi.jacobian(data.x[0], data.t[0]).log_volume() == pytest.approx(float(expected), rel=1e-12)


def test_singular_values_of_any_scale() -> None:
    generator = np.random.default_rng(0)
    rows, columns = 10.0 ** generator.uniform(-150, 0, (9, 1)), 10.0 ** generator.uniform(-100, 0, 6)
    matrix = rows * generator.normal(size=(9, 6)) * columns
    with mp.workdps(400):
        exact = sorted((float(value) for value in mp.svd_r(mp.matrix(matrix.tolist()), compute_uv=False)), reverse=True)
    np.testing.assert_allclose(accurate_singular_values(matrix), exact, rtol=1e-12)
    np.testing.assert_allclose(accurate_singular_values(matrix.T), exact, rtol=1e-12)
    assert accurate_singular_values(np.zeros((3, 2))).tolist() == [0, 0]


def test_hooks_take_part_or_are_refused_also_if_they_come_later() -> None:
    model, data = seeded(lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1))), classes((3, 6))
    phi = DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data))
    x, t = data.x[1], data.t[1]
    plain = phi.jacobian(x, t).dense()
    model[1].register_forward_hook(lambda module, given, produced: produced**3)
    step = 1e-5 * torch.eye(6, dtype=torch.float64)
    differences = torch.stack([(changes(phi, x + d, t) - changes(phi, x - d, t)) / 2e-5 for d in step], dim=1)
    size = float(differences.abs().max())
    torch.testing.assert_close(phi.jacobian(x, t).dense(), differences, rtol=0, atol=1e-7 * size)
    assert float((plain - differences).abs().max()) > 0.1 * size
    model[1].register_full_backward_hook(lambda module, given, produced: None)
    with pytest.raises(InvalidInputError, match=r'module "1" \(Tanh\) has a backward hook'):
        phi.jacobian(x, t)


def test_what_has_no_jacobian_is_refused() -> None:
    data = classes((4, 6))
    phi = DualityMap(NeuralSystem(feed_forward(6, [5], "tanh", seed=0), Composition("tanh", "mse"), data))
    with pytest.raises(InvalidInputError, match="one sample"):
        phi.jacobian(data.x, data.t)
    with pytest.raises(InvalidInputError, match="discrete"):
        phi.jacobian(data.x[0], data.t[0], targets=True)
    with pytest.raises(InvalidInputError, match="no 99 singular values"):
        phi.jacobian(data.x[0], data.t[0]).leading_directions(99)
    with pytest.raises(InvalidInputError, match="6 entries"):
        phi.jacobian(data.x[0], data.t[0]).jvp(torch.ones(5))
    with pytest.raises(InvalidInputError, match="pre-activations per sample"):
        phi.jacobian(data.x[0], torch.ones(3).double())


def test_targets_held_fixed_have_no_columns() -> None:
    data = classes((4, 6))
    phi = DualityMap(NeuralSystem(feed_forward(6, [2], "tanh", seed=0), Composition("identity", "mse"), data))
    every, fixed = phi.jacobian(data.x[0], data.t[0]), phi.jacobian(data.x[0], data.t[0], targets=False)
    assert torch.equal(fixed.dense(), every.dense()[:, :6])
    values = torch.linalg.svdvals(fixed.dense())
    torch.testing.assert_close(fixed.singular_values(), values, rtol=0, atol=1e-13 * float(values[0]))


def test_a_lost_direction_has_no_log_volume_however_the_network_is_written() -> None:
    class Wrapped(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x)

    model, data = many_classes(True)
    for network in (model, Wrapped(model)):
        jacobian = DualityMap(NeuralSystem(network, nn.CrossEntropyLoss(), data)).jacobian(data.x[0], data.t[0])
        assert jacobian.rank() == 43
        assert jacobian.log_volume() == -math.inf
        assert jacobian.condition() == math.inf


@pytest.mark.parametrize("soft", [False, True], ids=["classes", "probabilities"])
def test_leading_directions_of_convolutions_without_a_matrix(soft: bool) -> None:
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.SiLU(), nn.Conv2d(4, 5, 3, padding=1, bias=False), nn.Tanh(),
            nn.Flatten(), nn.Linear(80, 9), nn.Tanh(), nn.Linear(9, 3),
        )
    )  # fmt: skip
    x = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    data = Pairs(x, t.softmax(dim=1) if soft else t.argmax(dim=1))
    jacobian = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), data), 0.3).jacobian(x[1], data.t[1])
    _, values, right = torch.linalg.svd(jacobian.dense(), full_matrices=False)
    assert max(jacobian.shape) > 500
    found = jacobian.leading_directions(4)
    torch.testing.assert_close(found.values, values[:4], rtol=1e-10, atol=0)
    vectors = torch.cat([found.x.flatten(1), found.t], dim=1)
    # The same space, direction by direction up to signs.
    torch.testing.assert_close((vectors @ right[:4].T).abs(), torch.eye(4).double(), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Conv2d(2, 9, 3), nn.GroupNorm(3, 9), nn.SiLU(), nn.Flatten(), nn.Linear(324, 2)),
        lambda: nn.Sequential(nn.Conv2d(2, 6, 3, groups=2), nn.SiLU(), nn.Flatten(), nn.Linear(216, 3)),
    ],
    ids=["normalised", "grouped"],
)
def test_leading_values_of_other_layers_come_from_the_operator(make: object) -> None:
    x = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    phi = DualityMap(NeuralSystem(seeded(make), nn.CrossEntropyLoss(), Pairs(x, torch.tensor([0, 1, 1]))))
    jacobian = phi.jacobian(x[0], torch.tensor(0))
    torch.testing.assert_close(
        jacobian.top_singular_values(3), torch.linalg.svdvals(jacobian.dense())[:3], rtol=1e-9, atol=0
    )
