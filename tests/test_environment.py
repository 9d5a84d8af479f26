"""``critlearn doctor`` finds what is wrong, and says what to do."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from critlearn.cli.main import app, exit_code
from critlearn.environment import Check, examine


@pytest.fixture
def restored_torch() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


def _check(name: str, out: Path) -> Check:
    (found,) = (check for check in examine(out).checks if check.name == name)
    return found


def test_a_sound_installation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(app, ["doctor", "--json", "--out", str(tmp_path / "runs")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"]
    assert told["versions"]["torch"] == torch.__version__
    assert set(told["checks"]) == {"versions", "threads", "GPU", "precision", "store", "extras"}
    # Looking leaves nothing behind.
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert exit_code(app, ["doctor", "--out", str(blocked / "runs")]) == 1
    told = capsys.readouterr().out
    assert "problem store" in told
    assert "--out" in told


@pytest.mark.usefixtures("restored_torch")
def test_subnormal_numbers_that_are_flushed(tmp_path: Path) -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormal numbers")
    found = _check("precision", tmp_path)
    assert not found.ok
    assert "set_flush_denormal(False)" in found.advice


@pytest.mark.usefixtures("restored_torch")
def test_more_threads_than_processors(tmp_path: Path) -> None:
    torch.set_num_threads(500)
    found = _check("threads", tmp_path)
    assert not found.ok
    assert "OMP_NUM_THREADS=" in found.advice
