"""Training ends certified, separable or with its epochs used up; says which; and repeats bit for bit."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition
from critlearn.equilibrium import Approach, Status, equilibrate
from critlearn.errors import InvalidInputError, NotAtEquilibriumError
from critlearn.network import NeuralSystem, feed_forward
from reference.networks import Pairs


def overlapping(samples: int = 600) -> Pairs:
    """Two classes in one dimension that no threshold separates: x is uniform in t + [-1.5, 1.5]."""
    generator = np.random.default_rng(3)
    t = np.where(generator.random(samples) < 0.5, 1.0, -1.0)
    x = t + generator.uniform(-1.5, 1.5, samples)
    return Pairs(torch.from_numpy(x[:, None]), torch.from_numpy(t))


def separated(samples: int = 60) -> Pairs:
    x = torch.cat([torch.linspace(-2, -1, samples // 2), torch.linspace(1, 2, samples // 2)]).double()
    return Pairs(x[:, None], x.sign())


def two_neurons() -> nn.Linear:
    model = nn.Linear(1, 1, dtype=torch.float64)
    with torch.no_grad():
        model.weight.fill_(0.3)
        model.bias.fill_(-0.2)
    return model


LOSS = Composition("sigmoid", "bce")


@pytest.fixture(scope="module")
def certified() -> Approach:
    return equilibrate(NeuralSystem(two_neurons(), LOSS, overlapping()), epochs=400, batch_size=100, lr=0.02)


def test_overlapping_classes_reach_equilibrium_before_the_epochs_end(certified: Approach) -> None:
    assert certified.certificate.status is Status.EQUILIBRIUM
    assert certified.certificate.certified
    assert len(certified.losses) < 400
    assert certified.certificate.epochs == len(certified.losses)


def test_all_epochs_are_trained_if_it_does_not_stop_at_equilibrium() -> None:
    system = NeuralSystem(two_neurons(), LOSS, overlapping())
    on, short = (
        equilibrate(system, epochs=epochs, batch_size=100, lr=0.02, stop_at_equilibrium=False) for epochs in (200, 90)
    )
    stopped = equilibrate(system, epochs=200, batch_size=100, lr=0.02)
    assert len(stopped.losses) < 200
    assert (len(on.losses), on.certificate.epochs, len(short.losses)) == (200, 200, 90)
    # The same way until the learning rate falls, 20 epochs before the end.
    assert on.losses[:70] == short.losses[:70]
    assert on.losses[: len(stopped.losses) - 20] == stopped.losses[:-20]
    data = NeuralSystem(two_neurons(), LOSS, separated())
    given_up = equilibrate(data, epochs=260, batch_size=60, lr=0.05)
    assert given_up.certificate.status is Status.SEPARABLE
    assert len(given_up.losses) < 260
    assert len(equilibrate(data, epochs=260, batch_size=60, lr=0.05, stop_at_equilibrium=False).losses) == 260


def test_the_noise_of_training_is_cooled_before_a_state_is_certified() -> None:
    """At the full rate the weights of Adam jitter by its steps; a hundredth of that rate leaves a hundredth of it."""
    system = NeuralSystem(two_neurons(), LOSS, overlapping())
    steady = equilibrate(system, epochs=200, batch_size=20, lr=0.05, stop_at_equilibrium=False)
    noise, last = np.std(steady.losses[100:180]), np.std(steady.losses[-3:])
    assert last < 0.1 * noise
    assert steady.certificate.status is Status.EQUILIBRIUM
    assert steady.certificate.drift.pulls[0].ratio < 0.01


def test_decay_that_holds_separated_data_is_counted_and_named() -> None:
    data = NeuralSystem(two_neurons(), Composition("tanh", "mse"), separated())
    certificate = equilibrate(
        data, epochs=600, batch_size=60, lr=0.01, weight_decay=1.0, decoupled_weight_decay=True
    ).certificate
    assert certificate.status is Status.SEPARABLE
    assert "weight decay holds them back" in certificate.reason
    assert not certificate.drift.within
    assert certificate.decayed is not None
    assert certificate.decayed.within


def test_l2_decay_that_holds_separated_data_ends_at_the_minimum_of_both() -> None:
    # Ridge logistic regression by Newton's method, in plain NumPy.
    data, decay = separated(), 0.01
    found = equilibrate(
        NeuralSystem(two_neurons(), LOSS, data), epochs=600, batch_size=len(data), lr=0.03, weight_decay=decay
    )
    assert found.certificate.status is Status.HELD_BY_DECAY
    x, t = np.column_stack([data.x[:, 0].numpy(), np.ones(len(data))]), data.t.numpy()
    q = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(t * (x @ q)))
        curvature = (x * (p * (1 - p))[:, None]).T @ x / len(t) + decay * np.eye(2)
        q += np.linalg.solve(curvature, (x * (t * p)[:, None]).mean(axis=0) - decay * q)
    trained = np.array([float(value.detach()) for value in found.system.parameters.values()])
    np.testing.assert_allclose(trained, q, atol=1e-3 * np.abs(q).max())


def test_the_equilibrium_is_the_minimum_of_the_loss(certified: Approach) -> None:
    # Logistic regression by Newton's method, in plain NumPy.
    data = overlapping()
    x, t = np.column_stack([data.x[:, 0].numpy(), np.ones(len(data))]), data.t.numpy()
    q = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(t * (x @ q)))
        q -= np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, -(x * (t * p)[:, None]).sum(axis=0))
    p = 1 / (1 + np.exp(t * (x @ q)))
    hessian = (x * (p * (1 - p))[:, None]).T @ x / len(t)
    change = x * (t * p)[:, None]
    # Drift of at most 0.1 standard deviations of the fluctuations, through the curvature at the minimum.
    bound = np.abs(np.linalg.inv(hessian)) @ (0.1 * change.std(axis=0)) * 1.5
    trained = [float(value.detach()) for value in certified.system.parameters.values()]
    assert (np.abs(trained - q) <= bound).all()


def test_the_certificate_holds_of_the_weights_it_comes_with(certified: Approach) -> None:
    data = overlapping()
    w, b = (float(value.detach()) for value in certified.system.parameters.values())
    x, t = data.x[:, 0].numpy(), data.t.numpy()
    change = t / (1 + np.exp(t * (w * x + b)))
    for changes in (change * x, change):
        assert abs(changes.mean()) <= 0.1 * changes.std()


def test_the_given_network_is_left_untouched() -> None:
    model = two_neurons()
    equilibrate(NeuralSystem(model, LOSS, overlapping(100)), epochs=3)
    assert float(model.weight.detach()) == 0.3
    assert all(value.grad is None for value in model.parameters())


def test_separated_classes_end_early_and_are_named() -> None:
    approach = equilibrate(NeuralSystem(two_neurons(), LOSS, separated()), epochs=2000, batch_size=60, lr=0.05)
    assert approach.certificate.status is Status.SEPARABLE
    assert "separable" in approach.certificate.summary()
    assert len(approach.losses) < 2000


def test_separated_classes_at_the_last_epoch_are_named_too() -> None:
    approach = equilibrate(NeuralSystem(two_neurons(), LOSS, separated()), epochs=40, batch_size=60, lr=0.05)
    assert approach.certificate.status is Status.SEPARABLE
    assert len(approach.losses) == 40


def test_epochs_used_up_is_said() -> None:
    approach = equilibrate(NeuralSystem(two_neurons(), LOSS, overlapping()), epochs=5, batch_size=100, lr=1e-4)
    assert approach.certificate.status in (Status.DRIFTING, Status.NOT_STATIONARY)
    assert len(approach.losses) == 5
    assert approach.certificate.r_hat is None


def test_equilibrium_that_is_demanded_and_not_reached_is_an_error() -> None:
    with pytest.raises(NotAtEquilibriumError, match="drifting: "):
        equilibrate(NeuralSystem(two_neurons(), LOSS, overlapping()), epochs=2, lr=1e-4, throw=True)


def test_frozen_units_are_counted() -> None:
    model = feed_forward(1, [3], "relu", seed=0)
    with torch.no_grad():
        model.hidden1.weight[1] = 0.0
        model.hidden1.bias[1] = -1.0
    # The dead unit's own weight and bias and its outgoing weight; the other two may die or not, but are alive here.
    with torch.no_grad():
        model.hidden1.weight[0], model.hidden1.weight[2] = 1.0, -1.0
    approach = equilibrate(NeuralSystem(model, LOSS, overlapping(200)), epochs=3)
    assert approach.certificate.frozen == 3


def test_a_seed_repeats_bit_for_bit_and_another_does_not() -> None:
    def trained(seed: int, threads: int) -> tuple[list[float], list[torch.Tensor]]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            system = NeuralSystem(feed_forward(1, [8, 8], "tanh", seed=1), LOSS, overlapping(200))
            approach = equilibrate(system, epochs=25, batch_size=16, lr=0.01, seed=seed)
        finally:
            torch.set_num_threads(before)
        return list(approach.losses), [value.detach() for value in approach.system.parameters.values()]

    losses, weights = trained(4, 1)
    for threads in (1, 2):
        again_losses, again = trained(4, threads)
        assert losses == again_losses
        assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))
    other = trained(5, 1)[1]
    assert not all(torch.equal(a, b) for a, b in zip(weights, other, strict=True))


def test_threads_are_as_many_as_before() -> None:
    before = torch.get_num_threads()
    equilibrate(NeuralSystem(two_neurons(), LOSS, overlapping(50)), epochs=1)
    assert torch.get_num_threads() == before

    def stop(epoch: int, epochs: int, loss: float, fraction: float | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        equilibrate(NeuralSystem(two_neurons(), LOSS, overlapping(50)), epochs=1, progress=stop)
    assert torch.get_num_threads() == before


def test_a_data_set_without_tensors_trains_the_same_way() -> None:
    data = overlapping(100)
    approach = equilibrate(
        NeuralSystem(two_neurons(), LOSS, TensorDataset(data.x, data.t)), epochs=30, batch_size=100, lr=0.05
    )
    # One batch holds everything: the order does not matter but for rounding.
    same = equilibrate(NeuralSystem(two_neurons(), LOSS, data), epochs=30, batch_size=100, lr=0.05)
    np.testing.assert_allclose(approach.losses, same.losses, rtol=1e-10)


@pytest.mark.parametrize("decoupled", [False, True])
def test_training_is_adam_on_the_mean_loss(decoupled: bool) -> None:
    # A plain loop with autograd through an ordinary loss; one batch, so no order is involved.
    data, model = overlapping(80), nn.Linear(1, 1, dtype=torch.float64)
    model.load_state_dict(two_neurons().state_dict())
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimiser = kind(model.parameters(), lr=0.03, betas=(0.9, 0.99), weight_decay=0.2)
    losses = []
    for _ in range(12):
        loss = nn.functional.softplus(-data.t * model(data.x)[:, 0]).mean()
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    ours = equilibrate(
        NeuralSystem(two_neurons(), LOSS, data),
        epochs=12,
        batch_size=80,
        lr=0.03,
        weight_decay=0.2,
        decoupled_weight_decay=decoupled,
    )
    np.testing.assert_allclose(ours.losses, losses, rtol=1e-10)
    for got, expected in zip(ours.system.parameters.values(), model.parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)


def test_progress_is_told_every_epoch() -> None:
    told: list[tuple[int, int]] = []
    equilibrate(
        NeuralSystem(two_neurons(), LOSS, overlapping(100)),
        epochs=6,
        progress=lambda epoch, epochs, loss, fraction: told.append((epoch, epochs)),
    )
    assert told == [(epoch, 6) for epoch in range(1, 7)]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 0}, "batch size must be at least 1"),
        ({"lr": 0.0}, "learning rate must be positive"),
        ({"lr": math.nan}, "learning rate must be positive"),
        ({"weight_decay": -1.0}, "weight decay must be non-negative"),
        ({"weight_decay": math.inf}, "weight decay must be non-negative"),
        ({"check_every": 0}, "check_every must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        equilibrate(NeuralSystem(two_neurons(), LOSS, overlapping(20)), **setting)  # type: ignore[arg-type]


def test_a_loss_that_explodes_is_an_error_in_words() -> None:
    x = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    system = NeuralSystem(two_neurons(), Composition("identity", "power:8"), Pairs(x, torch.ones(2).double()))
    with pytest.raises(InvalidInputError, match="not finite"):
        equilibrate(system, epochs=50, lr=1e200)


def test_training_on_many_classes_follows_torch() -> None:
    # One epoch in one batch against plain PyTorch: the same optimiser on torch's own mean cross-entropy.
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(90, 2, generator=generator, dtype=torch.float64)
    classes = torch.arange(90) % 3
    model = torch.nn.Linear(2, 3).double()
    approach = equilibrate(
        NeuralSystem(model, torch.nn.CrossEntropyLoss(), Pairs(x, classes)), epochs=1, batch_size=90, lr=0.01
    )
    plain = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(plain.parameters(), lr=0.01, weight_decay=0.0)
    loss = torch.nn.functional.cross_entropy(plain(x), classes)
    loss.backward()
    optimiser.step()
    assert approach.losses[0] == pytest.approx(float(loss.detach()), rel=1e-12)
    for name, value in plain.named_parameters():
        torch.testing.assert_close(approach.system.parameters[name], value, rtol=1e-9, atol=0.0)
