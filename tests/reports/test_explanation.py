"""What explains a run, in words: numbers of the ladder as they are, what levels mean, and sums in sentences."""

import html
import re
from typing import Any

import pytest

from critlearn.comparison.criteria import DISTANCE, MARGIN
from critlearn.comparison.ladder.anatomy import sum_in_words
from critlearn.reports.explanation import (
    OUTCOMES,
    anatomy_sentence,
    explanation_section,
    ladder_rows,
    level_meanings,
)


def level(
    number: int, agreement: str | None, needed: int | None = None, distance: float | None = 0.04
) -> dict[str, Any]:
    return {
        "level": number, "uses": "", "exponent": 0.587, "exponent_error": 0.01, "distance": distance, "noise": 0.008,
        "p_value": 0.1, "agreement": agreement, "needed": needed,
    }  # fmt: skip


def quantity(*levels: dict[str, Any], composition: float | None = 0.99, cutoff: Any = None) -> dict[str, Any]:
    values = {"composition": composition, "data": -0.456, "path": 0.09, "dependence": -0.013}
    parts = {
        name: None if value is None else {"value": value, "standard_error": 0.01} for name, value in values.items()
    }
    return {
        "measured": {"exponent": 0.611, "ci95": [0.6, 0.622], "cutoff": cutoff},
        "ladder": list(levels),
        "explanation": "explained by margins",
        "anatomy": {**parts, "total": 0.611},
    }


def test_a_row_has_the_numbers_of_every_level() -> None:
    entry = quantity(
        level(0, "disagrees", distance=None), level(1, "cannot tell", 9032), level(2, "agrees"), level(3, None)
    )
    (row,) = ladder_rows({"hidden1.bias": entry})
    assert (row.quantity, row.measured, row.noise) == ("hidden1.bias", "0.61 [0.60, 0.62]", "0.008")
    assert [one.outcome for one in row.levels] == ["disagrees", "cannot tell", "agrees", "identity"]
    assert [one.distance for one in row.levels] == ["", "0.040", "0.040", "0.040"]
    assert [one.needed for one in row.levels] == ["", "9,032", "", ""]
    assert row.level(1) == row.levels[1]


def test_the_third_level_is_said_to_be_no_prediction() -> None:
    meanings = level_meanings({"bias": quantity(level(0, None), level(1, None), level(2, None), level(3, None))})
    assert list(meanings) == [0, 1, 2, 3]
    assert "identity" in meanings[3][1]
    assert "never counted as agreement" in OUTCOMES
    assert f"at most {DISTANCE:g} and its exponent" in OUTCOMES
    assert f"off by at most {MARGIN:g}" in OUTCOMES


def test_without_margins_no_level_speaks_of_them() -> None:
    meanings = level_meanings({"bias": quantity(level(1, None), level(2, None), composition=None)})
    assert not any("margin" in text for pair in meanings.values() for text in pair)


@pytest.mark.parametrize(
    ("composition", "cutoff", "told"),
    [
        (0.99, None, "the composition alone would give 0.99; that small errors are rare takes 0.46; depth adds 0.09; "
         "dependence takes 0.01: together 0.61"),
        (None, {"scale": 0.1}, "composition and data give −0.46; depth adds 0.09; dependence takes 0.01: together −0.38"
         ", below the cut-off"),
    ],
)  # fmt: skip
def test_a_sentence_says_what_adds_up(composition: float | None, cutoff: Any, told: str) -> None:
    assert anatomy_sentence(quantity(composition=composition, cutoff=cutoff)) == told


def test_parts_below_the_digits_of_a_sentence_change_nothing() -> None:
    assert sum_in_words(1.0, 0.004, -0.004, 0.3) == (
        "the composition alone would give 1.00; data changes nothing; depth changes nothing; dependence adds 0.30: "
        "together 1.30"
    )


def test_records_of_earlier_versions_have_no_section() -> None:
    old = {"measured": {"exponent": 1.0}, "agreement": True}
    assert explanation_section({"quantities": {"bias": old}}) is None
    assert anatomy_sentence(old) == ""
    assert ladder_rows({"bias": old}) == []


def test_the_page_of_a_run_has_the_section(study: Any) -> None:
    page = next(study.glob("*/report.html")).read_text()
    section = re.search(r"<h2>What explains it</h2>(.*?)<h2>", page, re.DOTALL)
    assert section is not None
    text = html.unescape(section[1])
    assert "the composition alone would give" in text
    assert OUTCOMES in text
    assert '<th scope="row">bias</th>' in text
