"""Commands write their pages without pictures: drawing these takes most of a short run."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def blank_pictures() -> Iterator[None]:
    """Pages with empty pictures; those of figures and reports have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("critlearn.reports.page._source", lambda illustration: "data:image/svg+xml,")
        yield
