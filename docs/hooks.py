"""What is made when the site is built: formulas in MathML, so that no page needs the network, and `llms.txt`."""

import re
from html import unescape
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)
_FIRST_PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
_SENTENCE = re.compile(r".*?[.!?](?=\s|$)", re.DOTALL)
_TEX = {r"\lvert": r"\left|", r"\rvert": r"\right|"}
"""Written for TeX, and read for MathML: bars that open and close are fences, without space inside."""
_MATHML = {
    "<mi>&#x0007E;</mi>": "<mo>&#x223C;</mo>",
    "<mi>(&#x0203[2-4];)</mi>": r'<mo lspace="0" rspace="0">\1</mo>',
    r"<mi>(ln|det|dim)</mi>(?!<mo stretchy)": r'<mi>\1</mi><mspace width="0.17em"/>',
}
"""What the converter makes, and what browsers need: relations and primes are operators, functions stand apart."""
_listed: list[Any] = []
"""Items of the navigation; a hook is a module, and keeps between events what it needs here."""
_said: dict[str, str] = {}
"""First sentence of each page, by its address."""


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Turn every formula into MathML, and remember what the page says first."""
    first = _FIRST_PARAGRAPH.search(html)
    text = " ".join(unescape(re.sub(r"<[^>]+>", "", first.group(1))).split()) if first else ""
    sentence = _SENTENCE.match(text)
    _said[page.url] = sentence.group() if sentence else text
    return _FORMULA.sub(_as_mathml, html)


def on_nav(nav: Any, **_: Any) -> None:
    """Remember the navigation, which `llms.txt` follows."""
    _listed[:] = nav.items


def on_post_build(config: Any) -> None:
    """Write `llms.txt`: the pages of the navigation, each with its first sentence, for programs that read."""
    sections = [("Pages", [item for item in _listed if item.is_page])]
    sections += [(item.title, _pages(item)) for item in _listed if not item.is_page]
    lines = [f"# {config.site_name}", "", f"> {config.site_description}"]
    for title, pages in sections:
        lines += ["", f"## {title}", "", *(f"- [{page.title}]({page.url}): {_said[page.url]}" for page in pages)]
    Path(config.site_dir, "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _pages(item: Any) -> list[Any]:
    """Pages of an item of the navigation, however deep."""
    return [item] if item.is_page else [page for child in item.children for page in _pages(child)]


def _as_mathml(found: re.Match[str]) -> str:
    text = unescape(found.group(2)).strip()
    display = "block" if found.group(1) == "div" else "inline"
    for tex, other in _TEX.items():
        text = text.replace(tex, other)
    made = convert(
        text.removeprefix("\\(").removesuffix("\\)").removeprefix("\\[").removesuffix("\\]"), display=display
    )
    for element, right in _MATHML.items():
        made = re.sub(element, right, made)
    return made
