"""The list of slow tests names tests that are there: one that is renamed would be run with the quick ones."""

import ast
from pathlib import Path

TESTS = Path(__file__).parent


def test_every_listed_test_is_there() -> None:
    listed = (TESTS / "slow_tests.txt").read_text(encoding="utf-8").split()
    assert listed == sorted(set(listed))
    missing = []
    for name in listed:
        file, _, function = name.partition("::")
        path = TESTS.parent / file
        code = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
        if function not in {node.name for node in code.body if isinstance(node, ast.FunctionDef)}:
            missing.append(name)
    assert missing == [], "renamed or gone: correct tests/slow_tests.txt, or write it anew with pytest --write-slow"
