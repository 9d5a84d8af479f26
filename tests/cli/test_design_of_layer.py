"""Command design with a run: the loss that aims at a layer is that of the Python call, refusals are in one line."""

import json
from pathlib import Path

import pytest

from critlearn.cli.main import app, exit_code
from critlearn.comparison import predict
from critlearn.studies import read_run
from critlearn.studies.runs.system import load_system
from shape_checker import switched_off


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    options = ["--data", "digits:0v1", "--hidden", "4", "--epochs", "25", "--out", str(out), "--quiet"]
    with switched_off():
        assert exit_code(app, ["run", "two-class", *options]) == 0
    (folder,) = out.iterdir()
    return folder


def test_the_loss_is_that_of_the_python_call(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, _ = read_run(run)
    made = predict(load_system(run, record).trained).design(0.4, "hidden1.bias")
    aim = ["design", "--exponent", "0.4", "--run", str(run), "--quantity", "hidden1.bias"]
    assert exit_code(app, [*aim, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert answer["design"]["exponent"] == made.design.exponent
    assert answer["exponents"]["output.bias"] == made.exponents["output.bias"]
    assert exit_code(app, aim) == 0
    assert capsys.readouterr().out.startswith("hidden1.bias: delta^-0.4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--quantity", "hidden1.bias"], "takes both --run FOLDER and --quantity NAME"),
        (["--run", "RUN"], "takes both --run FOLDER and --quantity NAME"),
        (["--run", "RUN", "--quantity", "hidden1.bias", "--activation", "tanh"], "leave out the others"),
        (["--run", "RUN", "--quantity", "hidden2.bias"], 'unknown quantity "hidden2.bias"'),
    ],
)
def test_refusals(run: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [str(run) if option == "RUN" else option for option in options]
    assert exit_code(app, ["design", "--exponent", "0.4", *chosen]) == 2
    shown = capsys.readouterr()
    assert message in " ".join(shown.err.split())
    assert shown.out == ""
