"""Losses with weights, smoothing and soft targets, of counts and sequences, and functions: torch's gradients, tails."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from critlearn import DualityMap, NeuralSystem, Quantities, measure
from critlearn.compositions.softmax.weighted import WeightedCrossEntropy
from critlearn.compositions.torch_losses.poisson import PoissonCounts
from critlearn.compositions.torch_losses.weighted_logistic import WeightedLogistic
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients

SAMPLES, OUTPUTS = 6, 3
GENERATOR = torch.Generator().manual_seed(3)
X = torch.randn(SAMPLES, 4, dtype=torch.float64, generator=GENERATOR)
CLASSES = torch.randint(OUTPUTS, (SAMPLES,), generator=GENERATOR)
SHARES = torch.rand(SAMPLES, OUTPUTS, dtype=torch.float64, generator=GENERATOR).softmax(dim=1)
BITS = torch.randint(2, (SAMPLES, OUTPUTS), generator=GENERATOR).double()
COUNTS = torch.randint(5, (SAMPLES, OUTPUTS), generator=GENERATOR).double()
WEIGHTS = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
LAST = nn.LogSoftmax(dim=1)


class Masked(nn.Module):
    """Log-probabilities that add up to 1 for some samples only, the first ones among them."""

    def forward(self, y: Tensor) -> Tensor:
        return y.log_softmax(dim=1).masked_fill(y < y.mean(dim=1, keepdim=True) - 0.4, -30.0)


def plain(reduction: str, **options: Any) -> nn.Module:
    return nn.CrossEntropyLoss(reduction=reduction, **options)


# Losses with a form of their own; the mean over one sample with class weights would cancel the weights, so none or sum.
FORMS: list[tuple[nn.Module, nn.Module | None, Tensor]] = [
    (plain("sum", weight=WEIGHTS), None, CLASSES),
    (plain("mean", label_smoothing=0.2), None, CLASSES),
    (plain("sum", weight=WEIGHTS, label_smoothing=0.2), None, CLASSES),
    (plain("mean"), None, SHARES),
    (plain("mean", weight=WEIGHTS, label_smoothing=0.1), None, SHARES),
    (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0)), None, BITS),
    (nn.BCEWithLogitsLoss(pos_weight=WEIGHTS, weight=WEIGHTS.flip(0), reduction="sum"), None, BITS),
    (nn.BCEWithLogitsLoss(pos_weight=WEIGHTS), None, SHARES),
    (nn.MultiLabelSoftMarginLoss(weight=WEIGHTS), None, BITS),
    (nn.NLLLoss(), LAST, CLASSES),
    (nn.NLLLoss(weight=WEIGHTS, reduction="sum"), LAST, CLASSES),
    (nn.KLDivLoss(reduction="batchmean"), LAST, SHARES),
    (nn.KLDivLoss(reduction="mean"), LAST, SHARES),
    (nn.KLDivLoss(reduction="sum", log_target=True), LAST, SHARES.log()),
    (nn.NLLLoss(), None, CLASSES),
    (nn.NLLLoss(), Masked(), CLASSES),
    (nn.NLLLoss(weight=WEIGHTS, reduction="sum"), Masked(), CLASSES),
    (nn.KLDivLoss(reduction="batchmean"), Masked(), SHARES),
    (nn.KLDivLoss(reduction="mean", log_target=True), Masked(), SHARES.log()),
    (nn.KLDivLoss(reduction="sum"), None, SHARES),
    (nn.PoissonNLLLoss(), None, COUNTS),
    (nn.PoissonNLLLoss(full=True, reduction="sum"), None, COUNTS),
]


def squared_distance(y: Tensor, t: Tensor) -> Tensor:
    return ((y - t) ** 2).sum(dim=1).sqrt()


FUNCTIONS: list[tuple[Any, nn.Module | None, Tensor]] = [
    (nn.PoissonNLLLoss(log_input=False), nn.Softplus(), COUNTS),
    (nn.MultiMarginLoss(), None, CLASSES),
    (nn.BCELoss(), nn.Sequential(nn.Tanh(), nn.Softmax(dim=1)), SHARES),
    (squared_distance, None, SHARES),
    (lambda y, t: functional.cross_entropy(y, t) + 0.1 * (y**2).mean(), None, CLASSES),
    (lambda y, t: functional.triplet_margin_loss(y[:, :1], y[:, 1:2], y[:, 2:3], margin=3.0), None, CLASSES),
]


def gradients(system: NeuralSystem) -> dict[str, Tensor]:
    x, t = next(system.boundary(64))
    return {
        item.name: item.grad_sample.dense() * item.log_scale.exp()[:, None]
        for item in PerSampleGradients(system).batch(x, t)
    }


def check(loss: Any, model: nn.Module, x: Tensor, t: Tensor, system: NeuralSystem) -> None:
    """Each sample's gradients are those of the loss of a batch of one."""
    found = gradients(system)
    for sample in range(len(x)):
        model.zero_grad()
        loss(model(x[sample : sample + 1]), t[sample : sample + 1]).sum().backward()
        for name, value in model.named_parameters():
            assert value.grad is not None
            torch.testing.assert_close(found[name][sample], value.grad.flatten(), rtol=1e-9, atol=1e-14)


def network(last: nn.Module | None) -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, OUTPUTS), *([] if last is None else [last])).double()


@pytest.mark.parametrize(("loss", "last", "t"), FORMS)
def test_gradients_are_those_of_torch_where_torch_is_exact(loss: nn.Module, last: nn.Module | None, t: Tensor) -> None:
    model = network(last)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        system = NeuralSystem(model, loss, TensorDataset(X, t))
    check(loss, model, X, t, system)


@pytest.mark.parametrize(("loss", "last", "t"), FUNCTIONS)
def test_other_losses_are_differentiated_and_this_is_said_once(
    loss: Callable[..., Tensor], last: nn.Module | None, t: Tensor
) -> None:
    model = network(last)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        system = NeuralSystem(model, loss, TensorDataset(X, t))
        measure(system)
    assert sum("no tail-exact form" in str(one.message) for one in told) == 1
    check(loss, model, X, t, system)


def test_values_are_those_of_torch() -> None:
    for loss, last, t in FORMS:
        model = network(last)
        system = NeuralSystem(model, loss, TensorDataset(X, t))
        for sample in range(SAMPLES):
            one = slice(sample, sample + 1)
            with torch.no_grad():
                ours = float(system.loss.value(*system.forward(X[one], t[one])).sum())
                expected = float(loss(model(X[one]), t[one]))
            # Torch's Stirling term depends on targets alone.
            full = getattr(loss, "full", False)
            assert full or ours == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("kind", ["cross-entropy", "nll"])
def test_tokens_with_weights_and_smoothing(kind: str, reduction: str, smoothing: float, weighted: bool) -> None:
    options = {"weight": WEIGHTS if weighted else None, "reduction": reduction}
    loss: nn.Module = (
        nn.CrossEntropyLoss(label_smoothing=smoothing, **options)  # type: ignore[arg-type]
        if kind == "cross-entropy"
        else nn.NLLLoss(**options)  # type: ignore[arg-type]
    )
    torch.manual_seed(1)
    x, t = torch.randn(5, 2, 6, dtype=torch.float64), torch.randint(OUTPUTS, (5, 6))
    t[1, 2:] = -100
    # Classes in the second dimension.
    model = nn.Sequential(nn.Conv1d(2, OUTPUTS, 3, padding=1), *([LAST] if kind == "nll" else [])).double()
    check(loss, model, x, t, NeuralSystem(model, loss, TensorDataset(x, t)))


def test_as_many_classes_as_positions_are_in_the_second_dimension_as_torch_has_them() -> None:
    torch.manual_seed(1)
    x, t = torch.randn(5, 2, 3, dtype=torch.float64), torch.randint(3, (5, 3))
    model = nn.Conv1d(2, 3, 3, padding=1).double()
    check(nn.CrossEntropyLoss(), model, x, t, NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t)))


@pytest.mark.filterwarnings("ignore:.*no tail-exact form")
def test_soft_targets_at_positions() -> None:
    torch.manual_seed(1)
    x, t = torch.randn(5, 2, 6, dtype=torch.float64), torch.rand(5, OUTPUTS, 6, dtype=torch.float64).softmax(dim=1)
    model = nn.Conv1d(2, OUTPUTS, 3, padding=1).double()
    check(nn.CrossEntropyLoss(), model, x, t, NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t)))


class Times(nn.Module):
    """Log-probabilities (sample, time, class)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).log_softmax(dim=2)


@pytest.mark.filterwarnings("ignore:.*no tail-exact form")
def test_ctc_of_labels_of_different_lengths() -> None:
    torch.manual_seed(2)
    x, t = torch.randn(4, 7, 2, dtype=torch.float64), torch.randint(1, 5, (4, 3))
    t[1, 2:], t[2, 1:] = -1, -1
    model = Times().double()
    loss = nn.CTCLoss(reduction="sum")
    found = gradients(NeuralSystem(model, loss, TensorDataset(x, t)))
    for sample in range(4):
        model.zero_grad()
        labels = t[sample][t[sample] >= 0]
        output = model(x[sample : sample + 1]).transpose(0, 1)
        loss(output, labels[None], torch.tensor([7]), torch.tensor([len(labels)])).backward()
        for name, value in model.named_parameters():
            assert value.grad is not None
            torch.testing.assert_close(found[name][sample], value.grad.flatten(), rtol=1e-9, atol=1e-14)


@pytest.mark.filterwarnings("ignore:.*no tail-exact form")
def test_a_triplet_is_a_sample() -> None:
    torch.manual_seed(2)
    x, t = torch.randn(4, 3, 5, dtype=torch.float64), torch.zeros(4)
    model, loss = nn.Linear(5, 2).double(), nn.TripletMarginLoss(margin=2.0)
    found = gradients(NeuralSystem(model, loss, TensorDataset(x, t)))
    for sample in range(4):
        model.zero_grad()
        y = model(x[sample])
        # By hand: the distances of torch add 1e-6 to each difference.
        near, far = ((y[0] - y[other] + 1e-6).norm() for other in (1, 2))
        (near - far + 2.0).clamp(min=0).backward()
        # The bias cancels in the differences: torch's own is rounding too.
        assert model.weight.grad is not None
        torch.testing.assert_close(found["weight"][sample], model.weight.grad.flatten(), rtol=1e-9, atol=1e-12)


def test_tails_against_high_precision() -> None:
    y = torch.tensor([[90.0, 0.0, -2.0]], dtype=torch.float64)
    with mp.workdps(60):
        total = mp.fsum(mp.exp(value) for value in y[0].tolist())
        others = float(mp.log(3 * (1 - mp.exp(90) / total)))
        rest = float(mp.log(2.5 / (1 + mp.exp(90))))
        count = float(mp.log(4 * (1 - mp.exp(mp.mpf(1.25) - mp.log(4)))))
    loss = WeightedCrossEntropy((3.0, 1.0, 1.0))
    assert float(loss.log_output_error(y, torch.tensor([0]))[1][0, 0]) == pytest.approx(others, rel=1e-13)
    bits = WeightedLogistic(positive=(2.5,)).log_output_error(y[:, :1], torch.ones(1, 1))[1]
    assert float(bits) == pytest.approx(rest, rel=1e-13)
    zero = PoissonCounts().log_output_error(torch.tensor([[-900.0]]), torch.zeros(1, 1))[1]
    assert float(zero) == -900.0
    some = PoissonCounts().log_output_error(np.array([[1.25]]), np.array([[4.0]]))
    assert some[1][0, 0] == pytest.approx(count, rel=1e-13)
    assert some[0][0, 0] == -1
    assert float(PoissonCounts().log_output_error(torch.tensor([[800.0]]), torch.ones(1, 1))[1]) == 800.0


def test_a_log_softmax_in_the_network_keeps_its_tail() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.LogSoftmax(dim=1)).double()
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.copy_(torch.tensor([60.0, 0.0]))
    system = NeuralSystem(model, nn.NLLLoss(), TensorDataset(torch.ones(2, 1), torch.zeros(2, dtype=torch.int64)))
    assert gradients(system)["0.bias"][0].tolist() == pytest.approx([-math.exp(-60), math.exp(-60)], rel=1e-9)


SORTED = (torch.arange(SAMPLES) >= SAMPLES // 2).double()


def of_pairs(y: Tensor, t: Tensor) -> Tensor:
    """Ranking loss of pairs of samples of two classes, none of which are among the first samples."""
    return functional.softplus(y[t <= 0, 0][None] - y[t > 0, 0][:, None]).sum()


@pytest.mark.filterwarnings("ignore:.*no tail-exact form")
def test_a_floor_of_what_cancels() -> None:
    torch.manual_seed(0)
    x = 40 * torch.rand(400, 1, dtype=torch.float64)
    model = nn.Linear(1, 2).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0], [0.0]]))
        model.bias.zero_()
    data = TensorDataset(x, torch.zeros(400, dtype=torch.int64))

    def written_out(y: Tensor, t: Tensor) -> Tensor:
        return (y.exp().sum(dim=1).log() - y.gather(1, t[:, None])[:, 0]).sum()

    found = measure(NeuralSystem(model, written_out, data))
    assert measure(NeuralSystem(model, nn.CrossEntropyLoss(), data)).log_floor is None
    # p - 1 is rounding below 1e-16, e^-37; the estimate lies within a few decades above.
    assert found.log_floor is not None
    assert -40 < found.log_floor < -25


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("loss", "t", "told"),
    [
        (lambda y, t: (y - y.mean(dim=0)).pow(2).sum(), SHARES, r"couples the samples of a batch: .* batch= may put"),
        (of_pairs, SORTED, r"couples the samples of a batch: for 6 samples"),
        (lambda y, t: 3.0, SHARES, "must return a tensor; got float"),
        (nn.CosineEmbeddingLoss(), SHARES, r"CosineEmbeddingLoss\" cannot take .* give a function \(y, t\) -> value"),
        (nn.BCEWithLogitsLoss(pos_weight=torch.ones(2)), BITS, "pos_weight of .* must be one for each output"),
        (nn.BCELoss(), BITS, "BCEWithLogitsLoss in its place"),
    ],
)
def test_refusals_name_the_way_out(loss: Any, t: Tensor, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        NeuralSystem(network(None), loss, TensorDataset(X, t))


@pytest.mark.filterwarnings("ignore:.*no tail-exact form")
def test_a_jacobian_of_a_function_is_refused() -> None:
    system = NeuralSystem(network(None), squared_distance, TensorDataset(X, SHARES))
    with pytest.raises(InvalidInputError, match="no Jacobian here"):
        DualityMap(system).jacobian(X[0], SHARES[0])


def test_the_mask_takes_probabilities_from_some_samples_only() -> None:
    with torch.no_grad():
        total = Masked()(network(None)(X)).exp().sum(dim=1)
    assert 0 < int((total < 0.99).sum()) < SAMPLES


class Probability(nn.Module):
    """Ends in a sigmoid that its forward calls."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.layer(x))


def focal(y: Tensor, t: Tensor) -> Tensor:
    log_p = functional.logsigmoid(y)
    return -((1 - log_p.exp()) ** 2 * log_p).sum()


def mp_sigmoid(y: mp.mpf) -> mp.mpf:
    return 1 / (1 + mp.exp(-y))


MARGINS = torch.linspace(50, 120, 40, dtype=torch.float64)


def of_margins(loss: Any, *, probability: bool = False) -> tuple[np.ndarray, float | None]:
    """Logarithms of fluctuations of a weight of 1 at margins that are its inputs, and the floor."""
    near = torch.linspace(-3, 3, 40, dtype=torch.float64)
    model = (Probability() if probability else nn.Sequential(nn.Linear(1, 1, bias=False))).double()
    next(model.parameters()).data.fill_(1.0)
    data = TensorDataset(torch.cat([MARGINS, near])[:, None], torch.ones(80, 1, dtype=torch.float64))
    name = next(name for name, _ in model.named_parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = measure(NeuralSystem(model, loss, data), exact=True, quantities=Quantities(series={name: (0,)}))
    return found.series.log_size[name][: len(MARGINS), 0], found.log_floor


@pytest.mark.parametrize(
    ("loss", "probability"),
    [
        (functional.binary_cross_entropy_with_logits, False),
        (lambda y, t: -torch.log(torch.sigmoid(y)), False),
        (lambda y, t: functional.cross_entropy(torch.cat([0 * y, y], dim=1), t[:, 0].long()), False),
        (lambda y, t: functional.softplus(-y), False),
        (nn.BCELoss(), True),
    ],
)
def test_functions_are_exact_at_large_margins_where_torch_s_parts_are(loss: Any, probability: bool) -> None:
    found, _ = of_margins(loss, probability=probability)
    # d/dw of ln(1 + exp(-w x)) at w = 1.
    expected = MARGINS.log() - MARGINS - torch.log1p(torch.exp(-MARGINS))
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("loss", "form"),
    [
        (focal, lambda m: -((1 - mp_sigmoid(m)) ** 2) * mp.log(mp_sigmoid(m))),
        (lambda y, t: (torch.sigmoid(y) - t) ** 2, lambda m: (mp_sigmoid(m) - 1) ** 2),
        (lambda y, t: (t - torch.tanh(y) ** 2).square(), lambda m: (1 - mp.tanh(m) ** 2) ** 2),
    ],
)
def test_what_a_function_rounds_away_has_a_floor(loss: Any, form: Callable[[mp.mpf], mp.mpf]) -> None:
    found, floor = of_margins(loss)
    with mp.workdps(600):
        step = mp.mpf(10) ** -250
        slopes = [(form(m + step) - form(m - step)) / (2 * step) * m for m in map(mp.mpf, MARGINS.tolist())]
        expected = np.array([float(mp.log(abs(slope))) for slope in slopes])
    assert floor is not None
    assert np.isneginf(found).any()
    wrong = ~(np.abs(found - expected) <= 0.01)
    assert bool((np.maximum(found, expected)[wrong] < floor).all())
    assert floor < -70
