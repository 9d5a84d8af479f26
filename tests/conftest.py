"""Fixtures that tests of several packages share."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: threads of theirs, and of programs that they start, would only wait for one another.
    # Before torch is loaded, which reads it once.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

import shape_checker

# Before critlearn is loaded.
shape_checker.install()

# The same examples in every run: a test that fails must fail for everybody.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")

SLOW_TESTS = Path(__file__).with_name("slow_tests.txt")
"""Tests that `make test-fast` leaves out for their time, one in a line; a whole run with ``--write-slow`` writes it."""

FAST_SECONDS = 150.0
"""Seconds that all other tests take together: with the start, less than two minutes on two cores."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the option that writes the list of slow tests anew."""
    parser.addoption("--write-slow", action="store_true", help=f"write {SLOW_TESTS.name} from this run's times")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the listed tests as slow, with all their parameters."""
    listed = set(SLOW_TESTS.read_text(encoding="utf-8").split())
    for item in items:
        if item.nodeid.partition("[")[0] in listed:
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter", config: pytest.Config) -> None:
    """Write the list: the quickest tests that together take no longer than `FAST_SECONDS` stay out of it."""
    if not config.getoption("--write-slow"):
        return
    seconds: dict[str, float] = defaultdict(float)
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if isinstance(report, pytest.TestReport):
            seconds[report.nodeid.partition("[")[0]] += report.duration
    taken, slow = 0.0, []
    for name in sorted(seconds, key=lambda name: seconds[name]):
        taken += seconds[name]
        if taken > FAST_SECONDS:
            slow.append(name)
    SLOW_TESTS.write_text("".join(f"{name}\n" for name in sorted(slow)), encoding="utf-8")


def pytest_runtest_setup() -> None:
    """Have the first calls of each test checked."""
    shape_checker.begin_test()


@pytest.fixture
def without_shape_checker() -> Iterator[None]:
    """As in production: what critlearn itself refuses, not what the checker of the test run refuses before it."""
    with shape_checker.switched_off():
        yield


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbolic searches get the time that they need where every call is checked, and on a busy machine."""
    monkeypatch.setattr("critlearn.numerics.time_budget.PATIENCE", 100.0)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of four small runs of the toy model, two activations with two losses."""
    from critlearn.reports.page import report_page
    from critlearn.studies import ToyConfig, run_toy, write_run

    out = tmp_path_factory.mktemp("study")
    for activation in ("sigmoid", "softsign"):
        for loss in ("bce", "mse"):
            config = ToyConfig(activation=activation, loss=loss, samples=4000, epochs=3, batch_size=500)
            with shape_checker.switched_off():
                write_run(out, run_toy(config), report_page)
    return out
