"""Pictures in the explorer: SVG with a description, the numbers behind it, and a file to keep."""

import base64
from dataclasses import dataclass
from html import escape
from typing import Final

import pandas as pd
import streamlit as st

from critlearn.figures.illustration import Illustration

_LOOK: Final = "width:100%;max-width:44rem;background:#fff;border-radius:4px"


@dataclass(frozen=True, eq=False)
class Picture:
    """An illustration that is drawn: plain values, which the page can keep."""

    name: str
    svg: bytes
    data: pd.DataFrame
    alternative: str
    caption: str


def drawn(illustration: Illustration) -> Picture:
    """Picture of an illustration."""
    return Picture(
        illustration.name,
        illustration.image("svg"),
        illustration.data(),
        illustration.alternative,
        illustration.caption,
    )


def show(picture: Picture, key: str) -> None:
    """Show a picture with its caption, its numbers in a table, and its data to download."""
    source = base64.b64encode(picture.svg).decode("ascii")
    st.markdown(
        f'<figure style="margin:0"><img data-picture="{key}" src="data:image/svg+xml;base64,{source}" '
        f'alt="{escape(picture.alternative)}" style="{_LOOK}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>",
        unsafe_allow_html=True,
    )
    show_numbers(picture.name, picture.data, key)


def show_numbers(name: str, data: pd.DataFrame, key: str) -> None:
    """Numbers of a picture in a table, and to download."""
    with st.expander("Numbers of this picture"):
        st.dataframe(data, height=240)
        st.download_button("CSV", data.to_csv(index=False), file_name=f"{name}.csv", mime="text/csv", key=f"{key}-csv")
