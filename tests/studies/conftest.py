"""Results of small runs, which several tests look at."""

import pytest

from critlearn.analysis import Analysis
from reference.small_runs import toy_run, two_class_run


@pytest.fixture(scope="session")
def two_class() -> Analysis:
    return two_class_run()


@pytest.fixture(scope="session")
def toy() -> Analysis:
    return toy_run()
