"""Every command that writes, into a place that takes no files and into one that is full: one line, and nothing torn."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from critlearn.cli.main import app, exit_code
from critlearn.studies.sweep.results.store import MARK

TOY = ["run", "toy", "--samples", "1000", "--epochs", "2", "--batch-size", "500"]

COMMANDS = {
    "run": [*TOY, "--out", "PLACE"],
    "seeds": [*TOY, "--seeds", "2", "--out", "PLACE"],
    "analyze": ["analyze", "FILES/net.py:net", "--data", "digits:0v1", "--loss", "bce", "--out", "PLACE"],
    "fit": ["fit", "FILES/sizes.npy", "--plot", "PLACE/fit.svg"],
    "design": ["design", "--exponent", "1.5", "--activation", "tanh", "--plot", "PLACE/design.svg"],
    "dynamics": ["dynamics", "FILES/series.npy", "--out", "PLACE/sheet.json"],
    "sweep": ["sweep", "FILES/study.yaml", "--store", "PLACE/store"],
    "results": ["results", "STUDY", "--parquet", "PLACE/table.parquet"],
    "figures": ["report", "STUDY", "--figures", "PLACE"],
    "reproduce": ["reproduce", "--quick", "--store", "PLACE/store", "--out", "PLACE"],
    "duality": ["duality", "RUN", "--samples", "8"],
    "report": ["report", "RUN"],
    "report of many": ["report", "STUDY"],
}
"""A command of each kind that writes; the last three write beside what they read."""


@pytest.fixture
def command(tmp_path: Path, run: Path, study: Path) -> Callable[[str], list[str]]:
    """Function from a name to its command."""
    values = np.random.default_rng(0).pareto(1.0, 1000) + 1
    np.save(tmp_path / "sizes.npy", values)
    np.save(tmp_path / "series.npy", values.cumsum())
    (tmp_path / "net.py").write_text("from torch import nn\n\ndef net():\n    return nn.Linear(64, 1)\n")
    (tmp_path / "study.yaml").write_text(
        "name: small\nsystem: {loss: mse}\ndata: {samples: 1000}\ntraining: {epochs: 2, batch_size: 500}\n"
    )
    (tmp_path / "place").mkdir()
    places = {"FILES": tmp_path, "PLACE": tmp_path / "place", "STUDY": study, "RUN": run}

    def filled(name: str) -> list[str]:
        words = []
        for word in COMMANDS[name]:
            for key, path in places.items():
                word = word.replace(key, str(path))
            words.append(word)
        return words

    return filled


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be made anywhere: whoever runs the tests may be one whom no rights of a folder keep out."""
    opened, refusal = os.open, OSError(errno.EROFS, os.strerror(errno.EROFS))

    def reads(path: Any, flags: int, *arguments: Any, **settings: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise refusal
        return opened(path, flags, *arguments, **settings)

    def never(*_: Any, **__: Any) -> None:
        raise refusal

    monkeypatch.setattr(os, "open", reads)
    for name in ("mkdir", "rename", "replace"):
        monkeypatch.setattr(os, name, never)


@pytest.fixture
def full() -> Iterator[None]:
    """No file can be written beyond its first hundred bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _state(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("place", ["read_only", "full"])
def test_a_place_that_takes_no_files_is_told_in_one_line(
    name: str,
    place: str,
    command: Callable[[str], list[str]],
    run: Path,
    study: Path,
    tmp_path: Path,
    without_shape_checker: None,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words, before = command(name), _state(tmp_path, run, study)
    request.getfixturevalue(place)
    code = exit_code(app, words)
    told = capsys.readouterr()
    assert code in (1, 2)
    assert len(told.err.splitlines()) == 1
    assert os.strerror(errno.EROFS if place == "read_only" else errno.EFBIG) in told.err
    after = _state(tmp_path, run, study)
    assert before.items() <= after.items()
    # The mark of a store is small enough, and whole.
    assert {path.name for path, content in after.items() if content and path not in before} <= {MARK}
