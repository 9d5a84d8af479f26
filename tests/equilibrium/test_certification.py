"""Certificates of states that are known: saddles, drifts that few samples make, separated data, decay, equilibria."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition
from critlearn.equilibrium import Certificate, Status, certify
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from reference.networks import Pairs
from reference.validation_scripts import script

LOSS = Composition("sigmoid", "bce")


def gaussians(samples: int, *, width: int = 2, seed: int = 0, dtype: torch.dtype = torch.float64) -> Pairs:
    """Two Gaussian classes that overlap."""
    generator = np.random.default_rng(seed)
    t = generator.choice([-1.0, 1.0], samples)
    x = generator.normal(size=(samples, width))
    x[:, 0] += t
    return Pairs(torch.from_numpy(x).to(dtype), torch.from_numpy(t).to(dtype))


def minimised(model: nn.Module, loss: nn.Module, x: Tensor, t: Tensor, decay: float = 0.0) -> nn.Module:
    """The network at a minimum of the loss, with L2 decay, by torch's L-BFGS."""
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=3000, tolerance_grad=1e-9, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def step() -> Tensor:
        optimizer.zero_grad()
        y = model(x)
        value = loss(y if y.shape == t.shape or t.dtype == torch.long else y[:, 0], t)
        value = value + decay / 2 * sum((part**2).sum() for part in model.parameters())
        value.backward()
        return value

    optimizer.step(step)  # type: ignore[arg-type]
    return model


def linear(width: int, outputs: int = 1, dtype: torch.dtype = torch.float64) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(width, outputs).to(dtype)


@pytest.fixture(scope="module")
def logistic() -> NeuralSystem:
    """Logistic regression at the minimum of a convex loss."""
    data = gaussians(600)
    return NeuralSystem(minimised(linear(2), nn.SoftMarginLoss(), data.x, data.t), LOSS, data)


def test_convex_logistic_regression_at_its_minimum_is_at_equilibrium(logistic: NeuralSystem) -> None:
    certificate = certify(logistic)
    assert certificate.status is Status.EQUILIBRIUM
    assert certificate.fraction == 1.0
    assert max(pull.ratio for pull in certificate.drift.pulls) < 1e-6
    assert certificate.curvature is not None
    assert certificate.curvature.lowest > 0
    assert certificate.left_out == ("trend",)


def clusters(samples: int) -> tuple[Tensor, Tensor]:
    """Four clusters at (+-1, +-1), of the class of the product."""
    generator = np.random.default_rng(0)
    sign = generator.choice([-1.0, 1.0], (samples, 2))
    x = torch.from_numpy(sign + 0.15 * generator.normal(size=sign.shape))
    return x, torch.from_numpy(sign.prod(axis=1, keepdims=True))


def tiny_network(unit: float) -> nn.Sequential:
    """Sixteen units whose initial weights are tiny, for inputs in some unit."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    with torch.no_grad():
        for value in model.parameters():
            value *= 0.03
        model[0].weight /= unit
        # Where both classes are as frequent the bias of the output has no drift at 0.
        model[2].bias.zero_()
    return model


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_saddle_of_xor_is_found_in_any_unit_of_the_inputs(unit: float) -> None:
    x, t = clusters(2000)
    certificate = certify(NeuralSystem(tiny_network(unit), LOSS, TensorDataset(x * unit, t)))
    assert certificate.status is Status.SADDLE
    assert certificate.curvature is not None
    assert certificate.curvature.gain > 0.5


def test_a_rare_feature_of_one_class_is_still_learned() -> None:
    generator = np.random.default_rng(1)
    x = np.zeros((4000, 2))
    x[:, 0] = generator.normal(size=4000)
    t = np.where(generator.random(4000) < 1 / (1 + np.exp(-x[:, 0])), 1.0, -1.0)
    x[:30, 1], t[:30] = 1.0, 1.0
    model = nn.Linear(2, 1).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 4.0]]))
        model.bias.zero_()
    data = TensorDataset(torch.from_numpy(x), torch.from_numpy(t[:, None]))
    certificate = certify(NeuralSystem(model, LOSS, data))
    # Its drift is a small part of its fluctuation, over samples most of which do not move it.
    assert certificate.drift.fraction == 1.0
    assert certificate.drift.coherent == pytest.approx(1 / 3)
    assert certificate.status is Status.DRIFTING


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Gaussian classes, network", Status.EQUILIBRIUM),
        ("Gaussian classes, SGD, rate 0.001", Status.DRIFTING),
    ],
)
def test_states_of_the_validation_have_their_status(name: str, expected: Status) -> None:
    states = script("equilibrium_states")
    state = (states.KNOWN | states.FURTHER)[name]
    assert states.certified(state, *states.trained(state, 0)).status is expected


def test_decay_of_adamw_is_told_by_the_optimiser() -> None:
    """Without it the same state drifts; digits that are separated are not held for good by a decay that shrinks."""
    states = script("equilibrium_states")
    for name, told, untold in (
        ("Gaussian classes, AdamW with decay 2, told", Status.HELD_BY_DECAY, Status.DRIFTING),
        ("digits 3 and 8, AdamW with decay 1, told", Status.SEPARABLE, Status.SEPARABLE),
    ):
        state = states.KNOWN[name]
        model, optimizer, data, losses = states.trained(state, 0)
        assert states.certified(state, model, optimizer, data, losses).status is told
        assert certify(NeuralSystem(model, state.loss, TensorDataset(*data))).status is untold


def test_l2_decay_holds_separated_data() -> None:
    x = torch.cat([torch.linspace(-2, -1, 40), torch.linspace(1, 2, 40)]).double()[:, None]
    t = x[:, 0].sign()
    model = minimised(linear(1), nn.SoftMarginLoss(), x, t, decay=0.05)
    system = NeuralSystem(model, LOSS, Pairs(x, t))
    told, untold = certify(system, weight_decay=0.05), certify(system)
    assert told.status is Status.HELD_BY_DECAY
    assert "separable" in told.reason
    assert untold.status is Status.SEPARABLE
    assert told.separated
    assert untold.separated


class _Attention(nn.Module):
    """Attention over the tokens of a sample, whose mean is read out."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.read_out = nn.Linear(2, 6), nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """One output of tokens (sample, token, 2)."""
        q, k, v = self.qkv(x).split(2, dim=2)
        return torch.as_tensor(self.read_out(nn.functional.scaled_dot_product_attention(q, k, v).mean(dim=1)))


def test_biases_of_keys_which_change_no_loss_do_not_drift_with_decay() -> None:
    torch.manual_seed(3)
    t = torch.where(torch.rand(500, 1) < 0.5, 1.0, -1.0).double()
    x = t[:, None] + torch.randn(500, 3, 2).double()
    model = minimised(_Attention().double(), nn.SoftMarginLoss(), x, t, decay=0.01)
    with torch.no_grad():
        # Decay takes them to zero slowly: any value is as good for the loss.
        model.qkv.bias[2:4] = 1e-4  # type: ignore[union-attr, operator]
    system = NeuralSystem(model, Composition("sigmoid", "bce"), TensorDataset(x, t))
    certificate = certify(system, weight_decay=0.01)
    keys, others = (certificate.moments.size["qkv.bias"][part] for part in (slice(2, 4), slice(4, 6)))
    assert float(keys.max()) < 1e-14 * float(others.min())
    assert certificate.status is Status.HELD_BY_DECAY, certificate.summary()


def test_the_history_of_the_loss_is_looked_at_if_it_is_given(logistic: NeuralSystem) -> None:
    noise = np.random.default_rng(0).normal(size=60)
    steady, falling = 1 + 0.01 * noise, 1 + 0.01 * noise - 0.01 * np.arange(60)
    assert certify(logistic, losses=steady.tolist()).status is Status.EQUILIBRIUM
    certificate = certify(logistic, losses=falling.tolist())
    assert certificate.status is Status.NOT_STATIONARY
    assert certificate.epochs == 60
    assert certificate.left_out == ()
    assert certify(logistic, losses=steady.tolist()[:39]).status is Status.NOT_STATIONARY


def _convolutions() -> tuple[nn.Module, Any, Tensor, Tensor]:
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3))
    return model, nn.CrossEntropyLoss(), torch.randn(90, 1, 3, 3, dtype=torch.float64), torch.randint(3, (90,))


def _embedding() -> tuple[nn.Module, Any, Tensor, Tensor]:
    model = nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Linear(4, 2))
    return model, nn.CrossEntropyLoss(), torch.randint(5, (90, 2)), torch.randint(2, (90,))


def _several_outputs() -> tuple[nn.Module, Any, Tensor, Tensor]:
    x = torch.randn(90, 3, dtype=torch.float64)
    return nn.Linear(3, 2), nn.MSELoss(), x, x[:, :2].sin() + torch.randn(90, 2, dtype=torch.float64)


def _one_variable() -> tuple[nn.Module, Any, Tensor, Tensor]:
    data = gaussians(90)
    return nn.Linear(1, 1, bias=False), nn.SoftMarginLoss(), data.x[:, :1], data.t


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", [_convolutions, _embedding, _several_outputs, _one_variable])
def test_any_network_is_at_equilibrium_at_a_minimum_and_nowhere_else(case, dtype: torch.dtype) -> None:  # type: ignore[no-untyped-def]
    """L2 decay keeps the networks that fit their few samples from running away; the strength is told."""
    torch.manual_seed(1)
    model, loss, x, t = case()
    decay = 0.02
    minimised(model.double(), loss, x, t, decay)
    x = x if x.dtype == torch.long else x.to(dtype)
    t = t if t.dtype == torch.long else t.to(dtype)
    system = NeuralSystem(model.to(dtype), loss, TensorDataset(x, t))
    certificate = certify(system, weight_decay=decay)
    assert certificate.status in (Status.EQUILIBRIUM, Status.HELD_BY_DECAY)
    assert certificate.decayed is not None
    assert max(pull.ratio for pull in certificate.decayed.pulls) < (1e-5 if dtype == torch.float64 else 1e-3)
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(2.0)
    assert not certify(system, weight_decay=decay).certified


def test_samples_that_are_too_few_or_move_nothing() -> None:
    data = gaussians(29)
    system = NeuralSystem(linear(2), LOSS, data)
    few = certify(system)
    assert few.status is Status.TOO_FEW
    assert "29 samples" in few.reason
    assert few.curvature is None
    # Every sample is fitted exactly.
    model = linear(2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.0]]))
        model.bias.zero_()
    more = gaussians(100)
    fitted = certify(NeuralSystem(model, Composition("identity", "mse"), Pairs(more.x, more.x[:, 0].clone())))
    assert fitted.status is Status.TOO_FEW
    assert fitted.frozen == 3


def test_variables_that_are_not_trained_do_not_count() -> None:
    """The bias is held at a wrong value: at the best weights for it the state is an equilibrium of these."""
    data = gaussians(400)
    model = linear(2)
    nn.init.constant_(model.bias, 1.0)
    model.bias.requires_grad_(False)
    free = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.LBFGS(free, max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def step() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.softplus(-data.t * model(data.x)[:, 0]).mean()
        value.backward()
        return value

    optimizer.step(step)  # type: ignore[arg-type]
    system = NeuralSystem(model, LOSS, data)
    assert certify(system).status is Status.EQUILIBRIUM
    model.bias.requires_grad_(True)
    assert certify(NeuralSystem(model, LOSS, data)).status is Status.DRIFTING


def test_evidence_that_is_left_out_is_not_looked_at_and_named(logistic: NeuralSystem) -> None:
    certificate = certify(logistic, leave_out=["curvature", "directions"])
    assert certificate.curvature is None
    assert {pull.along for pull in certificate.drift.pulls} == {"weights of weight"}
    assert certificate.left_out == ("curvature", "directions", "trend")
    assert "not looked at: curvature, directions" in certificate.reason
    assert certify(logistic).reason.count("not looked at") == 0
    # What it does not know it cannot refuse: the saddle of a product of two weights, both zero.
    assert certify(_saddle()).status is Status.SADDLE
    assert certify(_saddle(), leave_out=["curvature"]).status is not Status.SADDLE


class _Product(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0] * self.first * self.second + self.bias


def _saddle() -> NeuralSystem:
    data = gaussians(400)
    t = torch.where(torch.arange(400) % 2 == 0, 1.0, -1.0).double()
    return NeuralSystem(_Product().double(), LOSS, Pairs(data.x[:, :1] * data.t[:, None] * t[:, None], t))


@pytest.mark.parametrize("batch_size", [7, 100, 1024])
def test_batches_do_not_matter(logistic: NeuralSystem, batch_size: int) -> None:
    for along, pull in _ratios(certify(logistic, batch_size=batch_size, leave_out=["directions"])).items():
        assert pull == pytest.approx(_ratios(certify(logistic))[along], abs=1e-12)


def _ratios(certificate: Certificate) -> dict[str, float]:
    return {pull.along: pull.ratio for pull in certificate.drift.pulls}


def test_nothing_is_changed_by_looking() -> None:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double().train()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    system = NeuralSystem(model, LOSS, gaussians(200))
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    state, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = certify(system), certify(system)
    assert first.to_dict() == second.to_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert all(value.grad is None for name, value in model.named_parameters() if name != "0.weight")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"tolerance": -1.0}, "tolerance must be between 0 and 1"),
        ({"exceptions": 2.0}, "share of exceptions must be between 0 and 1"),
        ({"leave_out": ["curvatur"]}, 'did you mean "curvature"'),
        ({"leave_out": "hessian"}, 'unknown evidence "hessian"'),
        ({"weight_decay": -1.0}, "weight decay must be non-negative"),
        ({"losses": [1.0, float("nan")]}, "must be finite"),
        ({"batch_size": 0}, "batch size"),
    ],
)
def test_arguments_out_of_range_are_refused(logistic: NeuralSystem, setting: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        certify(logistic, **setting)  # type: ignore[arg-type]


@pytest.mark.parametrize("activation", [nn.Identity, nn.Tanh])
@pytest.mark.parametrize("hidden", [1, 2])
def test_a_network_of_zeros_that_no_sample_moves_is_at_a_saddle(activation: type[nn.Module], hidden: int) -> None:
    layers = [layer for _ in range(hidden) for layer in (nn.Linear(2, 2, bias=False), activation())]
    model = nn.Sequential(*layers, nn.Linear(2, 1, bias=False)).double()
    for value in model.parameters():
        nn.init.zeros_(value)
    x = torch.randn(300, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.where(x[:, :1] > 0, 1.0, -1.0).double()
    certificate = certify(NeuralSystem(model, Composition("sigmoid", "bce"), TensorDataset(x, t)))
    assert certificate.status is Status.SADDLE
    assert "no sample moves" in certificate.reason
