"""Command duality: a study beside the run, a section in its page, refusals in one line."""

import json
from pathlib import Path

import pytest
import torch

from critlearn.cli.main import app, exit_code
from critlearn.duality import DualityMap
from critlearn.studies import read_run
from critlearn.studies.runs.system import load_system
from shape_checker import switched_off


def test_study_is_kept_and_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "run.json").read_bytes()
    assert exit_code(app, ["duality", str(run), "--samples", "6", "--json"]) == 0
    study = json.loads(capsys.readouterr().out)
    assert json.loads((run / "duality.json").read_text()) == study
    assert (run / "run.json").read_bytes() == before
    assert not list(run.glob(".*"))
    page = (run / "report.html").read_text()
    assert "<h2>Duality map</h2>" in page
    assert "as pictures" in page
    for state in study["states"].values():
        assert (state["samples"], state["variables"], state["boundary"]) == (6, 4 * 65 + 5, 64)
        assert sum(state["rank_counts"].values()) == 6
        # Pictures of digits: 15 neighbours at most span the tangent space.
        assert all(int(size) <= 15 for size in state["along_data"]["dimension_counts"])
    record, _ = read_run(run)
    system = load_system(run, record).trained
    x, t = system.dataset[0]
    values = torch.linalg.svdvals(DualityMap(system).jacobian(x, t).dense())
    expected = [float(value) for value in values[:3].log()]
    assert study["leading"][0]["log_singular_values"] == pytest.approx(expected, rel=1e-8)
    assert exit_code(app, ["duality", str(run), "--samples", "2"]) == 0
    told = capsys.readouterr().out
    assert "effective dimension" in told
    assert "along the data" in told
    assert "whole set" not in told


@pytest.mark.parametrize("text", ["{}", "[1]", '{"states": {"trained": {}}, "image": null, "leading": []}', "{"])
def test_a_damaged_study_is_refused(run: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for file in run.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "duality.json").write_text(text)
    assert exit_code(app, ["report", str(tmp_path)]) == 2
    assert "make it again with critlearn duality" in capsys.readouterr().err


def test_a_narrow_network_whose_units_die_is_studied(tmp_path: Path) -> None:
    options = ["--data", "breast-cancer", "--hidden", "1", "--hidden-activation", "relu", "--epochs", "2", "--quiet"]
    with switched_off():
        assert exit_code(app, ["run", "two-class", *options, "--out", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    assert exit_code(app, ["duality", str(folder), "--samples", "40", "--json"]) == 0
    study = json.loads((folder / "duality.json").read_text())
    assert "0" in study["states"]["trained"]["rank_counts"]
    along = study["states"]["trained"]["along_data"]
    counts = ", ".join(f"{rank} ({count})" for rank, count in along["rank_counts"].items())
    assert f"<td>{counts}</td>" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere"], "holds no run"), (["{run}", "--samples", "0"], "--samples must be at least 1")],
)
def test_bad_input_is_one_line(
    run: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(app, ["duality", *[argument.format(run=run) for argument in arguments]]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_pool_has_no_sheet_of_its_duality_map(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in run.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    record = json.loads((run / "run.json").read_text())
    record["config"]["seeds"] = 2
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert exit_code(app, ["duality", str(tmp_path)]) == 2
    assert "pools an ensemble" in capsys.readouterr().err


def test_weights_that_do_not_fit_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in run.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    assert exit_code(app, ["duality", str(tmp_path)]) == 2
    assert "model.safetensors" in (told := capsys.readouterr().err)
    assert "is damaged" in told
