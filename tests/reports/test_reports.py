"""Pages of one run and of many: made again from stored numbers, whole, and readable without their pictures."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from critlearn.cli.main import app, exit_code
from critlearn.errors import DataError
from critlearn.studies.runs.table import runs_table


class _Page(HTMLParser):
    """Images, and whatever would be loaded from elsewhere or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.tags.append(tag)
        if tag == "img":
            self.images.append(given)
        self.loaded += [value for name in ("src", "href") if (value := given.get(name))]


def test_the_page_of_a_run_is_made_again_from_stored_numbers(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sorted(path for path in study.iterdir() if path.is_dir())[0]
    before = (folder / "report.html").read_text()
    (folder / "report.html").unlink()
    assert exit_code(app, ["report", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert (folder / "report.html").read_text() == before


def test_a_page_needs_nothing_else_and_no_eyes(study: Path) -> None:
    exit_code(app, ["report", str(study)])
    for path in sorted(study.rglob("report.html")):
        page = _Page(text := path.read_text())
        assert "script" not in page.tags
        assert all(source.startswith("data:") for source in page.loaded)
        assert all(len(str(image["alt"])) > 20 for image in page.images)
        # Behind every figure a table.
        assert text.count("Numbers of this figure") == len(page.images) == page.tags.count("figcaption")
        assert page.images


def test_a_page_tells_every_setting_and_the_command(study: Path) -> None:
    folder = sorted(path for path in study.iterdir() if path.is_dir())[0]
    record = json.loads((folder / "run.json").read_text())
    page = (folder / "report.html").read_text()
    for name in record["config"]:
        assert f'<th scope="row">{name}</th>' in page
    assert "critlearn run toy --activation" in page
    for quantity in record["quantities"].values():
        plain = re.sub("δ<sup>(.*?)</sup>", r"delta^\1", page).replace("\N{MINUS SIGN}", "-")
        assert re.sub("&", "&amp;", quantity["statement"]).split("<")[0] in plain


def test_figures_are_exported_with_their_numbers(study: Path, tmp_path: Path) -> None:
    folder = sorted(path for path in study.iterdir() if path.is_dir())[0]
    assert exit_code(app, ["report", str(folder), "--figures", str(tmp_path)]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    for suffix in ("svg", "pdf", "png", "csv"):
        assert f"bias.{suffix}" in names
    table = pd.read_csv(tmp_path / "bias.csv")
    measured = table[table["series"] == "measured"].dropna(subset=table.columns[2])
    # The density integrates to 1: bins of a twentieth of a decade, in decimal logarithms.
    size, density = (10.0 ** measured[name].to_numpy() for name in table.columns[1:3])
    width = np.diff(np.log(size)).min()
    assert (size * density).sum() * width == pytest.approx(1, abs=0.01)


def test_an_unknown_format_is_refused(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = next(path for path in study.iterdir() if path.is_dir())
    assert exit_code(app, ["report", str(folder), "--figures", str(tmp_path / "new"), "--format", "gif"]) == 2
    assert "svg, pdf, png" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(app, ["report", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
    with pytest.raises(DataError):
        runs_table(tmp_path)
