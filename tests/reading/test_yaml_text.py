"""YAML from anybody: counted before it is expanded, refused in one line, and read as PyYAML reads it otherwise."""

import time

import pytest
import yaml

from critlearn.errors import DataError
from critlearn.reading.limits import DEEPEST, MOST_NODES
from critlearn.reading.yaml_text import parsed_yaml

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)
)
MERGES = "a0: &a0 {k: 1, l: 2}\n" + "".join(
    f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 10)}], k{level}: 1}}\n" for level in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, f"more than {MOST_NODES:,} values, with aliases written out .line 5, "),
        (MERGES, f"more than {MOST_NODES:,} values"),
        ("[" + "1," * MOST_NODES + "1]", f"more than {MOST_NODES:,} values"),
        ("[" * 5000, f"more than {DEEPEST} levels"),
        ("[" * 5000 + "]" * 5000, f"more than {DEEPEST} levels"),
        ("{a: " * 5000, f"more than {DEEPEST} levels"),
        ("- " * 5000 + "1", f"more than {DEEPEST} levels"),
        ("? " * 5000 + "1", f"more than {DEEPEST} levels"),
        ("a: &a [*a]", "an alias stands inside what it names"),
        ("&a {b: {c: *a}}", "an alias stands inside what it names"),
        ("a: *b", "undefined alias"),
        ("a: 2020-13-45", '"2020-13-45" is no timestamp .text stands in quotes. .line 1, column 4'),
        ("a: 2020-02-30T00:00:00+99:99", "is no timestamp"),
        ("a: !!int abc", '"abc" is no int'),
        ("a: !!float abc", '"abc" is no float'),
        ("a: !!bool abc", '"abc" is no bool'),
        ("a: !!timestamp abc", '"abc" is no timestamp'),
        ("a: !!int", "is no int"),
        ("a: !!binary é", "not YAML"),
        ("a: !!map [1]", "not YAML"),
        ("a: !!omap {b: 1}", "not YAML"),
        ("a: " + "1" * 5000, "a number of more than 100 characters"),
        ("a: 0x" + "f" * 5000, "a number of more than 100 characters"),
        ("a: 1" + "_0" * 500, "a number of more than 100 characters"),
        ("a: " + "1:" * 500 + "1", "a number of more than 100 characters"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("{[]: 1}", "unhashable key"),
        ("a: \x1b[31m", "special characters are not allowed"),
        ("# " + "x" * (1 << 20), "characters of YAML; at most"),
        ("a: 'b", "unexpected end of stream"),
    ],
)
def test_what_is_hostile_is_refused_in_one_line_and_at_once(text: str, message: str) -> None:
    start = time.process_time()
    with pytest.raises(DataError, match=message) as caught:
        parsed_yaml(text, "it")
    assert "\n" not in str(caught.value)
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, 2.5, x]\nb: {c: null}\n",
        "base: &b {lr: 0.1}\none: {<<: *b, seed: 1}\ntwo: *b\n",
        "a: 1\n---\nb: 2\n",
        "",
        "a: 2020-11-30\nb: 0x10\nc: 1e-3\nd: 'e'\n",
        "- " * (DEEPEST - 1) + "1",
    ],
)
def test_what_is_plain_is_what_pyyaml_reads(text: str) -> None:
    assert [document.content for document in parsed_yaml(text, "it")] == list(yaml.safe_load_all(text))
