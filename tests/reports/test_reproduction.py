"""The page of the paper's experiments: what it sums up, and that its figures stand beside it."""

import math
import re
from collections.abc import Generator
from pathlib import Path

import pandas as pd
import pytest

from critlearn.cli.main import app, exit_code
from critlearn.errors import DataError
from critlearn.reports.experiments.reproduction import summary, write_reproduction
from critlearn.studies import Study, load_studies
from critlearn.studies.sweep.engines.local import Task
from critlearn.studies.sweep.results.store import ResultsStore
from critlearn.studies.sweep.study.cells import Cell, expand
from critlearn.studies.sweep.study.schema import shipped_file

STUDY = Study.model_validate(
    {
        "name": "paper-small",
        "description": "Two activations.",
        "system": {"loss": "mse"},
        "data": {"samples": 2000},
        "training": {"epochs": 5, "batch_size": 500},
        "measure": {"quantities": ["bias"]},
        "sweep": {"grid": {"activation": ["softsign", "tanh"]}},
    }
)


def test_rows_are_means_over_the_seeds_in_which_there_may_be_a_power_law() -> None:
    names = ["activation", "quantity", "measured_exponent", "predicted_exponent", "ci_low", "ci_high", "decades"]
    rows = [
        ["tanh", "bias", 1.0, 1.1, 0.9, 1.2, 2.0, "power law", "agrees", True],
        ["tanh", "bias", None, 1.3, None, None, None, "too few data", "cannot tell", True],
        ["tanh", "bias", 1.2, 1.2, 1.0, 1.5, 3.0, "power law", "disagrees", True],
        ["tanh", "bias", 1.1, 1.1, 1.0, 1.2, 2.5, "power law", "agrees", False],
        ["erf", "bias", -12.0, 0.5, -40.0, 9.0, 0.3, "too few data", "cannot tell", True],
        ["erf", "bias", None, 0.7, None, None, None, "too few data", "cannot tell", True],
    ]
    table = summary(pd.DataFrame(rows, columns=[*names, "verdict", "agreement", "certified"]), ["activation"])
    first, second = table.to_dict("records")
    assert first == {
        "activation": "tanh", "quantity": "bias", "predicted": pytest.approx(3.4 / 3), "measured": pytest.approx(1.1),
        "low": 0.9, "high": 1.5, "decades": 2.5, "laws": 3, "seeds": 4, "agree": 1, "decided": 2,
    }  # fmt: skip
    assert (second["activation"], second["laws"], second["seeds"], second["decided"]) == ("erf", 0, 2, 0)
    # Without a measured window there is nothing that a prediction on it could be.
    assert math.isnan(second["predicted"])
    assert math.isnan(second["measured"])


def test_the_page_tells_every_finished_study_with_its_figure(
    tmp_path: Path, without_shape_checker: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def here(cells: tuple[Cell, ...], task: Task, processes: int) -> Generator[tuple[Cell, str | None]]:
        assert processes == 2
        for cell in cells:
            yield cell, task(cell)

    store = str(tmp_path / "store")
    # The studies of the command take minutes, as `make validate` does to run them.
    small = {str(shipped_file("paper-quick")): (STUDY,)}
    monkeypatch.setattr("critlearn.studies.sweep.study.reading.load_studies", lambda path: small[str(path)])
    monkeypatch.setattr("critlearn.studies.sweep.engines.local.run_locally", here)
    command = ["reproduce", "--quick", "--processes", "2", "--store", store, "--out", str(tmp_path / "out")]
    for finished in (2, 0):
        assert exit_code(app, command) == 0
        told = capsys.readouterr()
        assert told.err.count(": finished") == finished
    assert told.out.strip() == str(tmp_path / "out" / "reproduction.md")
    page = (tmp_path / "out" / "reproduction.md").read_text()
    assert "`critlearn reproduce --quick`" in page
    assert "## Small" in page
    assert "2 runs" in page
    assert "| softsign | bias |" in page
    # The study asks for the bias; weights are counted, too.
    assert "| softsign | weight |" not in page
    assert re.search(r"for \d of 4 distributions, and (\d) of the \1 measured exponents are predicted", page)
    assert "images/reproduction_small.svg" in page
    assert (tmp_path / "out" / "images" / "reproduction_small.svg").is_file()
    assert (tmp_path / "out" / "images" / "reproduction_small.csv").is_file()

    other = STUDY.model_copy(update={"name": "paper-other"})
    ResultsStore(store).register(other, ())
    with pytest.raises(DataError, match="no finished cell"):
        write_reproduction((STUDY, other), store, tmp_path / "second", "critlearn reproduce")
    assert not (tmp_path / "second" / "reproduction.md").exists()


def test_worked_studies_expand() -> None:
    documented = {
        "smoke": 24,
        # 12 activations with an upper bound go with 13 losses, 6 others with 10.
        "exponents": 12 * 13 + 6 * 10,
        "phase-diagram": 2 * 4 * 4 * 4,
        "phase-diagram-full": 4 * 5 * 8 * 5 * 5,
        # Studies have cells in common, which are run once.
        "paper": 132,
        "paper-quick": 27,
        "atlas": 7 * 3,
        "atlas-quick": 7,
    }
    docs = (Path(__file__).parents[2] / "docs" / "studies.md").read_text()
    for name, count in documented.items():
        cells = {cell.name for study in load_studies(shipped_file(name)) for cell in expand(study)}
        assert len(cells) == count
        assert re.search(rf"\| `{name}.yaml` \|.*\| {count} \|", docs)


def test_a_store_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert exit_code(app, ["reproduce", "--quick", "--store", str(tmp_path)]) == 2
    assert "not a store" in capsys.readouterr().err


def test_a_page_that_could_not_be_written_is_refused_before_anything_is_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    arguments = ["reproduce", "--quick", "--store", str(tmp_path / "store"), "--out", str(tmp_path / "file")]
    assert exit_code(app, arguments) == 2
    assert "cannot write to the folder" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
