"""Pictures in the explorer: SVG with a description, the numbers behind it, and a file to keep."""

import base64
import re
from html import escape
from typing import Final

import streamlit as st

from critlearn.reports.illustration import Illustration

_LOOK: Final = "width:100%;max-width:44rem;background:#fff;border-radius:4px"


def told(text: str) -> None:
    """Write text as it stands: in Markdown a product of stars would turn bold."""
    st.markdown(re.sub(r"([\\`*_{}\[\]()#+.!~$|<>-])", r"\\\1", text))


def show(illustration: Illustration, key: str) -> None:
    """Show a picture with its caption, its numbers in a table, and its data to download."""
    source = base64.b64encode(illustration.image("svg")).decode("ascii")
    st.markdown(
        f'<figure style="margin:0"><img data-picture="{key}" src="data:image/svg+xml;base64,{source}" '
        f'alt="{escape(illustration.alternative)}" style="{_LOOK}">'
        f"<figcaption>{escape(illustration.caption)}</figcaption></figure>",
        unsafe_allow_html=True,
    )
    with st.expander("Numbers of this picture"):
        data = illustration.data()
        st.dataframe(data, height=240)
        st.download_button(
            "CSV", data.to_csv(index=False), file_name=f"{illustration.name}.csv", mime="text/csv", key=f"{key}-csv"
        )
