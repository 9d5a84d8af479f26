"""Fixtures that tests of several packages share."""

from collections.abc import Iterator

import jaxtyping
import pytest


@pytest.fixture
def without_shape_checker() -> Iterator[None]:
    """As in production: what critlearn itself refuses, not what the checker of the test run refuses before it."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
