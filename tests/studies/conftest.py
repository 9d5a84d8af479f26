"""Results of small runs, which several tests look at."""

from collections.abc import Callable

import jaxtyping
import pytest

from critlearn.studies import RunResult, ToyConfig, TwoClassConfig, run_toy, run_two_class
from reference.small_runs import TOY, TWO_CLASS


@pytest.fixture(scope="session")
def two_class() -> RunResult:
    return _unchecked(lambda: run_two_class(TwoClassConfig(**TWO_CLASS)))


@pytest.fixture(scope="session")
def toy() -> RunResult:
    return _unchecked(lambda: run_toy(ToyConfig(activation="softsign", loss="mse", **TOY)))


def _unchecked(run: Callable[[], RunResult]) -> RunResult:
    """A run is many calls: the checker of shapes is for the tests of the parts."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        return run()
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)
