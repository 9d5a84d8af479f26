"""From changes back to data points: round trips, and refusals of what is no data point's change."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from critlearn.compositions import Composition, SoftmaxCrossEntropy
from critlearn.duality import DualityMap, InverseStatus
from critlearn.duality.inverse.active_units import Units, active_units, solution_within
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem, feed_forward
from critlearn.studies import load_data
from reference.networks import Pairs, classes, seeded


def change(phi: DualityMap, x: Tensor, t: Tensor) -> dict[str, Tensor]:
    return {name: value[0] for name, value in phi(x[None], t[None]).items()}


def digits() -> Pairs:
    bunch = load_digits()
    return Pairs(torch.from_numpy(bunch.data / 16), torch.from_numpy(bunch.target).long())


def ten_classes(*layers: nn.Module) -> nn.Module:
    return seeded(lambda: nn.Sequential(*layers))


@pytest.mark.parametrize("name", ["breast-cancer", "digits"])
def test_round_trip(name: str) -> None:
    if name == "digits":
        data = digits()
        system = NeuralSystem(
            seeded(lambda: nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))), SoftmaxCrossEntropy(), data
        )
    else:
        cancer, loss = load_data("breast-cancer"), Composition("tanh", "mse")
        data = Pairs(cancer.x, cancer.signs)
        system = NeuralSystem(feed_forward(30, [32, 32], "tanh", seed=0), loss, data)
    phi = DualityMap(system, 0.3)
    for at in range(0, 400, 20):
        found = phi.invert(change(phi, data.x[at], data.t[at]))
        assert found.status is InverseStatus.FOUND
        assert found.unique
        assert found.residual < 1e-12
        assert float((found.x - data.x[at]).norm()) <= 1e-9 * float(data.x[at].norm())
        assert float(found.t) == float(data.t[at])


def test_round_trip_far_in_the_tail() -> None:
    data = classes((3, 4))
    model = feed_forward(4, [3], "tanh", seed=1)
    with torch.no_grad():
        model.output.bias.fill_(-80.0)
    phi = DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data))
    dq = change(phi, data.x[0], torch.tensor(-1.0).double())
    assert 0 < float(dq["output.bias"].abs()) < 1e-100
    found = phi.invert(dq)
    torch.testing.assert_close(found.x, data.x[0], rtol=1e-9, atol=0)
    assert float(found.t) == -1


@pytest.mark.parametrize("loss", [("identity", "mse"), ("identity", "power:4"), ("asinh", "mse")], ids="+".join)
def test_continuous_targets_come_back(loss: tuple[str, str]) -> None:
    data = classes((6, 5))
    data = Pairs(data.x, 3 * data.x[:, 0] + 1)
    phi = DualityMap(NeuralSystem(feed_forward(5, [4], "softsign", seed=1), Composition(*loss), data))
    for x, t in zip(data.x, data.t, strict=True):
        found = phi.invert(change(phi, x, t))
        torch.testing.assert_close(found.x, x, rtol=1e-9, atol=0)
        assert float(found.t) == pytest.approx(float(t), rel=1e-9)
        assert found.unique


def test_a_loss_that_falls_again_has_two_targets() -> None:
    data = classes((6, 5))
    phi = DualityMap(NeuralSystem(feed_forward(5, [4], "tanh", seed=1), Composition("identity", "cauchy"), data))
    found = phi.invert(change(phi, data.x[0], data.t[0]))
    assert found.status is InverseStatus.FOUND
    assert not found.unique


def test_probabilities_come_back() -> None:
    x = classes((4, 6)).x
    t = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(dim=1)
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)))
    phi = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), Pairs(x, t)))
    found = phi.invert(change(phi, x[1], t[1]))
    torch.testing.assert_close(found.t, t[1], rtol=1e-9, atol=0)
    torch.testing.assert_close(found.x, x[1], rtol=1e-9, atol=0)


SHARES = torch.rand(6, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
TWO = torch.tensor([2.0, 0.5], dtype=torch.float64)


@pytest.mark.parametrize(
    ("loss", "t"),
    [
        (nn.BCEWithLogitsLoss(reduction="sum"), SHARES.round()),
        (nn.BCEWithLogitsLoss(reduction="sum"), SHARES),
        (nn.BCEWithLogitsLoss(reduction="sum", pos_weight=TWO), SHARES.round()),
        (nn.BCEWithLogitsLoss(weight=TWO, pos_weight=3 * TWO), SHARES),
        (nn.MultiLabelSoftMarginLoss(), SHARES.round()),
        (nn.PoissonNLLLoss(reduction="sum"), (5 * SHARES).floor()),
        (nn.KLDivLoss(reduction="sum"), SHARES),
        (nn.KLDivLoss(reduction="batchmean", log_target=True), SHARES.log()),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, nn.Module) else "",
)
def test_classes_shares_and_counts_come_back_from_torchs_own_changes(loss: nn.Module, t: Tensor) -> None:
    x = classes((6, 5)).x
    model = seeded(lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)))
    phi = DualityMap(NeuralSystem(model, loss, Pairs(x, t)))
    for at in range(6):
        parts = torch.autograd.grad(loss(model(x[at : at + 1]), t[at : at + 1]), list(model.parameters()))
        found = phi.invert({name: -part for name, part in zip(phi.system.parameters, parts, strict=True)})
        assert found.status is InverseStatus.FOUND
        assert found.unique
        torch.testing.assert_close(found.x, x[at], rtol=1e-9, atol=0)
        torch.testing.assert_close(found.t, t[at], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_odd_networks_have_two_states_with_the_same_change(seed: int) -> None:
    """Of the input ``-x`` and the target ``-t`` all changes are those of x and t."""
    x = classes((4, 5)).x
    model = seeded(lambda: nn.Sequential(nn.Linear(5, 4, bias=False), nn.Tanh(), nn.Linear(4, 2, bias=False)), seed)
    phi = DualityMap(NeuralSystem(model, nn.MSELoss(), Pairs(x, x[:, :2])))
    found = phi.invert(change(phi, x[1], x[1, :2]))
    assert found.status is InverseStatus.FOUND
    assert not found.unique
    torch.testing.assert_close(found.x.abs(), x[1].abs(), rtol=1e-6, atol=1e-9)


def test_what_is_no_data_points_change_is_refused() -> None:
    data = digits()
    model = seeded(lambda: nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10)))
    phi = DualityMap(NeuralSystem(model, SoftmaxCrossEntropy(), data))
    dq = change(phi, data.x[3], data.t[3])
    generator = torch.Generator().manual_seed(0)
    noisy = {n: v + 1e-3 * v.abs().max() * torch.randn(v.shape, generator=generator).double() for n, v in dq.items()}
    for off in (noisy, {name: 2 * value for name, value in dq.items()}, {name: -value for name, value in dq.items()}):
        found = phi.invert(off)
        assert found.status is InverseStatus.OFF
        assert not found.unique
        assert found.residual > 1e-6
    mean = {name: value.mean(dim=0) for name, value in phi(data.x[:4], data.t[:4]).items()}
    assert phi.invert(mean).status is InverseStatus.MIXED
    assert "4 samples" in phi.invert(mean).reason
    nothing = {name: torch.zeros_like(value) for name, value in dq.items()}
    assert phi.invert(nothing).status is InverseStatus.VANISHING


@pytest.mark.parametrize(
    ("samples", "widths"),
    [(3, (5, 6, 3)), (4, (5, 6, 3)), (5, (5, 6, 3)), (6, (5, 6, 3)), (3, (4, 5, 2)), (6, (8, 9, 4))],
)
@pytest.mark.parametrize("kind", ["classes", "probabilities", "dead units"])
def test_means_under_softmax_are_told_from_single_samples(
    samples: int, widths: tuple[int, int, int], kind: str
) -> None:
    generator = torch.Generator().manual_seed(samples)
    x = torch.randn(samples, widths[0], generator=generator, dtype=torch.float64)
    x[:, 1] = 0.0
    t = torch.arange(samples) % widths[2]
    t = nn.functional.one_hot(t).double() * 0.9 + 0.1 / widths[2] if kind == "probabilities" else t
    model = seeded(
        lambda: nn.Sequential(
            nn.Linear(widths[0], widths[1]), nn.ReLU() if kind == "dead units" else nn.Tanh(), nn.Linear(*widths[1:])
        )
    )
    if kind == "dead units":
        with torch.no_grad():
            model[0].bias[0] = -20.0
    phi = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), Pairs(x, t)))
    found = phi.invert({name: value.mean(dim=0) for name, value in phi(x, t).items()})
    assert found.status is InverseStatus.MIXED
    assert found.x is None
    # The changes of the first layer have as many ranks as samples, or as inputs that are not zero, with the bias; fewer
    # where units are dead for some samples and not for others.
    said = int(found.reason.split("at least ")[1].split()[0])
    assert 2 <= said <= samples
    assert said == min(samples, widths[0]) or kind == "dead units"


def test_one_layer_out_of_order_is_no_mean() -> None:
    data = classes((4, 5))
    model = seeded(lambda: nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)))
    phi = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), Pairs(data.x, torch.arange(4) % 3)))
    dq = change(phi, data.x[0], torch.tensor(0))
    dq["0.weight"][0, 0] *= 1.5
    assert phi.invert(dq).status is InverseStatus.OFF


def test_a_dense_layer_at_several_places_of_a_sample_is_no_mean() -> None:
    data = classes((4, 3, 5))
    model = seeded(lambda: nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Flatten(), nn.Linear(18, 3)))
    phi = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), Pairs(data.x, torch.arange(4) % 3)))
    found = phi.invert(change(phi, data.x[1], torch.tensor(1)))
    assert found.status is InverseStatus.FOUND
    torch.testing.assert_close(found.x, data.x[1], rtol=1e-9, atol=1e-12)


FRONTS = {
    "convolution and ReLU": lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)),
    "strided convolution and ReLU": lambda: nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)
    ),
    "strided convolution and ReLU6": lambda: nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2), nn.ReLU6(), nn.Flatten(), nn.Linear(18, 3)
    ),
    "two convolutions and ReLU": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    ),
    "two convolutions, the second strided": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    ),
    "averages": lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(27, 3)),
    "narrow": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)
    ),
    "no bias before": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 9, bias=False), nn.ReLU(), nn.Linear(9, 5), nn.Tanh(), nn.Linear(5, 3)
    ),
    "no bias at all": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 9, bias=False), nn.ReLU(), nn.Linear(9, 3, bias=False)
    ),
}


@pytest.mark.parametrize("network", FRONTS)
# Of two convolutions, 3, 19 and 25 have units whose errors are zero: of them only the inequalities tell.
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 19, 25])
def test_changes_that_the_map_made_are_found(network: str, seed: int) -> None:
    model, generator = seeded(FRONTS[network], seed), torch.Generator().manual_seed(seed)
    x = torch.randn(9, 1, 8, 8, generator=generator, dtype=torch.float64)
    t = torch.randint(3, (9,), generator=generator)
    phi = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), Pairs(x[:8], t[:8])))
    dq = change(phi, x[8], t[8])
    found = phi.invert(dq)
    assert found.status in (InverseStatus.FOUND, InverseStatus.VANISHING)
    if found.x is None:
        assert max(float(value.abs().max()) for value in dq.values()) == 0
        return
    for name, value in change(phi, found.x, found.t).items():
        torch.testing.assert_close(value, dq[name], rtol=1e-6, atol=1e-9)
    # Unique means the very point; otherwise it may be another one with this change.
    if found.unique:
        torch.testing.assert_close(found.x, x[8], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_active_units_are_those_whose_errors_add_up(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    errors = torch.randn(3, 36, generator=generator, dtype=torch.float64)
    errors[1, ::2] = 0
    active = torch.rand(3, 36, generator=generator) < 0.5
    patterns = active_units(errors, (errors * active).sum(dim=1))
    assert [pattern.tolist() for pattern in patterns] == [(active & (errors != 0)).tolist()]
    # Noise far above rounding: no sum matches any more.
    assert not active_units(errors, (errors * active).sum(dim=1) * (1 + 1e-6))
    # Two units of the same error cannot be told apart.
    same = torch.ones(1, 2, dtype=torch.float64)
    assert len(active_units(same, same[:, 0])) == 2
    assert not active_units(torch.randn(1, 41, generator=generator, dtype=torch.float64), same[:, 0])


def test_the_farthest_solution_of_inequalities() -> None:
    """x + y + z = 3, x < 1, y < 1, z < 2: the largest margin is 1/3 in each of them."""
    one = torch.eye(3, dtype=torch.float64)
    found = solution_within(
        one.sum(dim=0)[None], torch.tensor([3.0]).double(), one, torch.tensor([1.0, 1.0, 2.0]).double()
    )
    assert not found.determined
    torch.testing.assert_close(found.x, torch.tensor([2 / 3, 2 / 3, 5 / 3]).double())
    # With relu(z) added to the first: x + z < 1 leaves y > 2.
    units = Units(one[2:], torch.zeros(1).double(), torch.tensor([[1.0], [0.0], [0.0]]).double())
    assert (
        solution_within(
            one.sum(dim=0)[None], torch.tensor([3.0]).double(), one, torch.tensor([1.0, 1.0, 2.0]).double(), units
        )
        is None
    )
    found = solution_within(
        one.sum(dim=0)[None], torch.tensor([3.0]).double(), one, torch.tensor([1.0, 4.0, 2.0]).double(), units
    )
    assert float(found.x[0] + found.x[2].clamp(min=0)) < 1
    assert float(found.x.sum()) == pytest.approx(3.0)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_found_is_not_denied(seed: int) -> None:
    def pooled() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 3))

    x = torch.randn(9, 1, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    phi = DualityMap(NeuralSystem(seeded(pooled, seed), nn.CrossEntropyLoss(), Pairs(x[:8], torch.arange(8) % 3)))
    found = phi.invert(change(phi, x[8], torch.tensor(1)))
    assert found.status is InverseStatus.UNDETERMINED
    assert found.x is not None
    # 27 outputs of the pooling and 30 variables before it, of 64 pixels.
    assert "57 numbers made of the 64 entries" in found.reason
    model = phi.system.model

    def gradients(x: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(model(x[None]), torch.tensor([1]))
        parts = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        return torch.cat([part.reshape(-1) for part in parts])

    slopes = torch.autograd.functional.jacobian(gradients, x[8]).reshape(-1, 64)
    assert int(torch.linalg.matrix_rank(slopes, rtol=1e-10)) <= 57


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_no_bias_under_the_absolute_error(activation: type[nn.Module], seed: int) -> None:
    def without_bias() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 6, bias=False), activation(), nn.Linear(6, 3, bias=False))

    generator = torch.Generator().manual_seed(seed)
    x, t = (torch.randn(9, size, generator=generator, dtype=torch.float64) for size in (5, 3))
    phi = DualityMap(NeuralSystem(seeded(without_bias, seed), nn.L1Loss(), Pairs(x[:8], t[:8])))
    dq = change(phi, x[8], t[8])
    found = phi.invert(dq)
    assert found.status is InverseStatus.FOUND
    # Only the side of the target is told.
    assert not found.unique
    for name, value in change(phi, found.x, found.t).items():
        torch.testing.assert_close(value, dq[name], rtol=1e-6, atol=1e-9)


def test_dead_units_leave_the_input_open() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 5, generator=generator, dtype=torch.float64)
    for dead in ("0", "2"):
        model = seeded(lambda: nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)))
        with torch.no_grad():
            dict(model.named_parameters())[f"{dead}.bias"].sub_(2.0)
        phi = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), Pairs(x[:8], torch.arange(8) % 3)))
        dq = change(phi, x[8], torch.tensor(1))
        assert float(dq["0.weight"].abs().max()) == 0
        found = phi.invert(dq)
        assert found.status is InverseStatus.FOUND
        assert not found.unique
        assert int(found.t) == 1
        assert bool(torch.isinf(found.error).any())
        for name, value in change(phi, found.x, found.t).items():
            torch.testing.assert_close(value, dq[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["classes", "values", "no bias"])
def test_noise_leaves_the_best_state_with_its_errors(kind: str) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20, 4, generator=generator, dtype=torch.float64)
    t = torch.randint(3, (20,), generator=generator) if kind != "values" else 2 * x[:, :1]
    last = 1 if kind == "values" else 3
    if kind == "no bias":
        model = seeded(lambda: nn.Sequential(nn.Linear(4, 6, bias=False), nn.Tanh(), nn.Linear(6, last, bias=False)))
    else:
        model = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, last)))
    loss = nn.MSELoss() if kind == "values" else nn.CrossEntropyLoss()
    phi = DualityMap(NeuralSystem(model, loss, Pairs(x, t)))
    deviations = []
    for at in range(20):
        dq = change(phi, x[at], t[at])
        largest = max(float(value.abs().max()) for value in dq.values())
        for noise in (1e-6, 1e-4):
            noisy = {
                name: value + noise * largest * torch.randn(value.shape, generator=generator, dtype=torch.float64)
                for name, value in dq.items()
            }
            found = phi.invert(noisy)
            assert found.status in (InverseStatus.OFF, InverseStatus.FOUND)
            assert found.residual < 30 * noise
            if at < 3:
                allowed = phi.invert(noisy, tolerance=1e-2)
                assert allowed.status is InverseStatus.FOUND
                torch.testing.assert_close(allowed.x, found.x, rtol=1e-7, atol=1e-10)
            deviations.append((found.x - x[at]) / found.error)
    # Deviations in units of the errors have a variance of one: 160 of them, each with few degrees of freedom.
    variance = float(torch.cat(deviations).square().mean())
    assert 0.7 < variance < 1.5


def test_a_tolerance_that_is_none_is_refused() -> None:
    data = classes((4, 3))
    phi = DualityMap(NeuralSystem(dense(bias=True, outputs=1), Composition("tanh", "mse"), data))
    dq = change(phi, data.x[0], data.t[0])
    for tolerance in (0.0, 1.0, -1e-3, math.nan):
        with pytest.raises(InvalidInputError, match="between 0 and 1; got"):
            phi.invert(dq, tolerance=tolerance)


def test_through_convolutions_by_least_squares() -> None:
    data = digits()
    images = Pairs(data.x.reshape(-1, 1, 8, 8), data.t)
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 3, padding=1), nn.Tanh(),
            nn.Flatten(), nn.Linear(256, 10),
        )
    )  # fmt: skip
    phi = DualityMap(NeuralSystem(model, SoftmaxCrossEntropy(), images))
    found = phi.invert(change(phi, images.x[5], images.t[5]))
    assert found.status is InverseStatus.FOUND
    assert found.unique
    assert float((found.x - images.x[5]).norm()) <= 1e-9 * float(images.x[5].norm())
    assert int(found.t) == int(images.t[5])


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Linear(4, 3, bias=False), nn.Tanh(), nn.Linear(3, 1)),
        lambda: nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 3, bias=False), nn.Tanh(), nn.Linear(3, 1)),
    ],
    ids=["length unknown", "descents"],
)
def test_without_a_closed_form(make: object) -> None:
    data = classes((6, 4))
    phi = DualityMap(NeuralSystem(seeded(make), Composition("tanh", "mse"), data))
    dq = change(phi, data.x[2], data.t[2])
    found = phi.invert(dq)
    assert found.status is InverseStatus.FOUND
    assert found.residual < 1e-9
    again = change(phi, found.x, found.t)
    for name, value in dq.items():
        torch.testing.assert_close(again[name], value, rtol=1e-6, atol=1e-9)
    if isinstance(phi.system.model[0], nn.LayerNorm):
        # What the normalisation takes away does not come back.
        assert not found.unique
    else:
        torch.testing.assert_close(found.x, data.x[2], rtol=1e-7, atol=0)


def test_vectors_that_do_not_fit_are_refused() -> None:
    data = classes((4, 6))
    phi = DualityMap(NeuralSystem(feed_forward(6, [2], "tanh", seed=0), Composition("tanh", "mse"), data))
    dq = change(phi, data.x[0], data.t[0])
    with pytest.raises(InvalidInputError, match=r"differing: output\.bias"):
        phi.invert({name: value for name, value in dq.items() if name != "output.bias"})
    with pytest.raises(InvalidInputError, match="shape"):
        phi.invert({**dq, "output.bias": torch.zeros(3).double()})
    with pytest.raises(InvalidInputError, match="not finite"):
        phi.invert({**dq, "output.bias": torch.tensor([math.nan]).double()})


def dense(*, bias: bool, activation: nn.Module | None = None, outputs: int = 2) -> nn.Module:
    return seeded(
        lambda: nn.Sequential(nn.Linear(3, 6, bias=bias), activation or nn.Tanh(), nn.Linear(6, outputs)).double()
    )


def test_it_follows_the_network_while_jacobians_stay() -> None:
    data = classes((4, 3))
    model = dense(bias=True, outputs=1)
    phi = DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data))
    old = phi.jacobian(data.x[0], data.t[0])
    matrix = old.dense()
    with torch.no_grad():
        for value in model.parameters():
            value.data.mul_(1.7)
    fresh = DualityMap(phi.system).jacobian(data.x[0], data.t[0])
    new = phi.jacobian(data.x[0], data.t[0])
    torch.testing.assert_close(new.dense(), fresh.dense(), rtol=0, atol=0)
    assert float((new.singular_values() - torch.linalg.svdvals(matrix)).abs().max()) > 1e-2
    torch.testing.assert_close(old.singular_values(), torch.linalg.svdvals(matrix), rtol=1e-10, atol=1e-12)
    found = phi.invert(change(phi, data.x[1], data.t[1]))
    torch.testing.assert_close(found.x, data.x[1], rtol=1e-9, atol=0)


@pytest.mark.parametrize(("activation", "loss"), [(nn.Tanh(), "mse"), (nn.Softplus(), "mse"), (nn.Softplus(), "soft")])
def test_continuous_targets_without_a_first_bias(activation: nn.Module, loss: str) -> None:
    data = classes((8, 3))
    t = torch.randn(8, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    judge = nn.MSELoss() if loss == "mse" else nn.CrossEntropyLoss()
    t = t if loss == "mse" else t.softmax(dim=1)
    phi = DualityMap(NeuralSystem(dense(bias=False, activation=activation), judge, Pairs(data.x, t)))
    for at in (1, 2):
        found = phi.invert(change(phi, data.x[at], t[at]))
        assert found.status is InverseStatus.FOUND
        assert found.unique
        torch.testing.assert_close(found.x, data.x[at], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found.t, t[at], rtol=1e-9, atol=1e-12)


def test_probabilities_of_zero_come_back_and_other_vectors_are_off_the_sheet() -> None:
    data = classes((6, 3))
    t = nn.functional.one_hot(torch.arange(6) % 4).double()
    phi = DualityMap(NeuralSystem(dense(bias=True, outputs=4), nn.CrossEntropyLoss(), Pairs(data.x, t)))
    for at in range(6):
        dq = change(phi, data.x[at], t[at])
        found = phi.invert(dq)
        torch.testing.assert_close(found.x, data.x[at], rtol=1e-9, atol=0)
        torch.testing.assert_close(found.t, t[at], rtol=0, atol=0)
        generator = torch.Generator().manual_seed(at)
        noise = {name: torch.randn(value.shape, generator=generator).double() for name, value in dq.items()}
        for off in (noise, {name: -value for name, value in dq.items()}):
            assert phi.invert(off).status is InverseStatus.OFF


def test_a_frozen_wide_last_layer_hides_part_of_the_error() -> None:
    x = classes((4, 3)).x
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 4)))
    for value in model[2].parameters():
        value.requires_grad_(False)
    t = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for judge, targets in ((nn.MSELoss(), t), (nn.CrossEntropyLoss(), t.softmax(dim=1))):
        phi = DualityMap(NeuralSystem(model, judge, Pairs(x, targets)))
        found = phi.invert(change(phi, x[1], targets[1]))
        assert found.status is InverseStatus.FOUND
        assert not found.unique
        torch.testing.assert_close(found.x, x[1], rtol=1e-9, atol=0)
        for name, value in change(phi, found.x, found.t).items():
            torch.testing.assert_close(value, change(phi, x[1], targets[1])[name], rtol=1e-8, atol=1e-12)
    phi = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), Pairs(x, t.argmax(dim=1))))
    found = phi.invert(change(phi, x[1], t.argmax(dim=1)[1]))
    assert found.unique
    assert int(found.t) == int(t[1].argmax())


@pytest.mark.parametrize("activation", [nn.SiLU(), nn.GELU(), nn.Mish()], ids=lambda module: type(module).__name__)
def test_an_activation_that_falls_first_has_two_inputs(activation: nn.Module) -> None:
    x = -torch.rand(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1.5
    model = seeded(lambda: nn.Sequential(activation, nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4)))
    phi = DualityMap(NeuralSystem(model, nn.CrossEntropyLoss(), Pairs(x, torch.arange(4))))
    found = phi.invert(change(phi, x[0], torch.tensor(0)))
    assert found.status is InverseStatus.FOUND
    assert not found.unique
    torch.testing.assert_close(activation(found.x), activation(x[0]), rtol=1e-9, atol=0)
    # Above zero there is no other input.
    found = phi.invert(change(phi, -x[1], torch.tensor(1)))
    assert found.unique
    torch.testing.assert_close(found.x, -x[1], rtol=1e-9, atol=0)


def test_a_loss_that_saturates_hides_how_far_the_target_is() -> None:
    data = classes((4, 3))
    phi = DualityMap(NeuralSystem(dense(bias=True, outputs=1), nn.HuberLoss(), Pairs(data.x, 10 * data.t)))
    for at in range(4):
        found = phi.invert(change(phi, data.x[at], 10 * data.t[at]))
        assert found.status is InverseStatus.FOUND
        assert not found.unique


@pytest.mark.usefixtures("without_shape_checker")
def test_bad_input_is_named() -> None:
    data = classes((4, 3))
    phi = DualityMap(NeuralSystem(dense(bias=True, outputs=1), Composition("tanh", "mse"), data))
    dq = change(phi, data.x[0], data.t[0])
    for call, message in (
        (lambda: phi.invert(None), "for each name of a variable; got NoneType"),
        (lambda: phi.invert(torch.ones(3)), "got Tensor"),
        (lambda: phi.invert({name: value.numpy() for name, value in dq.items()}), "must be a tensor; got ndarray"),
        (lambda: phi.jacobian([0.1, 0.2, 0.3], data.t[0]), "x must be a tensor; got list"),
        (lambda: phi.jacobian(data.x[0], data.t[0]).jvp(data.x[0].numpy()), "direction must be a tensor; got ndarray"),
        (lambda: phi.spectra(data.x[0], data.t[0]), "t must be a tensor that holds a batch"),
        (lambda: phi(data.x[:0], data.t[:0]), "one at least; got 0 and 0"),
        (lambda: DualityMap(phi.system, lr="a"), "positive and finite; got 'a'"),
        (lambda: DualityMap(phi.system, lr=True), "positive and finite; got True"),
        (lambda: DualityMap(None), "NeuralSystem; got NoneType"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            call()


@pytest.mark.parametrize("size", [1e-160, 1e-300, 1e-310, 1e160])
@pytest.mark.parametrize("kind", ["of the map", "random"])
def test_changes_of_any_size_off_the_sheet(kind: str, size: float) -> None:
    generator = torch.Generator().manual_seed(0)
    data = Pairs(
        torch.randn(20, 4, generator=generator, dtype=torch.float64), torch.randint(0, 3, (20,), generator=generator)
    )
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)))
    phi = DualityMap(NeuralSystem(model, SoftmaxCrossEntropy(), data))
    dq = change(phi, data.x[0], data.t[0])
    if kind == "random":
        dq = {name: torch.randn(value.shape, generator=generator).double() for name, value in dq.items()}
    found = phi.invert({name: size * value for name, value in dq.items()})
    assert found.status is InverseStatus.OFF
    assert not found.unique
    # In units of the changes, which are far below or above all that the map makes.
    assert found.residual > 0.9
