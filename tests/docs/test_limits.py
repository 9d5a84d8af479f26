"""Figures on the page of limits are those of the measured pages that it links to, so that neither is left behind."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
ROWS = [row for row in (DOCS / "limits.md").read_text(encoding="utf-8").splitlines() if "**" in row]


@pytest.mark.parametrize("row", ROWS)
def test_a_figure_stands_on_the_page_that_is_linked(row: str) -> None:
    (page,) = re.findall(r"\]\((\w+\.md)\)", row)
    measured = (DOCS / page).read_text(encoding="utf-8")
    for figure in re.findall(r"\*\*(.+?)\*\*", row):
        assert re.search(rf"(?<![\w.]){re.escape(figure)}(?![\w.]*\d)", measured), f"{figure} stands not on {page}"
