"""The page that Streamlit serves: three tabs, and the one place where bad input becomes a message."""

import sys
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from critlearn.errors import CritlearnError
from critlearn.explorer import compose, design_tab, runs_tab


def main() -> None:
    """Draw the page."""
    st.set_page_config(page_title="critlearn explorer", layout="wide")
    st.title("critlearn explorer")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    tabs = st.tabs(["Compose", "Design", "Runs"])
    parts: list[Callable[[], None]] = [compose.show, design_tab.show, lambda: runs_tab.show(folder)]
    for tab, show in zip(tabs, parts, strict=True):
        with tab:
            try:
                show()
            except CritlearnError as problem:
                st.error(str(problem))


main()
