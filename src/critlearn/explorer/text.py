"""Text shown literally: Markdown would drop its stars and turn its dollars into formulas."""

import re
import string
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import streamlit as st

from critlearn.errors import CritlearnError

_MARKUP: Final = re.compile(f"([{re.escape(string.punctuation)}])")


def as_it_stands(text: str) -> str:
    r"""Escape a text, put on one line, so that an element that takes only Markdown shows it unchanged.

    >>> print(as_it_stands("WEIGHT*FAMILY, __import__"))
    WEIGHT\*FAMILY\, \_\_import\_\_
    """
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def write_plain(text: str) -> None:
    """Write a text without Markdown."""
    st.text(text)


@contextmanager
def problems_shown() -> Iterator[None]:
    """Show an error in the user's input in place of the result."""
    try:
        yield
    except CritlearnError as problem:
        st.error(as_it_stands(str(problem)))
