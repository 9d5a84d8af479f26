"""Fixtures that tests of several packages share."""

import os
from collections.abc import Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: threads of theirs, and of programs that they start, would only wait for one another.
    # Before torch is loaded, which reads it once.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
import pytest
from hypothesis import settings

# The same examples in every run: a test that fails must fail for everybody.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture
def without_shape_checker() -> Iterator[None]:
    """As in production: what critlearn itself refuses, not what the checker of the test run refuses before it."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


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
            write_run(out, run_toy(config), report_page)
    return out
