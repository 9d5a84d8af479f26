"""Pictures in the explorer: a chart with a description, the numbers behind it, and files to keep."""

import hashlib
from dataclasses import dataclass
from html import escape
from typing import Final

import pandas as pd
import streamlit as st

from critlearn.explorer.pictures.interactive import Chart, interactive
from critlearn.figures.illustration import Illustration

_BUTTONS: Final = {"displaylogo": False, "responsive": True}
"""Settings of Plotly: no mark of its maker, and charts that follow the width of the page."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An illustration that is drawn: plain values, which the page can keep."""

    name: str
    svg: bytes
    chart: Chart
    data: pd.DataFrame
    alternative: str
    caption: str


def drawn(illustration: Illustration) -> Picture:
    """Picture of an illustration."""
    return Picture(
        illustration.name,
        illustration.image("svg"),
        interactive(illustration.figure),
        illustration.data(),
        illustration.alternative,
        illustration.caption,
    )


def show(picture: Picture, key: str) -> None:
    """Show a picture with its caption, its numbers in a table, and the picture and its numbers to download."""
    made = hashlib.sha256(picture.svg).hexdigest()[:16]
    # What screen readers say of the chart, which is none of their concern.
    st.markdown(
        f'<span role="img" data-picture="{key}" data-made="{made}" style="display:block;height:1px" '
        f'aria-label="{escape(picture.alternative)}"></span>',
        unsafe_allow_html=True,
    )
    st.plotly_chart(picture.chart, key=f"{key}-chart", config=dict(_BUTTONS))
    st.caption(picture.caption.replace("$", r"\$"))
    show_numbers(picture.name, picture.data, key, picture.svg)


def show_numbers(name: str, data: pd.DataFrame, key: str, svg: bytes | None = None) -> None:
    """Numbers of a picture in a table, and to download, with the picture itself if there is a file of it."""
    with st.expander("Numbers of this picture"):
        st.dataframe(data, height=240)
        st.download_button("CSV", data.to_csv(index=False), file_name=f"{name}.csv", mime="text/csv", key=f"{key}-csv")
        if svg is not None:
            st.download_button("SVG", svg, file_name=f"{name}.svg", mime="image/svg+xml", key=f"{key}-svg")
