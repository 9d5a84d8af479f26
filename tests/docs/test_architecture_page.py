"""The page on the architecture is true: its picture is that of the imports, and what it names is there."""

import ast
import re
from pathlib import Path
from types import ModuleType

import pytest

from reference.validation_scripts import module_of

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "critlearn"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILES = sorted(set(re.findall(r"`([\w./]+\.(?:py|md|toml))`", PAGE)))
NAMED = sorted(set(re.findall(r"`(\w+)` (?:in|of) `([\w/]+\.py)`", PAGE)))


def _script() -> ModuleType:
    return module_of(ROOT / "docs" / "make_architecture.py", "make_architecture")


def test_the_picture_is_that_of_the_imports() -> None:
    script = _script()
    assert script.PICTURE.read_text(encoding="utf-8") == script.picture(), "run: python docs/make_architecture.py"


def test_arrows_are_imports_that_stand_in_the_files() -> None:
    picture = (ROOT / "docs" / "images" / "architecture.svg").read_text(encoding="utf-8")
    arrows = re.findall(r"<title>(\w+) imports (\w+)</title>", picture)
    assert len(arrows) > 15
    for package, imported in arrows:
        place = SOURCE / package
        files = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
        text = "\n".join(path.read_text(encoding="utf-8") for path in files)
        assert re.search(rf"(from|import) critlearn\.{imported}\b", text), (package, imported)


@pytest.mark.parametrize("file", FILES)
def test_every_file_that_is_named_is_there(file: str) -> None:
    places = [base / file for base in (SOURCE, ROOT)]
    if file == "criteria.py":
        places = list(SOURCE.glob("*/criteria.py"))
    assert any(place.is_file() for place in places)


@pytest.mark.parametrize(("name", "file"), NAMED)
def test_every_name_stands_in_the_file_that_is_given_for_it(name: str, file: str) -> None:
    tree = ast.parse((SOURCE / file).read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    assert name in found


def test_every_package_has_its_line() -> None:
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert packages <= set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert len(NAMED) > 30
