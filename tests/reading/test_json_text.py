"""JSON from anybody: bounded, and free of what could not be printed or compared afterwards."""

import json

import pytest

from critlearn.errors import DataError
from critlearn.reading import json_text
from critlearn.reading.json_text import parsed_json
from critlearn.reading.limits import DEEPEST


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": ' * 5000 + "1" + "}" * 5000, f"nested more than {DEEPEST} levels deep"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", f"nested more than {DEEPEST} levels deep"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", f"nested more than {DEEPEST} levels deep"),
        ('{"a": ' + "1" * 5000 + "}", "is not JSON"),
        ('{"a": ' + "1" * 50 + "}", "whole number of more than 64 bits"),
        ('{"a": 1e999}', "not finite"),
        ('{"a": [NaN]}', "not finite"),
        ('{"a": {"b": -Infinity}}', "not finite"),
        (r'{"a": "\ud800"}', "half a character"),
        (r'{"\udfff": 1}', "half a character"),
        ("[1]", "is not an object"),
        ("", "is not JSON"),
        ("{", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
    ],
    ids=str,
)
def test_what_is_hostile_is_refused_in_one_line(text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        parsed_json(text, "it")
    assert "\n" not in str(caught.value)


def test_values_are_counted_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: object) -> None:
        raise AssertionError("it was parsed")

    monkeypatch.setattr(json_text.json, "loads", never)
    for part in ("[],", "{},", "1,"):
        with pytest.raises(DataError, match="more than 4,000,000 values"):
            parsed_json(part * 4_000_001, "it")
    with pytest.raises(DataError, match="at most 64 are read"):
        parsed_json(" " * ((64 << 20) + 1), "it")


def test_a_record_is_what_json_reads() -> None:
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": {}, "d": -(2**62)}}
    assert parsed_json(json.dumps(value), "it") == value
