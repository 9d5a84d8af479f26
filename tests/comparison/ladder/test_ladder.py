"""Ladders of networks against automatic differentiation and Monte Carlo that know nothing of the engine."""

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.comparison.ladder.synthetic import ladder
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import critlearn
from critlearn.comparison import predict
from critlearn.comparison.agreement import Agreement
from critlearn.comparison.ladder.error_values import output_state
from critlearn.comparison.system_prediction import measure_with_ladder
from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import Quantities
from critlearn.inference import fit_power_law
from critlearn.network import NeuralSystem, feed_forward
from critlearn.numerics.log_sketch import BIN_WIDTH
from critlearn.numerics.window import Window


class Recurrent(nn.Module):
    """Words to a recurrent layer to an output for the last of them."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 4)
        self.cell = nn.LSTM(4, 5, batch_first=True)
        self.output = nn.Linear(5, outputs)

    def forward(self, words: Tensor) -> Tensor:
        """Outputs of the last step."""
        states, _ = self.cell(self.words(words))
        return self.output(states[:, -1])


def convolutional(outputs: int) -> nn.Module:
    """A convolution, and a dense layer."""
    return nn.Sequential(nn.Conv1d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, outputs))


def attending(outputs: int) -> nn.Module:
    """A layer of a transformer, and a dense layer."""
    return nn.Sequential(
        nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True), nn.Flatten(), nn.Linear(18, outputs)
    )


class Tied(nn.Module):
    """Two layers with one weight, which a function uses as well."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first, self.second, self.output = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, outputs)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        """Outputs."""
        hidden = torch.tanh(self.second(torch.tanh(self.first(x))))
        return self.output(hidden + nn.functional.linear(x**2, self.first.weight))  # type: ignore[no-any-return]


INPUTS: dict[Callable[[int], nn.Module], Callable[[torch.Generator], Tensor]] = {
    Recurrent: lambda generator: torch.randint(11, (120, 6), generator=generator),
    convolutional: lambda generator: torch.randn(120, 1, 6, generator=generator, dtype=torch.float64),
    attending: lambda generator: torch.randn(120, 3, 6, generator=generator, dtype=torch.float64),
    Tied: lambda generator: torch.randn(120, 3, generator=generator, dtype=torch.float64),
}
"""Networks, with what goes into them."""


def path_factors(model: nn.Module, x: Tensor, t: Tensor, loss: nn.Module) -> dict[str, np.ndarray]:
    """``ln|c|`` of every sample by plain automatic differentiation: gradient over the largest output error."""
    found: dict[str, list[np.ndarray]] = {name: [] for name, _ in model.named_parameters()}
    for sample in range(len(x)):
        y = model(x[sample : sample + 1])
        value = loss(y, t[sample : sample + 1])
        (error,) = torch.autograd.grad(value, y, retain_graph=True)
        gradients = torch.autograd.grad(value, list(model.parameters()))
        for name, gradient in zip(found, gradients, strict=True):
            found[name].append((gradient / error.abs().max()).abs().log().flatten().numpy())
    return {name: np.stack(parts) for name, parts in found.items()}


ROUNDING = -30.0
"""Logarithm below which a gradient of a sum that cancels is rounding."""


@pytest.mark.parametrize("network", list(INPUTS))
@pytest.mark.filterwarnings("ignore:.*no layer rule|.*automatic differentiation")
def test_path_factors_are_gradients_of_unit_errors(network: Callable[[int], nn.Module]) -> None:
    torch.manual_seed(3)
    model = network(4).double().eval()
    generator = torch.Generator().manual_seed(1)
    x = INPUTS[network](generator)
    t = torch.randint(4, (len(x),), generator=generator)
    system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))
    steps = predict(system).steps
    for name, logs in path_factors(model, x, t, nn.CrossEntropyLoss()).items():
        sketch = steps.paths[name]
        # Gradients that are rounding of sums that cancel are exact zeros.
        sizes = np.sort(logs[logs > ROUNDING])
        assert sketch.count == logs.size
        assert abs(sketch.count - sketch.zeros - sizes.size) <= np.sum(np.isfinite(logs) & (logs <= ROUNDING))
        edges = sketch.edges[sketch.edges > ROUNDING]
        above = np.flip(np.cumsum(np.flip(np.append(sketch.counts, 0))))[-edges.size :]
        # Histograms that are convolved may put a number into the bin beside its own.
        least, most = (sizes.size - np.searchsorted(sizes, edges + by) for by in (1.01 * BIN_WIDTH, -1.01 * BIN_WIDTH))
        assert (least <= above).all()
        assert (above <= most).all()


def dense(samples: int, seed: int = 0) -> tuple[NeuralSystem, Tensor, Tensor]:
    """Untrained network with one output on overlapping classes."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.where(torch.rand(samples, generator=generator) < 0.4, 1.0, -1.0).double()
    x = torch.randn(samples, 5, generator=generator, dtype=torch.float64) + 0.5 * t[:, None]
    model = feed_forward(5, [7, 6], "tanh", seed=1)
    return NeuralSystem(model, Composition("sigmoid", "bce"), TensorDataset(x, t)), x, t


@pytest.mark.parametrize("level", [1, 2])
def test_a_level_is_a_product_of_errors_and_path_factors_of_other_samples(level: int) -> None:
    """Monte Carlo: margins drawn anew, path factors by automatic differentiation of a sample drawn at random."""
    system, x, t = dense(800)
    found = predict(system, level=level)
    generator = np.random.default_rng(5)
    with torch.no_grad():
        margins = (system.model(x).flatten() * t).numpy()
    draws = 200_000
    if level == 1:
        classes = generator.choice(t.numpy(), draws)
        means = {c: margins[t.numpy() == c].mean() for c in (-1.0, 1.0)}
        spreads = {c: margins[t.numpy() == c].std() for c in (-1.0, 1.0)}
        drawn = generator.normal([means[c] for c in classes], [spreads[c] for c in classes])
    else:
        drawn = generator.choice(margins, draws)
    # Error of sigmoid with cross-entropy, by theory: g(m) = 1 / (1 + exp(m)).
    log_error = -np.logaddexp(0.0, drawn)
    for name, value in system.model.named_parameters():
        factors = []
        for sample in range(len(x)):
            (gradient,) = torch.autograd.grad(system.model(x[sample : sample + 1]).sum(), value)
            factors.append(gradient.flatten().abs().log().numpy())
        flat = np.concatenate(factors)
        logs = np.sort(log_error + generator.choice(flat, draws))
        prediction = found[name].distribution
        exact = np.searchsorted(logs, prediction.edges) / draws
        # Four standard errors of a Kolmogorov-Smirnov distance of so many draws, a kernel and a bin.
        smoothing = 0.0 if level == 1 else 0.01
        assert np.abs(prediction.cumulative(prediction.edges) - exact).max() < 2.0 / math.sqrt(draws) + 0.01 + smoothing


def test_softmax_of_a_true_class_has_the_error_of_its_margin() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x, t = torch.randn(500, 4).double(), torch.randint(3, (500,))
    steps = predict(NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))).steps
    with torch.no_grad():
        log_probability = torch.log_softmax(model(x), dim=1)[torch.arange(500), t].numpy()
    np.testing.assert_allclose(steps.state.log_error, np.log(-np.expm1(log_probability)), rtol=1e-9)
    np.testing.assert_allclose(
        steps.state.values.values, log_probability - np.log(-np.expm1(log_probability)), rtol=1e-9
    )
    assert len(np.unique(steps.state.values.group)) == 3


def test_samples_without_error_are_zeros_and_have_no_path_factor() -> None:
    """The error of a squared hinge of classes is zero where the true one is ahead by the margin."""
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x = torch.randn(900, 4).double()
    with torch.no_grad():
        y = 3.0 * model(x)
        for value in model[2].parameters():
            value.mul_(3.0)
        t = torch.where(torch.rand(900) < 0.7, y.argmax(dim=1), torch.randint(3, (900,)))
        true = y[torch.arange(900), t][:, None]
        within = (y - true + 1 > 0).sum(dim=1) > 1
    without = 1 - float(within.double().mean())
    assert 0.05 < without < 0.95
    system = NeuralSystem(model, nn.MultiMarginLoss(p=2), TensorDataset(x, t))
    measured, steps = measure_with_ladder(system)
    assert not isinstance(steps, str)
    assert measured["0.bias"].zeros == round(without * 900) * 6
    assert steps.prediction("0.bias", 2).distribution.zeros == pytest.approx(without, abs=0.02)
    levels = steps.levels("0.bias", fit_power_law(measured["0.bias"]))
    assert [level.level for level in levels] == [1, 2]
    # Were they path factors, zeros would be counted twice, and the distance be as large as their share of the rest.
    assert levels[1].distance is not None
    assert levels[1].distance < 0.5 * without * (1 - without)


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.MultiLabelSoftMarginLoss()])
def test_errors_of_several_numbers_are_told_together_with_the_data(loss: nn.Module) -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    with torch.no_grad():
        # Outputs, and with them errors, of very different sizes.
        model[2].weight.mul_(8)
    x = torch.randn(400, 3).double()
    t = (
        (torch.rand(400, 2) < 0.5).double()
        if isinstance(loss, nn.MultiLabelSoftMarginLoss)
        else torch.randn(400, 2).double()
    )
    system = NeuralSystem(model, loss, TensorDataset(x, t))
    with pytest.raises(InvalidInputError, match=r"take level=1 or level=2"):
        predict(system, level=0)
    steps = predict(system, level=1).steps
    assert steps.levels_known == (1, 2, 3)
    fit = fit_power_law(steps.measured["0.weight"])
    anatomy = steps.anatomy("0.weight", fit)
    assert anatomy is not None
    assert anatomy.composition is None


def test_positions_and_drawn_entries_have_ladders_too() -> None:
    system, _, _ = dense(300)
    _, steps = measure_with_ladder(system, quantities=Quantities(variables=10))
    assert not isinstance(steps, str)
    assert steps.levels("hidden2.weight", fit_power_law(steps.measured["hidden2.weight"]))


def test_a_path_factor_of_zero_or_one_is_that_of_other_samples() -> None:
    """As of the weight of a binary feature: it is no identity that 40% of the fluctuations are zero."""
    steps = ladder(6000, 0, variables=1, spread=0.0, zeros=0.4)
    assert steps.prediction("q", 2).distribution.zeros == pytest.approx(0.4, abs=4 * math.sqrt(0.24 / 6000))
    level = {level.level: level for level in steps.levels("q", fit_power_law(steps.measured["q"]))}[2]
    assert level.agreement is not None
    assert level.distance is not None
    assert level.distance < 0.05


@pytest.mark.parametrize("case", ["weighted", "single feature"])
def test_the_joint_level_is_an_identity_for_folds_and_clusters(case: str) -> None:
    """Errors of weighted classes end inside of the range of all; a feature of the errors' own sign clusters them."""
    torch.manual_seed(0)
    t = (torch.rand(3000, 1) < 0.4).double()
    x = torch.randn(3000, 4, dtype=torch.float64) + (2 * t - 1)
    if case == "weighted":
        model: nn.Module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
        loss: nn.Module = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([10.0], dtype=torch.float64))
    else:
        x, model, loss = x[:, :1], nn.Linear(1, 1).double(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        loss(model(x), t).backward()
        optimizer.step()
    system = NeuralSystem(model, loss, TensorDataset(x, t))
    steps = predict(system, level=1).steps
    for name in steps.measured:
        apart = steps.distance(name, 3)
        assert apart.value < 1.5 * apart.noise + 0.005, name


def test_what_cannot_be_predicted_says_why() -> None:
    system, x, t = dense(300)
    _, reason = measure_with_ladder(system, quantities=Quantities(mini_batch=3))
    assert isinstance(reason, str)
    assert "several samples" in reason
    few = NeuralSystem(system.model, system.loss, TensorDataset(x[:30], t[:30]))
    with pytest.raises(InvalidInputError, match="40 samples or more; got 30"):
        predict(few)
    with pytest.raises(InvalidInputError, match="0, 1 and 2; got 3"):
        predict(system, level=3)
    same = NeuralSystem(system.model, system.loss, TensorDataset(x[:1].repeat(50, 1), t[:1].repeat(50)))
    with pytest.raises(InvalidInputError, match="are the same"):
        predict(same)


def test_exponents_of_a_prediction_are_those_of_its_density() -> None:
    """Uniform margins under sigmoid with cross-entropy: dm = -d ln g / (1 - g), so that p(ln g) rises to its end."""
    system, _, _ = dense(400)
    law = predict(system, level=0)["output.bias"]
    # p(ln g) ~ 1 / (1 - g): on [0.3, 0.6], mean of ln g by quadrature, and the exponent with that mean.
    sizes = np.linspace(math.log(0.3), math.log(0.6), 20_001)
    weight = 1 / (1 - np.exp(sizes))
    mean = float((weight * sizes).sum() / weight.sum())
    exponents = np.linspace(-2.0, 3.0, 50_001)
    tilted = np.exp((1 - exponents[:, None]) * sizes[None, ::100])
    means = (tilted * sizes[::100]).sum(axis=1) / tilted.sum(axis=1)
    expected = exponents[np.argmin(np.abs(means - mean))]
    assert law.exponent_on(Window(0.3, 0.6)) == pytest.approx(expected, abs=0.02)
    assert law.exponent_on(Window(1e-20, 1e-18)) is None


def test_the_table_has_a_row_for_each_level() -> None:
    system, _, _ = dense(400)
    table = predict(system).ladder
    assert table.groupby("quantity")["level"].apply(list).map(tuple).unique().tolist() == [(0, 1, 2, 3)]
    assert table[table.level == 3].agreement.isna().all()
    assert set(table.agreement.dropna()) <= {str(outcome) for outcome in Agreement}
    # The path factor of the output bias is 1: the density of the margins is what is measured there.
    assert table[(table["quantity"] == "output.bias") & (table.level == 2)].agreement.isna().all()


def test_errors_that_are_all_the_same_do_not_end_an_analysis() -> None:
    """Residuals differ, their signs do not: nothing is pushed forward, and what was measured stands."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    system = NeuralSystem(model, nn.L1Loss(), TensorDataset(torch.randn(300, 3).double(), torch.randn(300, 1).double()))
    analysis = critlearn.analyze(system, progress=False)
    assert analysis.table.exponent.notna().any()
    assert analysis.table.not_predicted.str.contains("the same").all()


def test_probabilities_as_targets_have_margins() -> None:
    system, x, t = dense(400)
    other = NeuralSystem(system.model, nn.BCEWithLogitsLoss(), TensorDataset(x, (t[:, None] + 1) / 2))
    values = predict(other).steps.state.values
    with torch.no_grad():
        np.testing.assert_allclose(values.values, (system.model(x).flatten() * t).numpy(), rtol=1e-9)


def test_a_path_factor_that_is_one_adds_nothing_however_narrow_the_margins() -> None:
    """Eight different inputs: margins lie in a few bins."""
    torch.manual_seed(1)
    x = torch.randint(2, (2000, 3)).double()
    t = torch.where(torch.rand(2000) < 0.3 + 0.1 * x.sum(dim=1), 1.0, -1.0).double()
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    steps = predict(NeuralSystem(model, Composition("sigmoid", "bce"), TensorDataset(x, t))).steps
    fit = fit_power_law(steps.measured["2.bias"])
    levels = {level.level: level for level in steps.levels("2.bias", fit)}
    for identity in (levels[2], levels[3]):
        assert identity.distance == pytest.approx(identity.noise, abs=1e-9)
    anatomy = steps.anatomy("2.bias", fit)
    assert anatomy is None or (anatomy.path.value, anatomy.dependence.value) == (0.0, 0.0)


class Tokens(nn.Module):
    """Words to a recurrent layer to logits of each position."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.cell = nn.Embedding(7, 4), nn.GRU(4, 5, batch_first=True)
        self.output = nn.Linear(5, 7)

    def forward(self, words: Tensor) -> Tensor:
        """Logits of each position."""
        return self.output(self.cell(self.words(words))[0])


def test_errors_of_sequences_are_the_same_in_single_precision() -> None:
    torch.manual_seed(1)
    data, network = torch.randint(7, (100, 6)), Tokens()
    errors = []
    for model in (network, copy.deepcopy(network).double()):
        system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(data[:, :-1], data[:, 1:]))
        errors.append(output_state(system, batch_size=32, lr=1.0).log_error)
    # Logits in single precision are off by 1e-7 of their size.
    np.testing.assert_allclose(*errors, rtol=0, atol=1e-5)
    logits, t = network(data[:, :-1]).double().softmax(-1), data[:, 1:]
    largest = (logits - nn.functional.one_hot(t, 7)).abs().amax(dim=(1, 2)) / 5
    np.testing.assert_allclose(errors[0], largest.log().detach().numpy(), rtol=0, atol=1e-5)


def test_single_tokens_have_margins_and_sequences_have_none() -> None:
    torch.manual_seed(0)
    data = torch.randint(7, (100, 6))
    sequences = NeuralSystem(Tokens().double(), nn.CrossEntropyLoss(), TensorDataset(data[:, :-1], data[:, 1:]))
    _, steps = measure_with_ladder(sequences)
    assert not isinstance(steps, str)
    assert steps.levels_known == (1, 2)
    single = sequences.tokens(300)
    _, steps = measure_with_ladder(single)
    assert not isinstance(steps, str)
    assert steps.levels_known == (0, 1, 2)
    x, t = next(single.boundary(300))
    place = (t != -100).nonzero()
    logits = single.model(x)[place[:, 0], place[:, 1]]
    true = t[place[:, 0], place[:, 1]]
    own = logits.gather(1, true[:, None])[:, 0]
    others = logits.scatter(1, true[:, None], -math.inf).logsumexp(dim=1)
    margins = torch.as_tensor(steps.state.values.values)
    torch.testing.assert_close(margins, (own - others).detach(), rtol=1e-9, atol=1e-9)
    # The largest error is that of the true class, of minus the margin.
    expected = torch.nn.functional.logsigmoid(-(own - others)).detach()
    torch.testing.assert_close(torch.as_tensor(steps.state.log_error), expected, rtol=1e-9, atol=1e-9)
