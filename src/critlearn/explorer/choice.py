"""Choice of an activation, a loss or a density: a name from a list, or an expression."""

from typing import Final

import streamlit as st

EXPRESSION: Final = "expression …"
"""Entry of the list that asks for an expression."""


def choice(label: str, names: list[str], first: str, example: str) -> str:
    """A name of the list, or the expression that is typed.

    Parameters
    ----------
    label
        What is chosen.
    names, first
        Names of the list, and the one that is chosen at first.
    example
        Expression that stands in the field at first.
    """
    options = [*names, EXPRESSION]
    chosen = str(st.selectbox(label, options, index=names.index(first), key=label, persist_state="session"))
    if chosen != EXPRESSION:
        return chosen
    return st.text_input(
        f"{label}: expression",
        value=example,
        help="Read by a grammar; never run as code.",
        key=f"{label}: expression",
        persist_state="session",
    )
