"""Pages without pictures, as drawing these takes most of a short run; and a run that several commands go on from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from critlearn.cli.main import app, exit_code
from shape_checker import switched_off


@pytest.fixture(autouse=True, scope="module")
def blank_pictures() -> Iterator[None]:
    """Pages with empty pictures; those of figures and reports have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("critlearn.reports.page._source", lambda illustration: "data:image/svg+xml,")
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run of a small network with two classes, of each module its own."""
    out = tmp_path_factory.mktemp("runs")
    options = ["--data", "digits:0v1", "--hidden", "4", "--epochs", "25", "--out", str(out), "--quiet"]
    with switched_off():
        assert exit_code(app, ["run", "two-class", *options]) == 0
    (folder,) = out.iterdir()
    return folder
