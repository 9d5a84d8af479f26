"""``critlearn sweep`` as a user meets it: what it refuses, in one line, before anything is written."""

import sys
from pathlib import Path

import pytest

from critlearn.cli.main import app, exit_code

STUDY = """
name: one
system: {activation: softsign, loss: mse}
data: {samples: 2000}
training: {epochs: 20, batch_size: 500, lr: 0.05}
"""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--address", "10.0.0.1:6379"], "--address is an option of --engine ray"),
        (["--num-gpus", "1"], "--num-gpus is an option of --engine ray"),
        (["--engine", "ray", "--num-cpus", "0"], "a task needs more than 0 processors; got 0"),
        (["--engine", "ray", "--num-gpus", "-1"], "must not be negative; got -1"),
        (["--engine", "ray", "--address", "here"], '"here" is not the address of a Ray cluster'),
        (["--engine", "rya"], "'ray'"),
        (["--memory", "0.1"], "the memory of a cell is 0.1 GiB; a process needs at least 0.5 GiB to begin"),
        (["--processes", "100000"], "an equal share for 100000 processes is"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    study = tmp_path / "one.yaml"
    study.write_text(STUDY)
    assert exit_code(app, ["sweep", str(study), "--store", str(tmp_path / "store"), *options]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert message in told.err
    assert not list(tmp_path.glob("store/cells/*"))


def test_without_ray_it_is_said_how_to_install_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    study = tmp_path / "one.yaml"
    study.write_text(STUDY)
    assert exit_code(app, ["sweep", str(study), "--store", str(tmp_path / "store"), "--engine", "ray"]) == 2
    assert capsys.readouterr().err == 'critlearn: the engine "ray" needs Ray: pip install "critlearn[ray]"\n'
