"""Folders of runs are written whole or not at all, and what is read is what was written."""

import json
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from critlearn.analysis import Analysis, run_folder
from critlearn.errors import DataError, OutputError
from critlearn.studies import read_run, write_run


def page(record: dict[str, Any], fluctuations: object) -> str:
    return f"<html>{record['study']}</html>"


def test_a_run_comes_back_from_its_folder(tmp_path: Path, two_class: Analysis) -> None:
    record = write_run(tmp_path / "runs", two_class, page)
    folder = Path(record["run_dir"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "fluctuations.npz", "model.safetensors", "report.html", "run.json",
    ]  # fmt: skip
    back, fluctuations = read_run(folder)
    assert back == record
    assert all(fluctuations[name] == two_class.fluctuations[name] for name in two_class.fluctuations)
    weights = load_file(folder / "model.safetensors")
    assert all(torch.equal(weights[name], value) for name, value in two_class.weights.items())
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [folder.name]


def test_two_runs_at_the_same_time_do_not_share_a_folder(tmp_path: Path, two_class: Analysis) -> None:
    folders = {write_run(tmp_path, two_class, page)["run_dir"] for _ in range(3)}
    assert len(folders) == 3


def test_runs_of_other_processes_in_the_same_second_are_left_alone(
    tmp_path: Path, two_class: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "gmtime", lambda real=time.gmtime: real(0))
    first = run_folder.fresh_folder(tmp_path, "two-class", "sigmoid+bce", "0")
    begun = tmp_path / f".{first.name}.partial"
    begun.mkdir()
    (begun / "half").write_text("half of another run")

    def meanwhile(record: dict[str, Any], fluctuations: object) -> str:
        # Another process ends first, and has the name that this one chose.
        (tmp_path / f"{first.name}-2").mkdir(exist_ok=True)
        (tmp_path / f"{first.name}-2" / "run.json").write_text("another")
        return "a page"

    folder = Path(write_run(tmp_path, two_class, meanwhile)["run_dir"])
    assert folder.name == f"{first.name}-3"
    assert read_run(folder)[0]["run_dir"] == str(folder)
    assert [path.name for path in begun.iterdir()] == ["half"]
    assert (tmp_path / f"{first.name}-2" / "run.json").read_text() == "another"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Pacific/Kiritimati", "Nowhere/Else"])
def test_names_of_runs_tell_the_same_time_in_every_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """Around the hour that comes twice on a clock in Newfoundland, and once more after a clock was put back."""
    real, names = time.gmtime, []
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        for moment in (1_793_500_000, 1_793_503_600, 1_793_507_200, 1_793_500_000):
            patch.setattr(time, "gmtime", partial(real, moment))
            folder = run_folder.fresh_folder(tmp_path, "toy", "tanh+mse", "0")
            folder.mkdir()
            names.append(folder.name.removeprefix("toy-tanh+mse-s0-"))
    time.tzset()
    assert names == ["20261101T022640Z", "20261101T032640Z", "20261101T042640Z", "20261101T022640Z-2"]


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("defect")]
)
def test_a_run_that_cannot_be_finished_leaves_nothing(
    tmp_path: Path, two_class: Analysis, failure: BaseException
) -> None:
    def failing(record: dict[str, Any], fluctuations: object) -> str:
        raise failure

    expected = OutputError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected) as caught:
        write_run(tmp_path, two_class, failing)
    if isinstance(failure, OSError):
        assert "No space left on device" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_record_with_nan_is_not_written(tmp_path: Path, two_class: Analysis) -> None:
    spoilt = Analysis({**two_class.record, "accuracy": math.nan}, two_class.fluctuations, two_class.weights)
    with pytest.raises(ValueError, match="JSON"):
        write_run(tmp_path, spoilt, page)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_run_is_refused(tmp_path: Path, two_class: Analysis) -> None:
    with pytest.raises(DataError, match="holds no run"):
        read_run(tmp_path)
    folder = Path(write_run(tmp_path, two_class, page)["run_dir"])
    (folder / "run.json").write_text('{"study":')
    with pytest.raises(DataError, match="is not a record"):
        read_run(folder)


def test_modes_that_are_damaged_are_refused(tmp_path: Path, two_class: Analysis) -> None:
    folder = Path(write_run(tmp_path, two_class, page)["run_dir"])
    record = json.loads((folder / "run.json").read_text())
    for spoilt, told in (
        ({"modes": [{"share": 0.5}]}, r"modes\.modes\.0\.\w+: is missing"),
        ({"correlations": [[1.0, 0.0]]}, "correlations are a square matrix"),
        ({"coupling_error": -1e300}, r"modes\.coupling_error"),
    ):
        (folder / "run.json").write_text(json.dumps({**record, "modes": {**record["modes"], **spoilt}}))
        with pytest.raises(DataError, match=told):
            read_run(folder)
