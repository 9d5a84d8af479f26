"""Conditions on settings: what they mean in a study, they mean in the table of its results."""

import pytest

from critlearn.studies.sweep.study.conditions import parse_condition


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("hidden == 16", (True, False)),
        ('hidden == "16"', (True, False)),
        ("hidden == [16]", (True, False)),
        ("hidden != 16", (False, True)),
        ("hidden == 16-16", (False, True)),
        ("hidden == [16, 16]", (False, True)),
        ("hidden in [16, 32]", (True, False)),
        ("hidden in [16-16, [8]]", (False, True)),
        ("hidden == 1", (False, False)),
        ("hidden == 6", (False, False)),
    ],
)
def test_widths_may_be_written_as_number_text_or_list(text: str, holds: tuple[bool, bool]) -> None:
    condition = parse_condition(text)
    # As settings of a cell, and as columns of a table.
    for rows in (([16], [16, 16]), ((16,), (16, 16)), ("16", "16-16")):
        assert tuple(condition.holds({"hidden": value}) for value in rows) == holds


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [("lr == 1e-3", 0.001, True), ("seed == 1", 1, True), ("seed == 1.0", 1, True), ("certified == true", True, True),
     ("certified == false", True, False), ("seed != 1", None, True), ("seed == 1", None, False),
     ("activation == tanh", "tanh", True)],
)  # fmt: skip
def test_numbers_are_compared_as_numbers(text: str, value: object, holds: bool) -> None:
    assert parse_condition(text).holds({text.split()[0]: value}) is holds
