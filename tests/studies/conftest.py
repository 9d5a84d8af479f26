"""Results of small runs, which several tests look at."""

import pytest

from critlearn.studies import RunResult, ToyConfig, TwoClassConfig, run_toy, run_two_class
from reference.small_runs import TOY, TWO_CLASS
from shape_checker import switched_off


@pytest.fixture(scope="session")
def two_class() -> RunResult:
    with switched_off():
        return run_two_class(TwoClassConfig(**TWO_CLASS))


@pytest.fixture(scope="session")
def toy() -> RunResult:
    with switched_off():
        return run_toy(ToyConfig(activation="softsign", loss="mse", **TOY))
