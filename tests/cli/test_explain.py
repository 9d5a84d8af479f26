"""``critlearn explain``: tables that fit a terminal, one quantity, and refusals of runs that cannot be explained."""

import json
import shutil
from pathlib import Path

import pytest

from critlearn.cli.main import app, exit_code


@pytest.fixture
def run(study: Path, tmp_path: Path) -> Path:
    """Run of the toy model, in a folder of its own."""
    name = sorted(path.name for path in study.iterdir() if path.name.startswith("toy-sigmoid+bce"))[0]
    shutil.copytree(study / name, tmp_path / name)
    return tmp_path / name


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert exit_code(app, ["explain", *arguments]) == 0
    return capsys.readouterr().out


def test_ladder_and_anatomy_fit_a_hundred_columns(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = told(capsys, "toy", "--out", str(run.parent))
    assert max(map(len, page.splitlines())) <= 100
    record = json.loads((run / "run.json").read_text())
    for name, quantity in record["quantities"].items():
        lines = [line for line in page.splitlines() if line.startswith(f"{name} ")]
        assert len(lines) == 1 + (quantity["anatomy"] is not None) + (quantity["tail"] is not None)
        assert "0 composition" in lines[0]
        if quantity["anatomy"] is not None:
            assert f"{quantity['anatomy']['total']:.2f}" in lines[1]
        if quantity["tail"] is not None:
            assert lines[-1].split()[-1] in ("agrees", "disagrees", "tell")
            assert f"{quantity['tail']['measured']['value']:.2f}" in lines[-1]
    assert "never counted as agreement" in " ".join(page.split())


def test_one_quantity_is_told_in_a_sentence_and_as_json(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = told(capsys, str(run), "--quantity", "bias")
    assert "\nbias " in page
    assert "\nweight " not in page
    assert "the composition alone would give" in page
    record = json.loads((run / "run.json").read_text())
    values = json.loads(told(capsys, str(run), "--quantity", "bias", "--json"))
    kept = ("agreement", "explanation", "ladder", "anatomy", "tail")
    assert values == {"bias": {name: record["quantities"]["bias"][name] for name in kept}}


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert exit_code(app, ["explain", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    return printed.err


def test_what_cannot_be_explained_is_refused_in_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 'did you mean "bias"' in refused(capsys, str(run), "--quantity", "bais")
    assert 'no run "nowhere"' in refused(capsys, "nowhere", "--out", str(run.parent))
    record = json.loads((run / "run.json").read_text())
    for quantity in record["quantities"].values():
        quantity |= {"ladder": [], "not_predicted": "its layers are not dense"}
    (run / "run.json").write_text(json.dumps(record))
    assert "its layers are not dense" in refused(capsys, str(run))
    for quantity in record["quantities"].values():
        quantity |= {"ensemble": {"seeds": [0, 1], "sd": 0.1}}
    (run / "run.json").write_text(json.dumps(record))
    assert "pools an ensemble" in refused(capsys, str(run))


def test_runs_of_earlier_versions_are_shown_and_not_explained(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads((run / "run.json").read_text())
    for quantity in record["quantities"].values():
        for name in ("ladder", "explanation", "anatomy"):
            del quantity[name]
        quantity["agreement"] = True
    (run / "run.json").write_text(json.dumps(record))
    assert "made before predictions of every layer: analyse it anew" in refused(capsys, str(run))
    assert exit_code(app, ["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "What explains it" not in page
    assert '<td class="more">agrees</td>' in page
    capsys.readouterr()
    assert exit_code(app, ["runs", "show", str(run)]) == 0
    assert "agrees" in capsys.readouterr().out


@pytest.mark.parametrize("damaged", [{"ladder": [{"level": 7}]}, {"ladder": 3}, {"anatomy": {"total": "much"}}])
def test_a_damaged_explanation_is_refused(
    run: Path, damaged: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((run / "run.json").read_text())
    record["quantities"]["bias"] |= damaged
    (run / "run.json").write_text(json.dumps(record))
    assert "is not a record" in refused(capsys, str(run))
