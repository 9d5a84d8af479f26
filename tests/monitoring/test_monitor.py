"""Training with a monitor is training without one, and what the monitor says is what happened."""

import copy
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import critlearn as cl
from critlearn.errors import InvalidInputError
from critlearn.numerics.log_sketch import BIN_WIDTH
from reference.networks import Pairs, classes, logistic_cross_entropy, loop_of_autograd


def drawn() -> tuple[float, float, float]:
    """Next number of each global generator."""
    return float(torch.rand(1)), np.random.random(), random.random()  # noqa: NPY002


class Noisy(Dataset[tuple[Tensor, Tensor]]):
    """Data whose augmentation draws from the generators of torch, NumPy and Python."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, t = self.pairs[index]
        return x + 0.1 * torch.randn(x.shape) + 0.1 * sum(drawn()[1:]), t


def network() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Linear(3, 8),
        nn.BatchNorm1d(8),
        nn.Tanh(),
        nn.Dropout(0.3),
        nn.Linear(8, 4),
        nn.BatchNorm1d(4),
        nn.Linear(4, 1),
    )


def trained(
    watch: Callable[[cl.NeuralSystem, torch.optim.Optimizer], cl.Monitor] | None,
) -> tuple[nn.Module, list[bool]]:
    """A network after some steps of accumulated gradients, and the mode of each of its modules at the end."""
    model, data = network().eval(), Noisy(Pairs(*(part.float() for part in classes((60, 3)).tensors)))
    system = cl.NeuralSystem(model, cl.Composition("sigmoid", "bce"), data)
    model.train()
    model[1].eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(7)

    def loop(monitor: cl.Monitor | None) -> None:
        for _ in range(4):
            for number, (x, t) in enumerate(DataLoader(data, batch_size=10, shuffle=True)):
                nn.functional.softplus(-t * model(x)[:, 0]).mean().backward()
                if number % 2:
                    optimizer.step()
                    if monitor is not None:
                        # Gradients are still there: measuring must not touch them.
                        monitor.step()
                    if number % 4 == 3:
                        optimizer.zero_grad()

    if watch is None:
        loop(None)
    else:
        with watch(system, optimizer) as monitor:
            loop(monitor)
        assert len(monitor.record.states) >= 2
    return model, [module.training for module in model.modules()]


# The checker itself draws from Python's generator.
@pytest.mark.usefixtures("without_shape_checker")
def test_weights_generators_and_modes_are_bit_for_bit_those_without_a_monitor() -> None:
    bare, modes = trained(None)
    following = drawn()
    watched, modes_after = trained(lambda *given: cl.Monitor(*given, every=2, samples=20))
    assert drawn() == following
    assert modes_after == modes == [True, True, False, True, True, True, True, True]
    for name, value in bare.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name


def test_batch_normalisation_in_train_mode_is_measured_in_eval_mode() -> None:
    model, data = network().double().eval(), classes((40, 3))
    system = cl.NeuralSystem(model, cl.Composition("sigmoid", "bce"), data)
    expected = cl.measure(system)["all"]
    model.train()
    with cl.Monitor(system, torch.optim.SGD(model.parameters(), lr=0.1), every=1, variables=None) as monitor:
        pass
    found = monitor.record.states[0].distributions["all"].sketch
    # The groups of samples are fewer.
    assert found.to_arrays()["zeros"].sum() == expected.to_arrays()["zeros"].sum()
    np.testing.assert_array_equal(found.counts, expected.counts)
    assert found.log_range == expected.log_range


def simple(samples: int = 200, *between: nn.Module) -> tuple[cl.NeuralSystem, torch.optim.SGD]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), *between, nn.Linear(5, 1)).double()
    system = cl.NeuralSystem(model, cl.Composition("sigmoid", "bce"), classes((samples, 3)))
    return system, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def step_of(system: cl.NeuralSystem, optimizer: torch.optim.Optimizer) -> None:
    x, t = system.dataset.x, system.dataset.t  # type: ignore[attr-defined]
    optimizer.zero_grad()
    nn.functional.softplus(-t * system.model(x)[:, 0]).mean().backward()
    optimizer.step()


def test_every_distribution_is_that_of_plain_autograd_and_plain_differences() -> None:
    system, optimizer = simple()
    weights, steps = [copy.deepcopy(system.model.state_dict())], 7
    names = ("2.bias", "0.weight")
    with cl.Monitor(system, optimizer, every=3, quantities=names, series={"0.weight": (0, 14)}) as monitor:
        for _ in range(steps):
            step_of(system, optimizer)
            weights.append(copy.deepcopy(system.model.state_dict()))
            monitor.step()
    record = monitor.record
    assert [state.step for state in record.states] == [0, 3, 6, 7]
    assert [set(state.distributions) - set(names) for state in record.states] == [{"updates"}] * 3 + [set()]
    x, t = system.dataset.x, system.dataset.t  # type: ignore[attr-defined]
    model = copy.deepcopy(system.model)
    for state in record.states:
        model.load_state_dict(weights[state.step])
        gradients = loop_of_autograd(model, logistic_cross_entropy, x, t)
        for name in names:
            assert_counts(state.distributions[name], gradients[name].numpy())
        # A mean over samples in two passes, against the streaming one.
        changes = np.concatenate([part.numpy().reshape(len(x), -1) for part in gradients.values()], axis=1)
        within = np.abs(changes.mean(axis=0)) <= 0.1 * changes.std(axis=0)
        assert state.equilibrium_fraction == pytest.approx(within.mean())
    assert record.states[0].distributions["2.bias"].axis == "samples"
    assert record.states[0].distributions["0.weight"].axis == "samples x variables"
    for state in record.states[:-1]:
        before, after = weights[state.step], weights[state.step + 1]
        difference = np.concatenate([(after[name] - before[name]).numpy().ravel() for name in before])
        assert_counts(state.distributions["updates"], difference)
        assert state.distributions["updates"].axis == "variables"
    flat = np.stack([held["0.weight"].numpy().ravel() for held in weights])
    np.testing.assert_array_equal(record.series.updates("0.weight"), np.diff(flat[:, [0, 14]], axis=0))
    assert record.series.axis == "time"
    assert record.fraction_without_drift == 1.0


def assert_counts(distribution: object, values: np.ndarray) -> None:
    """Same numbers of zeros and of both signs, and cumulated counts right to a bin on either side."""
    sketch = distribution.sketch  # type: ignore[attr-defined]
    values = values.ravel()
    assert sketch.count == values.size
    assert sketch.zeros == (values == 0).sum()
    below = np.concatenate([[0], np.cumsum(sketch.counts)])
    logs = np.log(np.abs(values[values != 0]))
    for edge, count in zip(sketch.edges, below, strict=True):
        assert (logs < edge - 1.01 * BIN_WIDTH).sum() <= count <= (logs < edge + 1.01 * BIN_WIDTH).sum()
    # Which sign is which depends on whether it is the gradient or the change: both are held apart either way.
    signs = sorted([int(sketch.counts_positive.sum()), int(sketch.counts_negative.sum())])
    assert signs == sorted([int((values > 0).sum()), int((values < 0).sum())])


def test_equilibrium_fraction_of_a_subsample_is_what_sampling_alone_leaves() -> None:
    system, optimizer = simple(400)
    with cl.Monitor(system, optimizer, every=1, samples=150) as monitor:
        pass
    expected = monitor.record.fraction_without_drift
    # Data sets without any drift, of which samples are drawn: the share of means within a tenth of a deviation.
    generator = np.random.default_rng(1)
    trials = 4000
    data = generator.standard_normal((trials, 400))
    data -= data.mean(axis=1, keepdims=True)
    part = data[:, :150]
    within = np.abs(part.mean(axis=1)) <= 0.1 * part.std(axis=1)
    assert abs(within.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / trials)
    assert 0.8 < expected < 0.9


def test_scalars_reach_a_writer_and_a_function_alike() -> None:
    written: list[tuple[str, float, int]] = []

    class Writer:
        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

    told: list[tuple[str, float, int]] = []
    for log in (Writer(), lambda *given: told.append(given)):
        system, optimizer = simple(2000)
        with cl.Monitor(system, optimizer, every=2, quantities=("2.bias",), log=log) as monitor:
            for _ in range(3):
                step_of(system, optimizer)
                monitor.step()
    assert told == written
    fractions = {step: value for name, value, step in told if name == "critlearn/equilibrium_fraction"}
    assert fractions == {state.step: state.equilibrium_fraction for state in monitor.record.states}
    for name, value, step in told:
        if name.startswith("critlearn/2.bias"):
            fit = next(s for s in monitor.record.states if s.step == step).distributions["2.bias"].fit
            assert fit is not None
            grade = {"power law": 5, "compatible": 4, "power law with cut-off": 3, "drifting exponent": 2}
            held = {
                "exponent": fit.exponent,
                "decades": fit.decades,
                "is_power_law": float(fit.established),
                "grade": grade.get(fit.grade, {"rejected": 1, "too few data": 0}.get(fit.grade)),
            }
            assert value == held[name.rpartition("/")[2]]


def test_training_that_diverges_goes_on_and_the_record_says_why() -> None:
    system, optimizer = simple()
    with cl.Monitor(system, optimizer, every=1) as monitor:
        with torch.no_grad():
            system.model[2].bias.fill_(torch.inf)
        monitor.step()
        with torch.no_grad():
            system.model[2].bias.fill_(0.1)
        monitor.step()
    first, second, third = monitor.record.states
    assert first.problem is third.problem is None
    assert second.problem is not None
    assert "not finite" in second.problem
    assert not second.distributions
    assert "updates" not in first.distributions
    assert second.problem in second.summary()


def test_code_of_a_network_that_fails_when_it_is_measured_does_not_end_training() -> None:
    class OnlyInTraining(torch.nn.Module):
        broken = False

        def forward(self, x: Tensor) -> Tensor:
            if self.broken:
                raise KeyError("not in eval mode")
            return x

    system, optimizer = simple(200, OnlyInTraining())
    with cl.Monitor(system, optimizer, every=1) as monitor:
        OnlyInTraining.broken = True
        monitor.step()
        OnlyInTraining.broken = False
        monitor.step()
    first, second, third = monitor.record.states
    assert first.problem is third.problem is None
    assert second.problem is not None
    assert "not in eval mode" in second.problem


def test_training_that_breaks_off_is_recorded_up_to_there() -> None:
    system, optimizer = simple()
    monitor = cl.Monitor(system, optimizer, every=2)

    def interrupted() -> None:
        with monitor:
            for _ in range(3):
                step_of(system, optimizer)
                monitor.step()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [state.step for state in monitor.record.states] == [0, 2]
    assert monitor.record.steps == 3


def test_one_quantity_may_be_given_by_its_name() -> None:
    system, optimizer = simple()
    with cl.Monitor(system, optimizer, every=5, quantities="2.bias") as monitor:
        pass
    assert set(monitor.record.states[0].distributions) == {"2.bias"}


def test_layers_are_followed_by_default_and_an_untrained_network_is_not_spoken_of() -> None:
    system, optimizer = simple()
    with cl.Monitor(system, optimizer) as monitor:
        assert monitor.record.states == ()
        step_of(system, optimizer)
        monitor.step()
    (last,) = monitor.record.states
    assert last.step == 1
    assert set(last.distributions) == {"0", "2", "all"}
    system, optimizer = simple()
    with cl.Monitor(system, optimizer, every=5) as monitor:
        pass
    assert "equilibrium" not in monitor.record.states[0].summary()


def test_drawn_entries_are_the_same_in_every_state_and_those_of_plain_autograd() -> None:
    system, optimizer = simple()
    weights = [copy.deepcopy(system.model.state_dict())]
    with cl.Monitor(system, optimizer, every=1, variables=4, seed=3, quantities=("0.weight", "2.bias")) as monitor:
        step_of(system, optimizer)
        weights.append(copy.deepcopy(system.model.state_dict()))
        monitor.step()
    sizes = {name: value.numel() for name, value in system.parameters.items()}
    chosen = cl.Quantities(variables=4, seed=3).drawn(sizes)
    x, t = system.dataset.x, system.dataset.t  # type: ignore[attr-defined]
    model = copy.deepcopy(system.model)
    for state in monitor.record.states:
        model.load_state_dict(weights[state.step])
        gradients = loop_of_autograd(model, logistic_cross_entropy, x, t)
        for name in ("0.weight", "2.bias"):
            plain = gradients[name].numpy().reshape(len(x), -1)[:, chosen[name]]
            assert_counts(state.distributions[name], plain)


def test_a_state_that_time_does_not_pay_for_has_fewer_samples() -> None:
    system, optimizer = simple(400)
    with cl.Monitor(system, optimizer, samples=300) as monitor:
        step_of(system, optimizer)
        monitor.step()
    (last,) = monitor.record.states
    # The shortest measurement, of one batch, which is made at the end whatever it takes.
    assert last.samples == 64
    assert last.distributions["all"].sketch.count == 64 * 26


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"every": 0}, "every must be at least 1 step; got 0"),
        ({"every": 2.5}, "every must be an integer"),
        ({"share": 1.5}, "between 0 and 1; got 1.5"),
        ({"share": float("nan")}, "between 0 and 1; got nan"),
        ({"samples": 0}, "samples must be at least 1; got 0"),
        ({"series": {"0.wieght": (0,)}}, 'did you mean "0.weight"'),
        ({"quantities": ["2.bais"]}, 'did you mean "2.bias"'),
        ({"log": 3}, "add_scalar"),
        ({"every": 2, "share": 0.1}, "not both"),
        ({"seed": "a"}, "seed must be an integer; got 'a'"),
        ({"seed": -1}, "seed must not be negative; got -1"),
        ({"quantities": "al"}, 'unknown quantity "al"'),
    ],
)
def test_bad_settings_are_refused_before_training(settings: dict[str, object], told: str) -> None:
    system, optimizer = simple()
    with pytest.raises(InvalidInputError, match=told), cl.Monitor(system, optimizer, **settings):  # type: ignore[arg-type]
        pytest.fail("training began")


@pytest.mark.usefixtures("without_shape_checker")
def test_an_optimiser_of_something_else_is_refused() -> None:
    system, optimizer = simple()
    other = torch.optim.SGD(copy.deepcopy(system.model).parameters(), lr=0.1)
    with pytest.raises(InvalidInputError, match="not of a copy"):
        cl.Monitor(system, other)
    with pytest.raises(InvalidInputError, match="param_groups"):
        cl.Monitor(system, "sgd")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="NeuralSystem"):
        cl.Monitor(system.model, optimizer)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="inside its `with` block"):
        cl.Monitor(system, optimizer).step()
