"""The page that Streamlit serves: four tabs, of which only the one in view is drawn."""

import sys
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from critlearn.explorer import compose, design_tab, explain_tab, runs_tab
from critlearn.explorer.text import problems_shown


def main() -> None:
    """Draw the page."""
    st.set_page_config(page_title="critlearn explorer", layout="wide")
    # A title bar, which this page has not, would need the room.
    st.html("<style>.stMainBlockContainer { padding-top: 2.5rem; }</style>")
    st.title("critlearn explorer")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    tabs = st.tabs(["Compose", "Design", "Runs", "Explain"], on_change="rerun")
    parts: list[Callable[[], None]] = [
        compose.show,
        design_tab.show,
        lambda: runs_tab.show(folder),
        lambda: explain_tab.show(folder),
    ]
    for tab, show in zip(tabs, parts, strict=True):
        if tab.open:
            with tab:
                _part(show)


@st.fragment
def _part(show: Callable[[], None]) -> None:
    """A tab, which is drawn again alone when something in it changes."""
    with problems_shown():
        show()


main()
