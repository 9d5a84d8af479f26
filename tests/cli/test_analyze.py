"""Command analyze: networks of a user's own file, with checkpoints, losses and data by name; refusals in one line."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import critlearn
from critlearn.cli.main import app, exit_code
from critlearn.studies.user_networks.checkpoint import load_checkpoint
from reference.small_runs import two_class_run
from shape_checker import switched_off

NET = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

def make():
    return nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))

def images():
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 2))

def whole():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=generator)
    return make(), nn.BCEWithLogitsLoss(), TensorDataset(x, (x[:, :1] + x[:, 1:] > 0).float())

def loader():
    return DataLoader(whole()[2], batch_size=50)

def squared(y, t):
    return (y - t).square().sum()

def leaves():
    raise SystemExit(0)

def asks(size):
    return make()

def gives_text():
    return "a network"

ready = make()
number = 3
"""


@pytest.fixture(autouse=True)
def quick() -> "object":
    with switched_off():
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def weights() -> dict[str, torch.Tensor]:
    """Weights of the small run, under the names of the network of the file."""
    names = {"hidden1": "0", "output": "2"}
    found = two_class_run().weights
    return {f"{names[name.partition('.')[0]]}.{name.partition('.')[2]}": value for name, value in found.items()}


def analysed(capsys: pytest.CaptureFixture[str], *options: str) -> dict:  # type: ignore[type-arg]
    assert exit_code(app, ["analyze", *options, "--json"]) == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


@pytest.mark.parametrize("ending", ["safetensors", "pt", "ckpt"])
def test_the_stored_network_of_a_run_gives_the_numbers_of_the_run(
    ending: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / f"weights.{ending}"
    if ending == "safetensors":
        save_file(weights(), path)
    else:
        torch.save(weights() if ending == "pt" else {"epoch": 3, "state_dict": weights()}, path)
    found = analysed(capsys, "net.py:make", "--checkpoint", str(path), "--loss", "bce", "--data", "moons")
    assert set(found) == {"run_dir", "equilibrium", "table", "versions", "seconds"}
    names = {
        "output.bias": "2.bias",
        "output.weight": "2.weight",
        "hidden1.bias": "0.bias",
        "hidden1.weight": "0.weight",
    }
    rows = {row["quantity"]: row for row in found["table"]}
    expected = two_class_run().table.set_index("quantity")
    for run_name, name in names.items():
        for column in ("n", "zeros", "exponent", "ci_low", "ci_high", "predicted_exponent", "prediction_distance"):
            there = expected.loc[run_name, column]
            assert rows[name][column] == (None if there != there else there)
    stored = critlearn.load(found["run_dir"])
    assert isinstance(stored, critlearn.Analysis)
    assert stored.table.quantity.tolist() == list(rows)
    assert (Path(found["run_dir"]) / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    "options",
    [
        ["net.py:whole"],
        ["net.py:ready", "--loss", "bce", "--data", "moons"],
        ["net.py:make", "--loss", "net.py:squared", "--data", "net.py:loader"],
        ["net.py:images", "--loss", "cross-entropy", "--data", "digits:3v8"],
        ["net:make", "--loss", "mse", "--activation", "tanh", "--data", "moons", "--only", "0", "--no-modes"],
    ],
)
@pytest.mark.filterwarnings("ignore:.*differentiated automatically")
def test_what_is_named_is_analysed(options: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = analysed(capsys, *options)
    assert found["table"]
    wanted = "0." if "--only" in options else ""
    assert all(row["quantity"].startswith(wanted) for row in found["table"])
    assert (critlearn.load(found["run_dir"]).modes is None) == ("--no-modes" in options)


REFUSED = {
    "net.py:mak --loss bce --data moons": 'has no "mak"; did you mean "make"?',
    "nope.py:make": 'no such file: "nope.py"',
    "make": "a network is named as file.py:name",
    "net.py:number": "is a int, not a function that makes a network",
    "net.py:leaves": "it stops with SystemExit(0)",
    "net.py:asks": "missing 1 required positional argument",
    "net.py:gives_text": "returns str; wanted is a torch.nn.Module",
    "net.py:make --loss bce": "gives no data",
    "net.py:make --data moons": "gives no loss",
    "net.py:make --loss nope --data moons": 'unknown loss "nope"',
    "net.py:make --loss bce --data digits:3v8": "the model cannot take inputs",
    "net.py:make --loss bce --data moons --checkpoint no.pt": 'no such file: "no.pt"',
    "net.py:make --loss bce --data moons --checkpoint net.py": "is not a checkpoint that can be read",
    "net.py:make --loss bce --data moons --checkpoint whole.pt": "save the weights alone",
    "net.py:make --loss bce --data moons --checkpoint cut.pt": "cannot be read",
    "net.py:make --loss bce --data moons --checkpoint cut.safetensors": "cannot be read",
    "net.py:make --loss bce --data moons --checkpoint names.pt": "it lacks 0.weight, 0.bias",
    "net.py:make --loss bce --data moons --checkpoint shapes.pt": "0.weight has shape (6, 3) there and (6, 2) here",
    "net.py:make --loss bce --data moons --checkpoint epoch.pt": "its entries: epoch",
    "net.py:make --loss bce --data moons --checkpoint junk.pt": "cannot be read",
    "net.py:make --loss bce --data moons --checkpoint itself.pt": "holds no weights by name",
    "net.py:make --loss bce --data moons --checkpoint sparse.pt": "is a sparse tensor",
    "net.py:make --loss bce --data moons --checkpoint whole_numbers.pt": "holds torch.int64 there",
    "net.py:whole --activation sigmoid": "give --loss, too",
    "net.py:whole --drop x": "give --data, too",
    "net.py:make --loss bce --data gaussians --seed -1": "--seed",
    "net.py:make --loss bce --data moons --device cuda:7": "is not available",
    "net.py:make --loss bce --data moons --only layer9": 'unknown trainable variable "layer9"',
    "net.py:make --loss bce --data moons --variables 0": "at least one entry",
    "net.py:make --loss bce --data moons --weight-decay -1": "decay",
}


@pytest.mark.parametrize("command", REFUSED)
def test_bad_input_is_refused_in_one_line(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(nn.Linear(2, 2), folder / "whole.pt")
    torch.save({"first.weight": torch.zeros(6, 2)}, folder / "names.pt")
    torch.save({**weights(), "0.weight": torch.zeros(6, 3)}, folder / "shapes.pt")
    torch.save({"epoch": 3}, folder / "epoch.pt")
    itself: dict[str, object] = {}
    itself["model"] = itself
    torch.save(itself, folder / "itself.pt")
    torch.save({**weights(), "0.weight": torch.zeros(6, 2).to_sparse()}, folder / "sparse.pt")
    torch.save({**weights(), "0.weight": torch.zeros(6, 2, dtype=torch.int64)}, folder / "whole_numbers.pt")
    (folder / "junk.pt").write_text("hello")
    (folder / "cut.pt").write_bytes(b"PK\x03\x04 nothing")
    (folder / "cut.safetensors").write_bytes(b"\x08\x00")
    assert exit_code(app, ["analyze", *command.split()]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert REFUSED[command] in told.err
    assert not (folder / "runs").exists()


def test_tied_weights_that_are_stored_once_are_loaded_under_both_names(folder: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
            self.second.weight = self.first.weight

    stored = torch.arange(9.0).reshape(3, 3)
    for name in ("first.weight", "second.weight"):
        save_file({name: stored}, folder / "tied.safetensors")
        model = load_checkpoint(Tied(), folder / "tied.safetensors")
        assert torch.equal(model.first.weight, stored)  # type: ignore[union-attr, arg-type]
        assert model.first.weight is model.second.weight  # type: ignore[union-attr]
