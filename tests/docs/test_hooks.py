"""Hooks of the documentation: formulas become MathML, and `llms.txt` lists every page of the navigation."""

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from reference.validation_scripts import module_of

HOOKS = Path(__file__).parents[2] / "docs" / "hooks.py"


@pytest.fixture
def hooks() -> ModuleType:
    return module_of(HOOKS, "hooks")


def _page(title: str, url: str) -> Any:
    return SimpleNamespace(title=title, url=url, is_page=True)


def test_a_formula_is_mathml_with_fences_and_relations(hooks: ModuleType) -> None:
    formula = r'<p><span class="arithmatex">\(\lvert y \rvert \sim \delta^{-k}\)</span></p>'
    made = ElementTree.fromstring(hooks.on_page_content(formula, page=_page("Theory", "theory.html")))
    name = "{http://www.w3.org/1998/Math/MathML}"
    operators = [element for element in made.iter(f"{name}mo")]
    assert [element.text for element in operators] == ["|", "|", "∼", "−"]
    assert [element.get("form") for element in operators[:2]] == ["prefix", "postfix"]
    (power,) = made.iter(f"{name}msup")
    assert power[0].text == "δ"


def test_pages_are_listed_with_what_they_say_first(hooks: ModuleType, tmp_path: Path) -> None:
    deep = SimpleNamespace(title="Inner", is_page=False, children=[_page("Third", "c/d.html")])
    section = SimpleNamespace(title="Section", is_page=False, children=[_page("Second", "b.html"), deep])
    hooks.on_nav(SimpleNamespace(items=[section, _page("First", "a.html")]))
    for url, text in {
        "a.html": "One. Two.",
        "b.html": "Half a <em>sentence</em>:",
        "c/d.html": "k = 1.5 is one.",
    }.items():
        hooks.on_page_content(f"<h1>x</h1><p>{text}</p><p>More.</p>", page=_page("", url))
    hooks.on_post_build(SimpleNamespace(site_name="name", site_description="About.", site_dir=str(tmp_path)))
    assert (tmp_path / "llms.txt").read_text(encoding="utf-8").splitlines() == [
        "# name",
        "",
        "> About.",
        "",
        "## Pages",
        "",
        "- [First](a.html): One.",
        "",
        "## Section",
        "",
        "- [Second](b.html): Half a sentence:",
        "- [Third](c/d.html): k = 1.5 is one.",
    ]
