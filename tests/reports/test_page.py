"""What the page of a run says: the command that repeats it, and only windows and exponents that are there."""

import html
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from critlearn.analysis.table import row_of
from critlearn.cli import display
from critlearn.cli import run as run_command
from critlearn.cli.main import app, exit_code
from critlearn.figures.illustration import drawn_data
from critlearn.figures.quantity import density_figure
from critlearn.numerics.log_sketch import LogSketch
from critlearn.reports import page
from critlearn.reports.page import call_of, command_of
from critlearn.results import plain
from critlearn.studies import ClassesConfig, ToyConfig, TwoClassConfig
from critlearn.studies.config import RunConfig

CONFIGS = [
    ToyConfig(),
    ToyConfig(activation="softsign", loss="mse", inputs="normal(1, 1)", samples=4000, lr=1e-5, seed=7),
    ToyConfig(
        modes=True, stop_at_equilibrium=False, data="a file's [name] & $more.csv", target="-class", weight_decay=0.25
    ),
    TwoClassConfig(),
    TwoClassConfig(activation="tanh", loss="power:1.5", data="digits:3v8", hidden=(16, 8, 4), hidden_activation="relu"),
    TwoClassConfig(hidden=(), weight_variance=1e-3, stop_at_equilibrium=False, epochs=3, batch_size=7, device="cuda:0"),
    ClassesConfig(modes=False, weight_decay=1.0, decoupled_weight_decay=True),
    ClassesConfig(data="mine.csv", target="a kind", columns=("age", "mass, kg", ' "x"'), drop=("id",), hidden=(3,)),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.activation}-{config.loss}-{config.epochs}")
def test_the_command_of_a_page_makes_the_same_run(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    study = {ToyConfig: "toy", TwoClassConfig: "two-class", ClassesConfig: "classes"}[type(config)]
    command = command_of({"study": study, "config": plain(config.model_dump())})
    begun: list[RunConfig] = []

    def begin(_: Any, given: RunConfig, *__: Any, **___: Any) -> None:
        begun.append(given)

    monkeypatch.setattr(run_command, "_run", begin)
    program, *arguments = shlex.split(command)
    assert program == "critlearn"
    assert exit_code(app, arguments) == 0
    assert begun == [config]


def quantity_of(exponent: float | None, verdict: str) -> dict[str, Any]:
    """Entry of a record: a fit with a window, which has an exponent or none, and a prediction on that window."""
    measured = {
        "exponent": exponent,
        "ci95": [1.2, 1.4],
        "window": [1e-4, 0.1],
        "log_window": [-9.0, -2.0],
        "p_value": 0.3,
        "retained": 0.5,
        "verdict": verdict,
        "decades": 3.0,
    }
    return {
        "axis": "samples",
        "count": 5000,
        "zeros": 0,
        "measured": measured,
        "predicted": {"exponent": 1.3, "exact": None, "exponent_on_measured_window": 1.39},
        "agreement": None,
        "statement": "made up",
        "curves": {"measured": None, "predicted": None},
    }


def test_nothing_is_predicted_on_a_window_that_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    absent, there = quantity_of(None, "too few data"), quantity_of(1.3, "power law")
    record = {"equilibrium": {"status": "DRIFTING"}, "quantities": {"absent": absent, "there": there}}
    shown = {name: page._cells(row_of(record, name), quantity) for name, quantity in record["quantities"].items()}
    assert [shown["absent"][name] for name in ("window", "predicted", "interval", "p_value")] == [""] * 4
    assert shown["there"]["predicted"] == "1.390"
    display.print_table(record)
    first, second = (
        line
        for line in capsys.readouterr().out.splitlines()
        if line.startswith(("DRIFTING  absent", "DRIFTING  there"))
    )
    assert "1.39" not in first
    assert "1.39" in second


@pytest.mark.parametrize(
    ("exponent", "verdict", "told"),
    [
        (None, "too few data", "Nothing is shaded, as no power law was found: too few data."),
        (1.3, "drifting exponent", "where one was tried and is not claimed: drifting exponent."),
        (1.3, "power law", "The shaded window is where it was fitted; outside of it nothing is claimed."),
        (1.3, "compatible", "the data are compatible with it, as with other laws."),
    ],
)
def test_a_caption_tells_of_the_window_that_is_drawn(exponent: float | None, verdict: str, told: str) -> None:
    sketch = LogSketch.from_values(np.geomspace(1e-4, 0.1, 500))
    quantity = quantity_of(exponent, verdict)
    assert told in page._shading(quantity["measured"])
    drawn = drawn_data(density_figure(sketch, quantity))["series"]
    assert drawn.eq("window of the fit").any() == (exponent is not None)
    assert drawn.str.endswith(", drifting exponent").any() == (verdict == "drifting exponent")


def test_a_page_tells_the_reason_of_a_verdict_once(study: Path) -> None:
    for folder in (path for path in study.iterdir() if path.is_dir()):
        record, text = json.loads((folder / "run.json").read_text()), (folder / "report.html").read_text()
        for told in re.findall(r"<h3>\w+</h3>\n<p>(.*?)</p>", text, re.DOTALL):
            for quantity in record["quantities"].values():
                assert html.unescape(told).count(quantity["measured"]["reason"]) <= 1


def test_an_analysis_is_repeated_by_its_call() -> None:
    config = {"model": "Net", "loss": "sigmoid+bce", "weight_decay": 0.1, "seed": 3, "only": ["a.*"], "variables": None}
    call = call_of({"config": {**config, "axis": "position"}, "data": "moons"})
    assert call == (
        "critlearn.analyze(model, loss, data, weight_decay=0.1, seed=3, "
        "quantities=critlearn.Quantities(only=['a.*'], axis='position'))  # Net, sigmoid+bce, moons"
    )
