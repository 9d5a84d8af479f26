"""Command design with a run: the loss that aims at a layer is that of the Python call, refusals are in one line."""

import json
from pathlib import Path

import pytest

from critlearn.cli.main import app, exit_code
from critlearn.comparison import predict
from critlearn.comparison.aimed_design import AimedDesign
from critlearn.comparison.criteria import AIMED
from critlearn.comparison.system_prediction import SystemPrediction
from critlearn.numerics.window import Window
from critlearn.studies import read_run
from critlearn.studies.runs.system import load_system


@pytest.fixture(scope="module")
def made(run: Path) -> AimedDesign:
    """Design by the Python call, which takes seconds."""
    return predict(load_system(run, read_run(run)[0]).trained).design(0.4, "hidden1.bias")


def aim(run: Path) -> list[str]:
    """Command that asks for the same design."""
    return ["design", "--exponent", "0.4", "--run", str(run), "--quantity", "hidden1.bias"]


def test_the_loss_is_that_of_the_python_call(run: Path, made: AimedDesign, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(app, [*aim(run), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert answer["design"]["exponent"] == made.design.exponent
    assert answer["exponents"]["output.bias"] == made.exponents["output.bias"]
    # Another loss has the exponent too, at an end of the margins, and leaves no sample any fluctuation.
    assert answer["zeros"] < 0.5


@pytest.mark.parametrize(
    ("options", "level", "window"),
    [([], 2, None), (["--window", "1e-6,1e-4"], 2, Window(1e-6, 1e-4)), (["--level", "1"], 1, None)],
)
def test_level_and_window_are_handed_on_and_the_design_is_told(
    options: list[str],
    level: int,
    window: Window | None,
    run: Path,
    made: AimedDesign,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []

    def design(self: SystemPrediction, exponent: float, quantity: str, *, window: Window | None = None) -> AimedDesign:
        asked.append((self.level, exponent, quantity, window))
        return made

    monkeypatch.setattr(SystemPrediction, "design", design)
    assert exit_code(app, [*aim(run), *options]) == 0
    assert asked == [(level, 0.4, "hidden1.bias", window)]
    name, _, law = capsys.readouterr().out.partition(": delta^-")
    assert name == "hidden1.bias"
    assert float(law.split()[0]) == pytest.approx(0.4, abs=AIMED)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--quantity", "hidden1.bias"], "takes both --run FOLDER and --quantity NAME"),
        (["--run", "RUN"], "takes both --run FOLDER and --quantity NAME"),
        (["--run", "RUN", "--quantity", "hidden1.bias", "--activation", "tanh"], "leave out the others"),
        (["--run", "RUN", "--quantity", "hidden2.bias"], 'unknown quantity "hidden2.bias"'),
        (["--window", "1,2"], "takes both --run FOLDER and --quantity NAME"),
        (["--run", "RUN", "--quantity", "hidden1.bias", "--level", "3"], "levels of predictions are 0, 1 and 2; got 3"),
        (["--run", "RUN", "--quantity", "hidden1.bias", "--level", "0"], "take predict(system, level=1) or level=2"),
        (["--run", "RUN", "--quantity", "hidden1.bias", "--window", "1,inf"], "a window with two ends"),
        (["--run", "RUN", "--quantity", "hidden1.bias", "--window", "2,1"], "two numbers 0 < lo < hi"),
    ],
)
def test_refusals(run: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [str(run) if option == "RUN" else option for option in options]
    assert exit_code(app, ["design", "--exponent", "0.4", *chosen]) == 2
    shown = capsys.readouterr()
    assert message in " ".join(shown.err.split())
    assert shown.out == ""
