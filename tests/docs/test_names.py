"""Names of critlearn that pages and scripts use are there: what nobody runs in the tests goes stale unseen."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import critlearn

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = ("benchmarks", "validation", "docs", "paper")
SCRIPTS = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py"))]


def _is_there(dotted: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    found: object = critlearn
    path = "critlearn"
    for part in dotted.split(".")[1:]:
        path += f".{part}"
        if not hasattr(found, part):
            try:
                importlib.import_module(path)
            except ModuleNotFoundError:
                return False
        found = getattr(found, part)
    return True


def _imported(code: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "critlearn":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_scripts_import_is_there(script: Path) -> None:
    assert [name for name in _imported(script.read_text(encoding="utf-8")) if not _is_there(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_pages_name_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = [f"critlearn.{name}" for name in re.findall(r"\bcl\.(\w+)", text)]
    named += re.findall(r"(?<![./\w\[-])critlearn\.[A-Za-z][\w.]*\w", text)
    for code in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        named += _imported(code)
    assert [name for name in named if not _is_there(name)] == []
