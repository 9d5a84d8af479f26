"""Work that is killed, interrupted, or finds no room, in processes that a process of its own forks."""

from pathlib import Path

from apart import run_tests_apart


def test_scenarios_of_ended_work(tmp_path: Path) -> None:
    run_tests_apart(Path(__file__).with_name("scenarios_of_ended_work.py"), tmp_path)
