"""Tests in a process of their own: one that dies is tried once more, one that fails is not, and both are told."""

from pathlib import Path

import pytest

from apart import run_tests_apart

DIES = """
import os, pathlib, signal

def test_dies():
    print("about to die")
    starts = pathlib.Path(__file__).with_name("starts")
    starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
    if len(starts.read_text()) <= {times}:
        {death}
"""
KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
EXITS = "os._exit(1)"  # As Ray's native code does when one of its checks fails.


def _tests(folder: Path, code: str) -> Path:
    path = folder / "scenarios.py"
    path.write_text(code, encoding="utf-8")
    return path


@pytest.mark.parametrize("death", [KILLED, EXITS])
def test_a_process_that_dies_once_is_started_again(death: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"the first process of scenarios.py died"):
        run_tests_apart(_tests(tmp_path, DIES.format(times=1, death=death)), tmp_path)
    assert (tmp_path / "starts").read_text() == "xx"


@pytest.mark.filterwarnings("ignore:the .* process of scenarios.py died")
def test_a_process_that_always_dies_fails_the_test_alone(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"died twice \(status -9\)"):
        run_tests_apart(_tests(tmp_path, DIES.format(times=9, death=KILLED)), tmp_path)
    assert (tmp_path / "starts").read_text() == "xx"


def test_a_test_that_fails_is_not_tried_again(tmp_path: Path) -> None:
    code = DIES.format(times=1, death="assert 1 == 2, 'not equal'")
    with pytest.raises(pytest.fail.Exception, match="not equal"):
        run_tests_apart(_tests(tmp_path, code), tmp_path)
    assert (tmp_path / "starts").read_text() == "x"
