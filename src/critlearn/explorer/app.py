"""The page that Streamlit serves: four tabs, of which only the one in view is drawn."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import streamlit as st

from critlearn.explorer.text import problems_shown

# A title bar, which this page has not, would need the room. Streamlit's greys, of captions, ticks of charts and code,
# have a contrast to the page below 4.5: they take the colour of the text, light or dark.
_STYLE: Final = """
.stMainBlockContainer { padding-top: 2.5rem; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] * { color: inherit !important; opacity: 1; }
.js-plotly-plot .main-svg text { fill: currentColor !important; }
[data-testid="stCode"] .token { color: inherit !important; }
"""


def main() -> None:
    """Draw the page."""
    st.set_page_config(page_title="critlearn explorer", layout="wide")
    st.html(f"<style>{_STYLE}</style>")
    st.title("critlearn explorer")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    tabs = st.tabs(["Compose", "Design", "Runs", "Explain"], on_change="rerun")
    parts: list[Callable[[], None]] = [_compose, _design, lambda: _runs(folder), lambda: _explain(folder)]
    for tab, show in zip(tabs, parts, strict=True):
        if tab.open:
            with tab:
                _part(show)


# A tab is imported when it is first in view: stored runs take PyTorch, for which the first picture need not wait.
def _compose() -> None:
    from critlearn.explorer import compose

    compose.show()


def _design() -> None:
    from critlearn.explorer import design_tab

    design_tab.show()


def _runs(folder: Path | None) -> None:
    from critlearn.explorer import runs_tab

    runs_tab.show(folder)


def _explain(folder: Path | None) -> None:
    from critlearn.explorer import explain_tab

    explain_tab.show(folder)


@st.fragment
def _part(show: Callable[[], None]) -> None:
    """A tab, which is drawn again alone when something in it changes."""
    with problems_shown():
        show()


main()
