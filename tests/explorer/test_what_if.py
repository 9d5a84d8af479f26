"""Another composition for a stored run: predictions of its network at fixed margins, and what cannot be rebuilt."""

from pathlib import Path

import pytest

from critlearn.analysis.run_folder import RECORD, WEIGHTS
from critlearn.comparison import predict
from critlearn.comparison.predicted_exponent import quantile_window
from critlearn.compositions import Composition
from critlearn.errors import DataError
from critlearn.explorer import what_if
from critlearn.explorer.stored_runs import state_of
from critlearn.network import NeuralSystem
from critlearn.studies import TwoClassConfig, run_two_class, write_run
from critlearn.studies.runs.listing import run_record
from critlearn.studies.runs.system import load_system
from shape_checker import switched_off


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = TwoClassConfig(data="moons", hidden=(4,), epochs=5)
    with switched_off():
        record = write_run(tmp_path_factory.mktemp("runs"), run_two_class(config), lambda record, fluctuations: "")
    return Path(record["run_dir"])


def test_exponents_are_those_of_the_network_held_against_the_other_loss(run: Path) -> None:
    table, told = what_if._predicted(str(run), state_of(run, (RECORD, WEIGHTS)), "tanh", "mse")
    assert "tanh+mse in place of sigmoid+bce" in told
    rebuilt = load_system(run, run_record(run)).trained
    for column, system in (
        ("k with sigmoid+bce", rebuilt),
        # The same network and data, with the loss itself: margins and path factors are read off anew.
        ("k with tanh+mse", NeuralSystem(rebuilt.model, Composition("tanh", "mse"), rebuilt.dataset)),
    ):
        found = predict(system)
        assert table["quantity"].tolist() == list(found)
        for name, exponent in zip(table["quantity"], table[column], strict=True):
            window = quantile_window(found[name].distribution)
            assert window is not None
            assert exponent == pytest.approx(found[name].exponent_on(window), abs=0.005)


def test_a_run_without_its_weights_is_told(run: Path, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_bytes((run / RECORD).read_bytes())
    with pytest.raises(DataError, match=r"model\.safetensors\" cannot be read: No such file"):
        what_if._predicted(str(tmp_path), state_of(tmp_path, (RECORD, WEIGHTS)), "tanh", "mse")
