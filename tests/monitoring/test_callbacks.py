"""Real trainers of Lightning and of Hugging Face, on tiny data: same weights as without, every step is counted."""

import csv
import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import critlearn as cl
from critlearn.errors import InvalidInputError, MissingPackageError
from critlearn.monitoring import lightning_callback, trainer_callback
from reference.networks import Pairs, classes


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 1))


def data() -> Pairs:
    return Pairs(*(part.float() for part in classes((64, 3)).tensors))


def system_of(model: nn.Module) -> cl.NeuralSystem:
    system = cl.NeuralSystem(model.eval(), cl.Composition("sigmoid", "bce"), data())
    model.train()
    return system


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def lightning(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param, reason="LIGHTNING IS NOT INSTALLED: its callback is not tested")


@pytest.mark.usefixtures("without_shape_checker")
def test_lightning_trains_the_same_and_logs_what_was_measured(lightning: Any, tmp_path: Path) -> None:
    class Classifier(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            x, t = batch
            return nn.functional.softplus(-t * self.network(x)[:, 0]).mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-2)

    loggers = import_module(f"{lightning.__name__}.loggers")

    def trained(monitored: bool) -> tuple[nn.Module, Any]:
        module = Classifier()
        logger = loggers.CSVLogger(tmp_path, name="watched" if monitored else "bare", version="")
        # The base of the callback must be that of the trainer, whichever package was loaded first.
        callback = lightning_callback(system_of(module.network), every=2) if monitored else None
        trainer = lightning.Trainer(
            max_epochs=2, accumulate_grad_batches=2, accelerator="cpu", logger=logger, log_every_n_steps=1,
            callbacks=[callback] if callback else [], enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        torch.manual_seed(5)
        trainer.fit(module, DataLoader(data(), batch_size=8, shuffle=True))
        return module.network, callback

    bare, _ = trained(False)
    watched, callback = trained(True)
    assert same_weights(bare, watched)
    # Eight batches an epoch, two of them to a step.
    assert callback.record.steps == 8
    assert [state.step for state in callback.record.states] == [0, 2, 4, 6, 8]
    with (tmp_path / "watched" / "metrics.csv").open() as file:
        # A step has a row for each of what was logged: the fraction, and the exponents.
        told = [(row["step"], row["critlearn/equilibrium_fraction"]) for row in csv.DictReader(file)]
    found = {step: float(value) for step, value in told if value}
    assert found == {str(state.step): state.equilibrium_fraction for state in callback.record.states}


class Rows(Dataset[dict[str, Tensor]]):
    """The data as a trainer of Hugging Face wants them."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        x, t = self.pairs[index]
        return {"x": x, "labels": t}


class WithLoss(nn.Module):
    """A network that gives its loss with its outputs, as a trainer of Hugging Face wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        y = self.network(x)[:, 0]
        return {"loss": nn.functional.softplus(-labels * y).mean(), "logits": y}


@pytest.fixture
def hugging_face() -> Any:
    return pytest.importorskip("transformers", reason="TRANSFORMERS IS NOT INSTALLED: its callback is not tested")


def trainer_of(hugging_face: Any, model: nn.Module, rows: Any, out: Path, callbacks: list[Any]) -> Any:
    arguments = hugging_face.TrainingArguments(
        output_dir=str(out), num_train_epochs=2, per_device_train_batch_size=8, gradient_accumulation_steps=2,
        report_to=[], save_strategy="no", logging_steps=1, disable_tqdm=True, use_cpu=True, seed=3, learning_rate=1e-2,
    )  # fmt: skip
    return hugging_face.Trainer(model=model, args=arguments, train_dataset=rows, callbacks=callbacks)


@pytest.mark.usefixtures("without_shape_checker")
def test_hugging_face_trains_the_same_and_logs_what_was_measured(hugging_face: Any, tmp_path: Path) -> None:
    bare, watched = WithLoss(), WithLoss()
    trainer_of(hugging_face, bare, Rows(data()), tmp_path, []).train()

    def log(name: str, value: float, step: int) -> None:
        trainer.log({name: value})

    callback = trainer_callback(system_of(watched.network), every=3, log=log)
    trainer = trainer_of(hugging_face, watched, Rows(data()), tmp_path, [callback])
    trainer.train()
    assert same_weights(bare, watched)
    assert callback.record.steps == 8
    assert [state.step for state in callback.record.states] == [0, 3, 6, 8]
    told = {row["step"]: row["critlearn/equilibrium_fraction"] for row in trainer.state.log_history
            if "critlearn/equilibrium_fraction" in row}  # fmt: skip
    assert told == {state.step: state.equilibrium_fraction for state in callback.record.states}


@pytest.mark.usefixtures("without_shape_checker")
def test_each_training_has_a_record_and_numbers_go_to_the_log_of_the_trainer(hugging_face: Any, tmp_path: Path) -> None:
    model = WithLoss()
    callback = trainer_callback(system_of(model.network), every=4)
    trainer = trainer_of(hugging_face, model, Rows(data()), tmp_path, [callback])
    assert callback.records == ()
    trainer.train()
    first = callback.record
    trainer.train()
    assert len(callback.records) == 2
    assert [state.step for state in callback.records[0].states] == [state.step for state in first.states] == [0, 4, 8]
    assert callback.records[1].states[0].equilibrium_fraction == callback.record.states[0].equilibrium_fraction
    told = {row["step"]: row["critlearn/equilibrium_fraction"] for row in trainer.state.log_history
            if "critlearn/equilibrium_fraction" in row}  # fmt: skip
    assert told == {state.step: state.equilibrium_fraction for state in callback.record.states}


class Logits(nn.Module):
    """A transformer as a module from token numbers to pre-activations."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model(input_ids=tokens).logits


def test_a_transformer_of_hugging_face_is_followed(hugging_face: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = hugging_face.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=6, num_labels=3,
    )  # fmt: skip
    model = hugging_face.BertForSequenceClassification(config)
    pairs = Pairs(torch.randint(0, 20, (40, 6)), torch.randint(0, 3, (40,)))

    class Tokens(Rows):
        def __getitem__(self, index: int) -> dict[str, Tensor]:
            x, t = self.pairs[index]
            return {"input_ids": x, "labels": t}

    system = cl.NeuralSystem(Logits(model).eval(), nn.CrossEntropyLoss(), pairs)
    model.train()
    callback = trainer_callback(system, every=4)
    trainer_of(hugging_face, model, Tokens(pairs), tmp_path, [callback]).train()
    record = callback.record
    variables = sum(value.numel() for value in model.parameters() if value.requires_grad)
    for state in record.states:
        assert state.problem is None
        assert state.distributions["all"].sketch.count == 40 * variables
    assert record.states[0].distributions["updates"].sketch.count == variables
    assert json.dumps(record.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: lightning_callback(system_of(network())), r"critlearn\[lightning\]"),
        (lambda: trainer_callback(system_of(network())), r"critlearn\[transformers\]"),
    ],
)
def test_a_trainer_that_is_not_installed_is_said_to_be(
    make: Callable[[], Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("critlearn.monitoring.callbacks.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=told):
        make()


def test_there_is_no_record_before_the_training() -> None:
    pytest.importorskip("transformers", reason="TRANSFORMERS IS NOT INSTALLED: its callback is not tested")
    with pytest.raises(InvalidInputError, match="before the training"):
        _ = trainer_callback(system_of(network())).record


def test_neither_trainer_is_loaded_before_it_is_needed() -> None:
    import subprocess

    code = "import sys; from critlearn.monitoring import Monitor, lightning_callback, trainer_callback; "
    code += "sys.exit(str({'lightning', 'pytorch_lightning', 'transformers'} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.stderr.strip()
