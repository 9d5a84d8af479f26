"""An analysis of a small run, which several tests look at."""

import pytest

from critlearn.analysis import Analysis
from reference.small_runs import two_class_run


@pytest.fixture(scope="session")
def two_class() -> Analysis:
    return two_class_run()
