"""The page of many runs: every setting, the way to repeat it, and words that a person can read."""

import html
import re
import shlex
import shutil
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from critlearn.cli import run as run_command
from critlearn.cli.main import app, exit_code
from critlearn.figures.study import PhasePanel
from critlearn.reports.study_page import _names, comparisons, statement, study_illustrations, study_page
from critlearn.reports.study_words import phase_words
from critlearn.studies import Study, load_study, read_run
from critlearn.studies.runs.methods import Methods
from critlearn.studies.runs.table import runs_table
from critlearn.studies.sweep.results.store import ResultsStore
from critlearn.studies.sweep.results.table import COLUMNS
from critlearn.studies.sweep.study.cells import expand


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store of two small cells, one of them left out."""
    place = tmp_path_factory.mktemp("stores") / "a store"
    training = {"epochs": 2, "batch_size": 500}
    study = Study(
        name="small",
        data={"samples": 3000},  # type: ignore[arg-type]
        training=training,  # type: ignore[arg-type]
        sweep={"grid": {"loss": ["mse", "bce", "mae"]}},  # type: ignore[arg-type]
    )
    kept = ResultsStore(str(place), create=True)
    kept.register(study, expand(study))
    for cell in expand(study)[:2]:
        kept.write(cell, cell.run())
    assert exit_code(app, ["report", str(place)]) == 0
    return place


def _settings(page: str) -> dict[str, str]:
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td></tr>', page)
    return {html.unescape(name): html.unescape(value) for name, value in rows}


def test_the_page_of_a_store_tells_every_setting_also_those_that_all_cells_share(store: Path) -> None:
    settings = _settings((store / "report.html").read_text())
    cell = expand(load_study(store / "studies" / "small.yaml"))[0]
    assert set(cell.settings) <= set(settings)
    assert settings["loss"] == "mse, bce, mae"
    assert [settings[name] for name in ("samples", "epochs", "batch_size", "lr", "inputs", "stop_at_equilibrium")] == [
        "3000", "2", "500", "0.02", "uniform(-0.3,2.3)", "yes",
    ]  # fmt: skip
    record = read_run(next((store / "cells").iterdir()))[0]
    assert {name: settings[name] for name in record["versions"]} == record["versions"]
    assert f"drifts of at most {record['equilibrium']['tolerance']} of" in (store / "report.html").read_text()


def test_the_page_of_a_store_is_repeated_by_a_sweep_of_the_file_that_it_keeps(store: Path) -> None:
    page = (store / "report.html").read_text()
    command, text, again = (html.unescape(block) for block in re.findall(r"<pre>(.*?)</pre>", page, re.S))
    program, sweep, path, *options = shlex.split(command)
    assert [program, sweep, *options] == ["critlearn", "sweep", "--store", "again"]
    assert Path(path).read_text() == text
    assert exit_code(app, [sweep, path, "--dry-run", *options]) == 0
    assert shlex.split(again) == ["critlearn", "report", str(store)]


def test_the_page_of_single_runs_repeats_each_of_them(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_code(app, ["report", str(study)]) == 0
    commands, again = re.findall(r"<pre>(.*?)</pre>", (study / "report.html").read_text(), re.S)
    begun: list[Any] = []
    monkeypatch.setattr(run_command, "_run", lambda _, config, *__, **___: begun.append(config))
    for line in html.unescape(commands).splitlines():
        assert exit_code(app, shlex.split(line)[1:]) == 0
    runs = sorted(path for path in study.iterdir() if path.is_dir())
    assert [config.model_dump(mode="json") for config in begun] == [read_run(run)[0]["config"] for run in runs]
    assert html.unescape(again) == shlex.join(["critlearn", "report", str(study)])


def test_a_single_run_is_told_as_one(study: Path, tmp_path: Path) -> None:
    run = next(path for path in study.iterdir() if path.is_dir())
    shutil.copytree(run, tmp_path / run.name)
    assert exit_code(app, ["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    found = re.search(r"<h2>What was found</h2>(.*?)<h2>", page, re.S)
    assert found is not None
    assert len(re.sub(r"<.*?>", "", found[1]).strip()) > 20
    assert "1 runs" not in page
    assert "0 of the 0" not in page


@pytest.mark.parametrize(
    ("agreement", "told"),
    [
        ([None, None], "nothing is compared with a prediction."),
        (
            ["cannot tell", None],
            "of 1 comparisons with predictions 0 agree, 0 disagree, 1 cannot be told, 0 are not at equilibrium and do "
            "not count.",
        ),
        (
            ["agrees", "disagrees"],
            "of 2 comparisons with predictions 1 agree, 1 disagree, 0 cannot be told, 0 are not at equilibrium and do "
            "not count.",
        ),
    ],
)
def test_the_sentence_counts_as_a_person_does(agreement: list[str | None], told: str) -> None:
    table = pd.DataFrame(
        {"cell": "a", "certified": True, "quantity": ["bias", "weight"], "verdict": "power law", "agreement": agreement}
    )
    assert statement(table).startswith("1 run, at equilibrium: 2 of 2 quantities follow a power law")
    assert statement(table).endswith(told)


def test_agreement_outside_of_equilibrium_is_not_counted() -> None:
    table = pd.DataFrame(
        {
            "cell": ["a", "b"],
            "certified": [True, False],
            "quantity": "bias",
            "verdict": "power law",
            "agreement": "agrees",
            "explained_by": "margins",
        }
    )
    counted = "of 2 comparisons with predictions 1 agree, 0 disagree, 0 cannot be told, 1 are not at equilibrium"
    assert counted in statement(table)
    assert comparisons(table).startswith("1 of 1 comparisons with predictions at equilibrium are decided: 1 agree,")
    two = pd.concat([table.assign(cell="a", certified=False), table.assign(cell="b")])
    assert statement(two).startswith("2 runs, 1 of them at equilibrium: 4 of 4")


def test_every_outcome_is_counted_and_the_level_that_sufficed() -> None:
    outcomes = ["agrees", "agrees", "agrees", "disagrees", "cannot tell", "cannot tell", None]
    levels = ["Gaussian margins", "margins", "margins", None, None, None, None]
    table = pd.DataFrame({"certified": True, "agreement": outcomes, "explained_by": levels}, index=range(3, 10))
    assert comparisons(table) == (
        "4 of 6 comparisons with predictions at equilibrium are decided: 3 agree, 1 disagree; of 2 the samples cannot "
        "tell. The least that sufficed to explain them: margins in 2, Gaussian margins in 1."
    )
    assert comparisons(table.assign(agreement=None)) == ""


def test_figures_are_described_in_sentences(study: Path) -> None:
    pictures = study_illustrations(runs_table(study))
    assert pictures
    for picture in pictures:
        assert not re.search(r"[{}]|\bnan\b|_", picture.alternative)
        assert picture.alternative.endswith(".")
    assert "differ by at most" in pictures[-1].alternative


def test_cells_of_a_phase_diagram_in_words() -> None:
    values = pd.DataFrame([[1.0, float("nan")], [1.25, 2.0]], index=[2, 4], columns=["tanh", "erf"])
    panel = PhasePanel(values, values.notna())
    assert phase_words({"loss mse": panel}, "hidden_activation", "depth") == (
        "3 of 4 cells have an established power law. For loss mse, depth 2: 1.00 at hidden activation tanh, none at "
        "hidden activation erf. For loss mse, depth 4: 1.25 at hidden activation tanh, 2.00 at hidden activation erf."
    )
    many = {f"seed {seed}": panel for seed in range(10)}
    assert phase_words(many, "activation", "depth") == (
        "30 of 40 cells have an established power law. The values reach from 1.00 "
        "(at seed 0, depth 2, activation tanh) to 2.00 (at seed 0, depth 4, activation erf)."
    )


@pytest.mark.parametrize("one", [True, False])
def test_an_unknown_format_is_refused_before_anything_is_written(
    one: bool, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = sorted(path for path in study.iterdir() if path.is_dir())
    shutil.copytree(runs[0], tmp_path / "runs" / "one")
    place, new = tmp_path / "runs" / "one" if one else tmp_path / "runs", tmp_path / "new"
    (tmp_path / "runs" / "one" / "report.html").unlink()
    assert exit_code(app, ["report", str(place), "--figures", str(new), "--format", "svgg"]) == 2
    assert 'got "svgg"' in capsys.readouterr().err
    assert not new.exists()
    assert not (place / "report.html").exists()


def test_runs_of_several_kinds_make_no_empty_panels() -> None:
    rows = [
        {"cell": f"{n}{loss}", "quantity": "bias", "verdict": "power law", "certified": True, "measured_exponent": 1.0,
         "predicted_exponent": 1.0, "agreement": "agrees", "loss": loss, "lr": lr, "samples": samples, "data": data}
        for n, (lr, samples, data) in enumerate([(0.1, 1, None), (0.2, 2, None), (0.1, None, "moons"),
                                                 (0.2, None, "digits"), (0.3, None, "moons")])
        for loss in ("mse", "bce")
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures = study_illustrations(pd.DataFrame(rows).assign(decades=2.0))
        assert [picture.name for picture in pictures][-1] == "agreement"
        assert all(picture.image("png") for picture in pictures)


def test_a_phase_diagram_of_one_cell_is_not_drawn_and_equal_values_have_no_bar() -> None:
    rows = [
        {"cell": f"{at}", "quantity": "bias", "loss": loss, "activation": activation, "measured_exponent": 1.0}
        for at, (loss, activation) in enumerate([("mse", "tanh"), ("mse", "erf"), ("bce", "tanh"), ("bce", "erf")])
    ]
    table = pd.DataFrame(rows).assign(certified=True, predicted_exponent=None, agreement=None, decades=3.0, seed=0)
    verdicts = ["power law", "rejected", "rejected", "rejected"]
    assert study_illustrations(table.assign(verdict=verdicts)) == []
    drawn = study_illustrations(table.assign(verdict="power law"))
    assert [len(picture.figure.axes) for picture in drawn] == [1, 1]


def test_cells_of_a_sweep_are_named_by_their_settings() -> None:
    table = pd.DataFrame({"cell": ["0123456789abcdef", "a folder"], "loss": ["mse", "bce"], "seed": [3, 4]})
    assert _names(table, ["loss"]) == ["mse, seed 3", "a folder"]


def test_failed_runs_and_numbers_of_any_size_are_seen() -> None:
    rows = [
        {"cell": "a", "status": "finished", "lr": 1e-5, "quantity": "bias", "certified": True, "verdict": "rejected"},
        {"cell": "b", "status": "failed", "lr": 1e300, "reason": "the gradient is not finite"},
        {"cell": "c", "status": "failed", "lr": 0.1, "reason": "the gradient is not finite"},
    ]
    table = pd.DataFrame(rows, columns=[*COLUMNS, "lr"])
    assert statement(table).startswith("3 runs, 1 of them at equilibrium, 2 failed:")
    page = study_page(table, "many", Methods("many", (), {}))
    assert "<strong>2 runs have no result:</strong> the gradient is not finite" in page
    assert [f">{number}<" in page for number in ("1e-05", "1e+300", "0.1")] == [True] * 3
