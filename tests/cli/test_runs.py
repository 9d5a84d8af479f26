"""``critlearn runs`` as a user meets it: what it lists, what it compares, and what it never removes."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from critlearn.cli.main import app, exit_code


@pytest.fixture
def runs(study: Path, tmp_path: Path) -> Path:
    """Four runs of the toy model, in a folder of their own."""
    out = tmp_path / "runs"
    shutil.copytree(study, out)
    return out


def names_of(runs: Path) -> list[str]:
    return sorted(path.name for path in runs.iterdir() if path.is_dir())


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert exit_code(app, ["runs", *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert exit_code(app, ["runs", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    return printed.err


def test_the_list_names_every_run_in_full(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "list", "--out", str(runs)).splitlines()
    assert [line.split()[1] for line in lines[1:]] == names_of(runs)
    listed = json.loads(told(capsys, "list", "--out", str(runs), "--json"))["runs"]
    assert [row["run"] for row in listed] == names_of(runs)
    for row in listed:
        record = json.loads((runs / row["run"] / "run.json").read_text())
        assert row["exponent"] == record["quantities"][row["quantity"]]["measured"]["exponent"]
        assert row["composition"] == record["composition"]["name"]


def test_a_run_is_found_by_name_by_beginning_and_by_path(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = next(name for name in names_of(runs) if name.startswith("toy-softsign+bce"))
    record = json.loads((runs / name / "run.json").read_text())
    for given in (name, "toy-softsign+b", str(runs / name)):
        shown = json.loads(told(capsys, "show", given, "--out", str(runs), "--json"))
        # The folder is where it is now, not where it was made.
        assert shown == {**record, "run_dir": str(runs / name)}
    page = told(capsys, "show", name, "--out", str(runs))
    assert next(iter(record["quantities"].values()))["statement"].split(";")[0] in page
    assert str(runs / name / "report.html") in page


def measured_as(runs: Path, start: str, exponent: float | None, error: float | None) -> None:
    """Write another exponent of the bias into the record of a run."""
    (path,) = runs.glob(f"{start}*/run.json")
    record = json.loads(path.read_text())
    ends = None if exponent is None or error is None else [exponent - 2 * error, exponent + 2 * error]
    record["quantities"]["bias"]["measured"] |= {"exponent": exponent, "stderr": error, "ci95": ends}
    path.write_text(json.dumps(record))


def test_two_runs_differ_in_what_was_set_and_by_the_difference_of_their_exponents(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured_as(runs, "toy-sigmoid+bce", 0.0, 0.03)
    measured_as(runs, "toy-softsign+mse", 0.5, 0.04)
    arguments = ("compare", "toy-sigmoid+bce", "toy-softsign+mse", "--out", str(runs))
    compared = json.loads(told(capsys, *arguments, "--json"))
    assert compared["settings"] == {"activation": ["sigmoid", "softsign"], "loss": ["bce", "mse"]}
    assert compared["versions"] == {}
    assert compared["unshared"] == []
    bias = compared["quantities"]["bias"]
    assert bias["exponents"] == [0.0, 0.5]
    # Errors of 0.03 and 0.04 make one of 0.05.
    half = 1.959963984540054 * 0.05
    assert bias["difference"]["difference"] == pytest.approx(0.5)
    assert bias["difference"]["ci95"] == pytest.approx([0.5 - half, 0.5 + half])
    page = told(capsys, *arguments)
    assert "activation" in page
    assert "+0.500 (+0.402 to +0.598)" in page
    measured_as(runs, "toy-softsign+mse", None, None)
    compared = json.loads(told(capsys, *arguments, "--json"))
    assert compared["quantities"]["bias"]["difference"] is None
    assert "+0." not in told(capsys, *arguments)


def test_a_run_does_not_differ_from_itself(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = told(capsys, "compare", "toy-sigmoid+bce", "toy-sigmoid+bce", "--out", str(runs))
    assert "same settings, same versions" in same


def test_only_the_run_that_was_named_is_removed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = names_of(runs)
    told(capsys, "rm", names[1], "--yes", "--out", str(runs))
    assert names_of(runs) == [names[0], *names[2:]]


@pytest.mark.parametrize(("answer", "left"), [("n\n", 4), ("y\n", 3)])
def test_it_asks_before_it_removes(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True, readline=lambda: answer))
    told(capsys, "rm", names_of(runs)[0], "--out", str(runs))
    assert len(names_of(runs)) == left


def test_what_is_no_whole_run_is_never_removed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = names_of(runs)
    keep = runs / "notes"
    keep.mkdir()
    (keep / "run.json").write_text("{}")
    assert "has no fluctuations.npz" in refused(capsys, "rm", "notes", "--yes", "--out", str(runs))
    assert "has no fluctuations.npz" in refused(capsys, "rm", str(keep), "--yes", "--out", str(runs))
    link = runs / "link"
    link.symlink_to(runs / names[0])
    assert "is a link" in refused(capsys, "rm", "link", "--yes", "--out", str(runs))
    beginning = names[0][:-3]
    assert "not the whole name" in refused(capsys, "rm", beginning, "--yes", "--out", str(runs))
    assert "no run" in refused(capsys, "rm", "..", "--yes", "--out", str(runs))
    assert "no terminal to ask on" in refused(capsys, "rm", names[0], "--out", str(runs))
    assert set(names_of(runs)) == {*names, "notes", "link"}
    assert len(list((runs / names[0]).iterdir())) == 4


def test_a_corrupt_run_is_listed_as_such_and_can_be_removed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = names_of(runs)[2]
    (runs / name / "run.json").write_text('{"quantities": 3}')
    assert exit_code(app, ["runs", "list", "--out", str(runs)]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 5
    assert name in printed.err
    assert "is not a record" in refused(capsys, "show", name, "--out", str(runs))
    told(capsys, "rm", name, "--yes", "--out", str(runs))
    assert name not in names_of(runs)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "toy-sigmoid+bec"), 'did you mean "toy-sigmoid+bce'),
        (("show", "toy"), "is the beginning of 4 runs"),
        (("compare", "toy-sigmoid+bce", "zzz"), 'no run "zzz"'),
        (("rm", "zzz", "--yes"), 'no run "zzz"'),
    ],
)
def test_what_cannot_be_found_is_said_in_one_line(
    runs: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(capsys, *arguments, "--out", str(runs))


def test_a_folder_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert "holds no run" in refused(capsys, "list", "--out", str(folder))


def test_cells_of_a_store_are_runs_too(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store: dict[str, Any] = {"format": 1}
    place = tmp_path / "store"
    place.mkdir()
    (place / "critlearn-store.json").write_text(json.dumps(store))
    runs.rename(place / "cells")
    listed = json.loads(told(capsys, "list", "--out", str(place), "--json"))["runs"]
    assert [row["run"] for row in listed] == names_of(place / "cells")
