"""Choices from lists; of an activation, a loss or a density also as an expression."""

from typing import Any, Final

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


def chosen_from(label: str, options: list[str], *, index: int = 0, **further: Any) -> str:
    """Select box whose choice is kept while it is one of the options."""
    if st.session_state.get(label, options[0]) not in options:
        del st.session_state[label]
    return str(st.selectbox(label, options, index=index, key=label, persist_state="session", **further))
