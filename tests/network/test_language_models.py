"""Models of Hugging Face as they are: every sample's gradients are those of a pass of that sample alone."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from critlearn import DualityMap, Monitor, NeuralSystem, certify, equilibrate, measure
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from reference.language_models import MODELS, alone, made, plain_rows, rows

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def measured_rows(system: NeuralSystem) -> dict[str, Tensor]:
    """Gradients (sample, variable) of the first batch."""
    x, t = next(system.boundary(64))
    pieces: dict[str, dict[int, Tensor]] = {}
    for item in PerSampleGradients(system).batch(x, t):
        values = item.grad_sample.dense() * item.log_scale.exp()[:, None]
        pieces.setdefault(item.name, {})[item.start] = values
    return {name: torch.cat([parts[at] for at in sorted(parts)]) for name, parts in pieces.items()}


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_padded_samples_are_those_of_each_alone(name: str, reduction: str) -> None:
    model, samples, loss = made(name), rows(name), nn.CrossEntropyLoss(reduction=reduction)
    found = measured_rows(NeuralSystem(model, loss, samples))
    assert set(found) == {key for key, _ in model.named_parameters()}
    for place, row in enumerate(samples):
        for key, expected in plain_rows(name, model, row, loss).items():
            difference = (found[key][place] - expected.flatten()).abs().max()
            # Llama and T5 take root mean squares in single precision, whatever the precision of the model.
            assert float(difference) <= 1e-6 * float(expected.abs().max()) + 1e-12


@pytest.mark.parametrize("name", MODELS)
def test_the_mean_token_loss_is_the_models_own(name: str) -> None:
    model, samples = made(name), rows(name)
    system = NeuralSystem(model, nn.CrossEntropyLoss(reduction="sum"), samples)
    x, t = next(system.boundary(8))
    with torch.no_grad():
        values = system.loss.value(*system.forward(x, t))
    longest = max(len(row["labels"]) for row in samples)
    padded = {
        key: torch.tensor([row[key] + [fill] * (longest - len(row[key])) for row in samples])
        for key, fill in (("input_ids", 0), ("attention_mask", 0), ("labels", -100))
    }
    with torch.no_grad():
        own = float(model(**padded).loss)
    assert float(values.sum()) / int((t != -100).sum()) == pytest.approx(own, rel=1e-6)


def padded(batch: list[dict[str, Any]]) -> dict[str, Tensor]:
    """A user's own function that joins samples."""
    longest = max(len(row["labels"]) for row in batch)
    fills = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    return {
        key: torch.tensor([row[key] + [fill] * (longest - len(row[key])) for row in batch])
        for key, fill in fills.items()
    }


class Stream(IterableDataset):  # type: ignore[type-arg]
    """Samples without numbers."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(rows("gpt2 tied"))


class OwnLoader:
    """A loader that is none of torch's."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        samples = rows("gpt2 tied")
        return (padded(samples[at : at + 4]) for at in range(0, len(samples), 4))


@pytest.mark.parametrize(
    "data",
    [
        DataLoader(rows("gpt2 tied"), 4, collate_fn=padded, shuffle=True),  # type: ignore[arg-type]
        DataLoader(rows("gpt2 tied"), batch_sampler=[[0, 1], [2, 3, 4], [5]], collate_fn=padded),  # type: ignore[arg-type]
        Stream(),
        DataLoader(Stream(), 4, collate_fn=padded),
        OwnLoader(),
    ],
    ids=["loader", "sampler of batches", "stream", "loader of a stream", "own loader"],
)
def test_loaders_and_streams_give_the_counts_of_the_data_set(data: Any) -> None:
    model, loss = made("gpt2 tied"), nn.CrossEntropyLoss()
    expected = measure(NeuralSystem(model, loss, rows("gpt2 tied")), groups=2, exact=True)
    found = measure(NeuralSystem(model, loss, data), batch_size=3, groups=2, exact=True)
    assert found.samples == 6
    for name in expected:
        # Sums over positions round otherwise for other paddings: a value near an edge may change its bin.
        assert abs(found[name].zeros - expected[name].zeros) == 0
        both = [sketch.log_range for sketch in (found[name], expected[name])]
        assert both[0] == pytest.approx(both[1], abs=0.02)


def test_a_model_in_single_precision() -> None:
    torch.manual_seed(1)
    model = MODELS["gpt2 tied"]().eval()
    precise = made("gpt2 tied")
    found = measured_rows(NeuralSystem(model, nn.CrossEntropyLoss(), rows("gpt2 tied")))
    for place, row in enumerate(rows("gpt2 tied")):
        for key, expected in plain_rows("gpt2 tied", precise, row, nn.CrossEntropyLoss()).items():
            difference = (found[key][place] - expected.flatten()).abs().max()
            assert float(difference) <= 1e-4 * float(expected.abs().max()) + 1e-7


@pytest.mark.parametrize("name", ["gpt2 tied", "t5"])
def test_what_else_takes_the_same_system(name: str) -> None:
    model, samples = made(name), rows(name)
    system = NeuralSystem(model, nn.CrossEntropyLoss(), samples)
    x, t = next(system.boundary(6))
    changes = DualityMap(system, lr=0.5)(dict(x.keywords), t)  # type: ignore[union-attr]
    expected = plain_rows(name, model, samples[1], nn.CrossEntropyLoss())
    for key, value in expected.items():
        assert float((changes[key][1] + 0.5 * value).abs().max()) <= 1e-6 * float(value.abs().max()) + 1e-12
    assert certify(system).samples == 6
    trained = equilibrate(system, epochs=3, batch_size=3, lr=1e-2, stop_at_equilibrium=False)
    with torch.no_grad():
        before = sum(float(nn.CrossEntropyLoss()(*alone(name, model, row))) for row in samples) / 6
    # The first epoch moves the weights already, so its mean loss is below the start's.
    assert trained.losses[0] == pytest.approx(before, rel=0.2)
    assert trained.losses[-1] < trained.losses[0]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with Monitor(system, optimizer, every=1, samples=4) as monitor:
        monitor.step()
    assert monitor.record.states[-1].problem is None


def test_what_has_no_meaning_for_sequences_is_refused() -> None:
    system = NeuralSystem(made("gpt2 tied"), nn.CrossEntropyLoss(), rows("gpt2 tied"))
    with pytest.raises(InvalidInputError, match="one tensor of continuous inputs"):
        DualityMap(system).jacobian(torch.zeros(7), torch.zeros(7))


def test_a_loss_that_is_no_mean_of_tokens_is_refused_and_batch_is_the_way_out() -> None:
    class Penalised(MODELS["gpt2 tied"]().__class__):  # type: ignore[misc]
        def forward(self, input_ids: Tensor, attention_mask: Any = None, labels: Any = None, **kw: Any) -> Any:
            output = super().forward(input_ids=input_ids, attention_mask=attention_mask, labels=labels, **kw)
            if output.loss is not None:
                output.loss = output.loss + 0.1
            return output

    model = Penalised(made("gpt2 tied").config).double().eval()
    with pytest.raises(InvalidInputError, match=r"own loss of the first batch is .* give batch= a function"):
        NeuralSystem(model, nn.CrossEntropyLoss(), rows("gpt2 tied"))

    def batch(raw: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        targets = torch.full_like(raw["labels"], -100)
        targets[:, :-1] = raw["labels"][:, 1:]
        return {key: raw[key] for key in ("input_ids", "attention_mask")}, targets

    found = measured_rows(NeuralSystem(model, nn.CrossEntropyLoss(), rows("gpt2 tied"), batch=batch))
    for place, row in enumerate(rows("gpt2 tied")):
        for key, expected in plain_rows("gpt2 tied", model, row, nn.CrossEntropyLoss()).items():
            difference = (found[key][place] - expected.flatten()).abs().max()
            assert float(difference) <= 1e-9 * float(expected.abs().max()) + 1e-12


def test_classes_of_whole_sequences() -> None:
    import transformers

    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=20, num_labels=3
    )
    model = transformers.BertForSequenceClassification(config).double().eval()
    samples = [{**row, "labels": place % 3} for place, row in enumerate(rows("bert"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = measured_rows(NeuralSystem(model, nn.CrossEntropyLoss(), samples))
    for place, row in enumerate(samples):
        model.zero_grad()
        output = model(**{key: torch.tensor([row[key]]) for key in ("input_ids", "attention_mask")})
        nn.CrossEntropyLoss()(output.logits, torch.tensor([row["labels"]])).backward()
        for key, value in model.named_parameters():
            assert value.grad is not None
            difference = (found[key][place] - value.grad.flatten()).abs().max()
            assert float(difference) <= 1e-9 * float(value.grad.abs().max()) + 1e-12


def test_first_samples_without_labels_do_not_hide_how_labels_are_aligned() -> None:
    name = "gpt2 tied"
    labelled = rows(name)
    empty = [{**row, "labels": [-100] * len(row["labels"])} for row in rows(name)] * 2
    system = NeuralSystem(made(name), nn.CrossEntropyLoss(reduction="sum"), [*empty, *labelled])
    assert system.reader.shifted
    with pytest.raises(InvalidInputError, match="the first samples have no labels but -100"):
        NeuralSystem(made(name), nn.CrossEntropyLoss(), empty)
