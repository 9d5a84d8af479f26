"""Folders of runs are written whole or not at all, and what is read is what was written."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from critlearn.analysis import Analysis
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
