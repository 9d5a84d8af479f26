"""What is saved comes back as it was; what is none of ours is refused in one line."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import critlearn
from critlearn.errors import DataError, InvalidInputError
from critlearn.monitoring import MonitorRecord
from critlearn.studies import ToyConfig, run_toy


@pytest.fixture
def system() -> critlearn.NeuralSystem:
    torch.manual_seed(0)
    x = torch.linspace(-2, 2, 40, dtype=torch.float64)[:, None]
    data = torch.utils.data.TensorDataset(x, torch.sign(x[:, 0]))
    model = torch.nn.Sequential(torch.nn.Linear(1, 1)).double()
    return critlearn.NeuralSystem(model, critlearn.Composition("sigmoid", "bce"), data)


def test_fluctuations_come_back(system: critlearn.NeuralSystem, tmp_path: Path) -> None:
    measured = critlearn.measure(system)
    # Not the usual ending: what a file holds is found out from its content.
    critlearn.save(measured, tmp_path / "kept")
    again = critlearn.load(tmp_path / "kept")
    assert isinstance(again, critlearn.Fluctuations)
    assert list(again) == list(measured)
    for name in measured:
        first, second = measured[name].to_arrays(), again[name].to_arrays()
        assert all(np.array_equal(first[part], second[part]) for part in first)


def test_records_of_monitors_come_back(system: critlearn.NeuralSystem, tmp_path: Path) -> None:
    with critlearn.Monitor(system, torch.optim.SGD(system.model.parameters(), lr=0.1)) as monitor:
        monitor.step()
    critlearn.save(monitor.record, str(tmp_path / "kept"))
    again = critlearn.load(str(tmp_path / "kept"))
    assert isinstance(again, MonitorRecord)
    assert again.to_dict() == monitor.record.to_dict()


def test_runs_come_back_with_their_report(tmp_path: Path) -> None:
    run = run_toy(ToyConfig(activation="tanh", loss="mse", samples=2_000, epochs=2))
    critlearn.save(run, tmp_path / "run")
    again = critlearn.load(tmp_path / "run")
    assert isinstance(again, critlearn.Analysis)
    assert again.record["quantities"] == run.record["quantities"]
    assert list(again.fluctuations) == list(run.fluctuations)
    assert all(torch.equal(again.weights[name], value) for name, value in run.weights.items())
    assert (tmp_path / "run" / "report.html").read_text().startswith("<!doctype html>")


def test_results_of_a_sweep_are_a_table(tmp_path: Path) -> None:
    from critlearn.studies.sweep.results.store import ResultsStore

    ResultsStore(str(tmp_path / "store"), create=True)
    assert isinstance(critlearn.load(tmp_path / "store"), pd.DataFrame)


@pytest.mark.parametrize("value", [3.0, {"a": 1}, np.zeros(3)])
def test_what_is_not_kept_in_files_is_refused(value: object, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=f"Fluctuations, .* got {type(value).__name__}"):
        critlearn.save(value, tmp_path / "kept")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04broken", b"{}", b"\x00" * 64])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match="file"):
        critlearn.load(tmp_path / "file")


def test_empty_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds neither a run nor results of a sweep"):
        critlearn.load(tmp_path / "empty")
    with pytest.raises(DataError, match="No such file"):
        critlearn.load(tmp_path / "none")


def _archive(path: Path, member: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", member)
    return path


def test_arrays_are_not_expanded_before_their_sizes_are_known(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with pytest.raises(DataError, match=r"says that it takes 8000000000000 bytes, and is not of that size"):
        critlearn.load(_archive(tmp_path / "shape", header.getvalue()))
    # A member that is no array is told by its first bytes.
    with pytest.raises(DataError, match="magic string"):
        critlearn.load(_archive(tmp_path / "zeros", b"\0" * 10_000))


def test_records_that_are_nested_without_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="is not a record"):
        critlearn.load(tmp_path)


def test_what_is_no_path_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="a path is a text"):
        critlearn.load("a\0b")
