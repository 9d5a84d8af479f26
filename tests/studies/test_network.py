"""Runs and sweeps of a network of the user's own: what the function gives, what is put in its place, and refusals."""

from pathlib import Path

import pytest
import torch

from critlearn.cli.main import app, exit_code
from critlearn.errors import InvalidInputError
from critlearn.studies import NetworkConfig, run_network
from critlearn.studies.config import checked
from critlearn.studies.network import network_of
from critlearn.studies.sweep.results.table import load_results
from shape_checker import switched_off

NET = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

def net(hidden_activation="tanh"):
    kinds = {"tanh": nn.Tanh, "relu": nn.ReLU}
    return nn.Sequential(nn.Linear(2, 4), kinds[hidden_activation](), nn.Linear(4, 1)).double()

def whole(seed):
    x = torch.linspace(-1, 1, 400, dtype=torch.float64).reshape(200, 2) + seed
    return net(), nn.MSELoss(), TensorDataset(x, x[:, :1] ** 2)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_function_is_given_what_it_has_parameters_for() -> None:
    one, other = (network_of(NetworkConfig(network="mine.py:whole", seed=seed)).system for seed in (0, 2))
    torch.testing.assert_close(other.dataset[3][0] - one.dataset[3][0], torch.full((2,), 2.0, dtype=torch.float64))
    relu = network_of(NetworkConfig(network="mine.py:net", data="moons", loss="bce", hidden_activation="relu"))
    assert isinstance(next(layer for layer in relu.system.model if not hasattr(layer, "weight")), torch.nn.ReLU)
    assert relu.system.loss.name == "sigmoid+bce"
    with pytest.raises(InvalidInputError, match="cannot be made: 'gelu'"):
        network_of(NetworkConfig(network="mine.py:net", data="moons", loss="bce", hidden_activation="gelu"))


@pytest.mark.usefixtures("folder")
def test_weights_are_drawn_with_the_seed_and_nothing_else_is_touched() -> None:
    before = torch.random.get_rng_state()
    same, again, other = (
        next(iter(network_of(NetworkConfig(network="mine.py:whole", seed=seed)).system.parameters.values()))
        for seed in (0, 0, 1)
    )
    torch.testing.assert_close(same, again, rtol=0, atol=0)
    assert not torch.equal(same, other)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.usefixtures("folder")
def test_a_run_trains_and_measures_what_the_function_gives() -> None:
    with switched_off():
        analysis = run_network(NetworkConfig(network="mine.py:whole", epochs=30, modes=False))
    assert analysis.record["study"] == "network"
    assert analysis.record["equilibrium"]["epochs"] == 30
    losses = analysis.record["equilibrium"]["losses"]
    assert losses[-1] < losses[0]
    assert {"0.weight", "2.bias"} < set(analysis.record["quantities"])
    assert analysis.fluctuations["0.weight"].count + analysis.fluctuations["0.weight"].zeros == 200 * 8


def test_a_sweep_over_an_argument_of_the_function(folder: Path) -> None:
    (folder / "own.yaml").write_text(
        'name: own\nsystem: {kind: network, network: "mine.py:net", loss: bce}\ndata: {data: moons}\n'
        "training: {epochs: 2}\nmeasure: {quantities: [2.weight], modes: false}\n"
        "sweep: {grid: {hidden_activation: [tanh, relu]}}\n"
    )
    with switched_off():
        assert exit_code(app, ["sweep", "own.yaml", "--store", "store"]) == 0
    table = load_results("store")
    assert table["hidden_activation"].tolist() == ["tanh", "relu"]
    assert table["quantity"].tolist() == ["2.weight"] * 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"network": "mine"}, "must be file.py:name or package.module:name"),
        ({"network": "mine.py:net", "loss": "own", "epochs": 0}, "--epochs"),
    ],
)
def test_settings_are_checked_before_anything_is_made(settings: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        checked(NetworkConfig, settings)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("system", "told"),
    [
        ('network: "mine.py:nett"', 'did you mean "net"?'),
        ('network: "mine.py:net", loss: nonsense, activation: tanh', "unknown loss"),
        ('network: "mine.py:net", hidden: [3]', "unknown setting of network"),
    ],
)
def test_a_study_is_checked_before_its_first_cell(system: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.yaml").write_text(f"name: own\nsystem: {{kind: network, {system}}}\n")
    assert exit_code(app, ["sweep", "own.yaml", "--store", "store"]) == 2
    shown = capsys.readouterr().err
    assert told in shown
    assert "Traceback" not in shown
    assert not Path("store").exists()
