"""Formulas become MathML when the site is built, so that pages need neither a script nor the network."""

import re
from html import unescape
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)


def on_page_content(html: str, **_: Any) -> str:
    """Turn every formula into MathML."""
    return _FORMULA.sub(_as_mathml, html)


def _as_mathml(found: re.Match[str]) -> str:
    text = unescape(found.group(2)).strip()
    display = "block" if found.group(1) == "div" else "inline"
    return convert(
        text.removeprefix("\\(").removesuffix("\\)").removeprefix("\\[").removesuffix("\\]"), display=display
    )
