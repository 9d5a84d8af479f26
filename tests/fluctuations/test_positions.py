"""Contributions of positions, and losses of single tokens, against sums and passes made by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn import NeuralSystem, Quantities, load, measure, save
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from reference.language_models import alone, made, rows
from reference.plain_gradients import assert_same_counts

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SAMPLES, POSITIONS, WORDS = 6, 5, 7


class Tagger(nn.Module):
    """A layer of words, one that acts on each position, one that mixes them, a norm and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.inner = nn.Embedding(WORDS, 4), nn.Linear(4, 4)
        self.mix, self.norm, self.head = nn.Conv1d(4, 4, 3, padding=1), nn.LayerNorm(4), nn.Linear(4, WORDS)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.inner(self.words(x)))
        hidden = hidden + self.mix(hidden.transpose(1, 2)).transpose(1, 2)
        return self.head(self.norm(hidden))


def tagger() -> tuple[Tagger, Tensor, Tensor]:
    torch.manual_seed(0)
    x, t = torch.randint(WORDS, (SAMPLES, POSITIONS)), torch.randint(WORDS, (SAMPLES, POSITIONS))
    t[2, 3:] = -100
    return Tagger().double(), x, t


def by_hand(model: Tagger, x: Tensor, t: Tensor) -> dict[str, np.ndarray]:
    """Error times activity at every position, from hooks: name -> (sample x position, variable)."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str):  # type: ignore[no-untyped-def]
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            output.retain_grad()
            seen[name] = (inputs[0], output)

        return hook

    handles = [getattr(model, name).register_forward_hook(keep(name)) for name in ("words", "inner", "norm", "head")]
    logits = model(x)
    nn.functional.cross_entropy(logits.flatten(0, 1), t.flatten(), reduction="sum").backward()
    for handle in handles:
        handle.remove()
    errors = {name: output.grad for name, (_, output) in seen.items()}
    places = SAMPLES * POSITIONS
    found: dict[str, Tensor] = {}
    for name in ("inner", "head"):
        error, activity = errors[name].reshape(places, -1), seen[name][0].reshape(places, -1)
        found[f"{name}.weight"] = (error[:, :, None] * activity[:, None, :]).flatten(1)
        found[f"{name}.bias"] = error
    one_hot = nn.functional.one_hot(x.flatten(), WORDS).double()
    found["words.weight"] = (one_hot[:, :, None] * errors["words"].reshape(places, 1, -1)).flatten(1)
    entered = seen["norm"][0].reshape(places, -1)
    spread = (entered.var(dim=1, unbiased=False, keepdim=True) + model.norm.eps).sqrt()
    found["norm.weight"] = errors["norm"].reshape(places, -1) * (entered - entered.mean(dim=1, keepdim=True)) / spread
    found["norm.bias"] = errors["norm"].reshape(places, -1)
    return {name: value.detach().numpy() for name, value in found.items()}


def test_contributions_are_errors_times_activities_at_each_position() -> None:
    model, x, t = tagger()
    system = NeuralSystem(model, nn.CrossEntropyLoss(reduction="sum"), TensorDataset(x, t))
    with pytest.warns(UserWarning, match=r'2 variables have no contributions of positions .* such as "mix.bias"'):
        found = measure(system, quantities=Quantities(axis="position"), groups=1, exact=True, batch_size=4)
    expected = by_hand(model, x, t)
    assert found.samples == SAMPLES * POSITIONS
    assert set(expected) == {name for name in found if name in system.parameters}
    for name, values in expected.items():
        assert_same_counts(found[name], values, 1)
        assert found.axis(name) == "positions x variables"


def test_positions_of_a_sample_stay_in_its_group() -> None:
    model, x, t = tagger()
    system = NeuralSystem(model, nn.CrossEntropyLoss(reduction="sum"), TensorDataset(x, t))
    found = measure(system, quantities=Quantities(axis="position"), groups=SAMPLES, exact=True)["head.bias"]
    expected = by_hand(model, x, t)["head.bias"].reshape(SAMPLES, -1)
    assert found.group_zeros.tolist() == (expected == 0).sum(axis=1).tolist()


@pytest.mark.parametrize("name", ["gpt2 tied", "llama, grouped queries", "bert"])
def test_contributions_add_up_to_the_gradients_of_samples(name: str) -> None:
    system = NeuralSystem(made(name), nn.CrossEntropyLoss(), rows(name))
    x, t = next(system.boundary(6))
    whole = {item.name: item for item in PerSampleGradients(system).batch(x, t)}
    parts = {item.name: item for item in PerSampleGradients(system, by_position=True).batch(x, t)}
    assert len(parts) >= len(whole) - 1
    for key, item in parts.items():
        values = item.grad_sample.dense() * item.log_scale.exp()[:, None]
        summed = values.reshape(len(t), t.shape[1], -1).sum(dim=1)
        expected = whole[key].grad_sample.dense() * whole[key].log_scale.exp()[:, None]
        # Single positions cancel in the sum: rounding is that of the largest of them.
        assert float((summed - expected).abs().max()) <= 1e-6 * float(values.abs().max())


class WithTable(Tagger):
    """With positions as a parameter of the network itself."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(0.1 * torch.randn(POSITIONS, 4))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.inner(self.words(x) + self.places))
        hidden = hidden + self.mix(hidden.transpose(1, 2)).transpose(1, 2)
        return self.head(self.norm(hidden))


@pytest.mark.parametrize("inside", [False, True])
def test_a_parameter_of_the_network_itself_leaves_its_layers_their_positions(inside: bool) -> None:
    torch.manual_seed(0)
    x, t = torch.randint(WORDS, (SAMPLES, POSITIONS)), torch.randint(WORDS, (SAMPLES, POSITIONS))
    model = WithTable().double()
    system = NeuralSystem(
        nn.Sequential(model) if inside else model, nn.CrossEntropyLoss(reduction="sum"), TensorDataset(x, t)
    )
    found = measure(system, quantities=Quantities(axis="position"), exact=True, groups=1)
    expected = by_hand(model, x, t)
    prefix = "0." if inside else ""
    for name in ("words.weight", "inner.weight", "inner.bias", "head.weight", "norm.bias"):
        assert_same_counts(found[prefix + name], expected[name], 1)
    assert f"{prefix}places" not in found


def test_a_file_keeps_the_axis(tmp_path: Path) -> None:
    model, x, t = tagger()
    system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))
    found = measure(system, quantities=Quantities(axis="position"))
    save(found, tmp_path / "positions.npz")
    again = load(tmp_path / "positions.npz")
    assert again.axis("all") == "positions x variables"
    with pytest.raises(InvalidInputError, match="same quantities"):
        again.merge(measure(system))


def test_a_token_has_the_gradient_of_its_own_loss() -> None:
    name = "gpt2 tied"
    model, samples = made(name), rows(name)
    system = NeuralSystem(model, nn.CrossEntropyLoss(reduction="sum"), samples)
    every = system.tokens(1000)
    counted = [[word != -100 for word in row["labels"][1:]] for row in samples]
    assert len(every) == sum(map(sum, counted))
    x, t = next(every.boundary(1000))
    found = {item.name: item for item in PerSampleGradients(every).batch(x, t)}
    place = 0
    for row, marks in zip(samples, counted, strict=True):
        for position, mark in enumerate(marks):
            if not mark:
                continue
            model.zero_grad()
            logits, labels = alone(name, model, row)
            nn.functional.cross_entropy(logits[position : position + 1], labels[position : position + 1]).backward()
            for key, value in model.named_parameters():
                item = found[key]
                ours = item.grad_sample.select(torch.tensor([place])).dense()[0] * item.log_scale[place].exp()
                assert value.grad is not None
                assert float((ours - value.grad.flatten()).abs().max()) <= 1e-9 * float(value.grad.abs().max())
            place += 1
    assert len(system.tokens(3)) == 3


@pytest.mark.usefixtures("without_shape_checker")
def test_refusals() -> None:
    with pytest.raises(InvalidInputError, match='unknown axis "positions"; did you mean "position"'):
        Quantities(axis="positions")
    with pytest.raises(InvalidInputError, match="leave out samples, series, mini_batch"):
        Quantities(axis="position", mini_batch=2)
    plain = NeuralSystem(nn.Linear(2, 3), nn.CrossEntropyLoss(), TensorDataset(torch.randn(4, 2), torch.arange(4) % 3))
    with pytest.raises(InvalidInputError, match="about sequences"):
        measure(plain, quantities=Quantities(axis="position"))
    with pytest.raises(InvalidInputError, match="one loss for each sample"):
        plain.tokens(3)
    x, t = torch.randn(4, 2, 5), torch.randint(3, (4, 5))
    mixing = NeuralSystem(nn.Conv1d(2, 3, 3, padding=1), nn.CrossEntropyLoss(), TensorDataset(x, t))
    with pytest.raises(InvalidInputError, match="no variable has contributions of positions"):
        measure(mixing, quantities=Quantities(axis="position"))
    model, tokens, targets = tagger()
    system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(tokens, targets))
    with pytest.raises(InvalidInputError, match="leave it out with axis"):
        measure(system, quantities=Quantities(axis="position"), checkpoint="state.npz")
