"""Text on the page as it stands: in Markdown stars would be lost, and dollars would make formulas."""

import re
import string
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import streamlit as st

from critlearn.errors import CritlearnError

_MARKUP: Final = re.compile(f"([{re.escape(string.punctuation)}])")


def as_it_stands(text: str) -> str:
    r"""Markdown that shows a text as it stands, on one line, for what takes nothing but Markdown.

    >>> print(as_it_stands("WEIGHT*FAMILY, __import__"))
    WEIGHT\*FAMILY\, \_\_import\_\_
    """
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def write_plain(text: str) -> None:
    """Write a text without Markdown."""
    st.text(text)


@contextmanager
def problems_shown() -> Iterator[None]:
    """Show an error of the user's input where its result would stand."""
    try:
        yield
    except CritlearnError as problem:
        st.error(as_it_stands(str(problem)))
