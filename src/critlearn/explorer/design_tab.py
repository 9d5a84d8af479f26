"""Tab *Design*: an exponent in; loss, activation, gradient and PyTorch code out."""

from dataclasses import dataclass
from typing import Final

import streamlit as st

from critlearn.compositions.catalogue.activations import ACTIVATIONS
from critlearn.explorer.patience import PATIENCE, within
from critlearn.explorer.picture import Picture, drawn
from critlearn.explorer.picture import show as show_picture
from critlearn.explorer.text import problems_told, told
from critlearn.figures.illustration import Illustration
from critlearn.inverse_design import design
from critlearn.reports.design_figure import design_figure

_NEITHER: Final = "margin (no activation)"
_LOSSES: Final = ("bce", "mse", "mae")
_KINDS: Final = ("a loss", "an activation for a loss")


@dataclass(frozen=True)
class Wanted:
    """What is designed: a loss, for an activation or for the margin alone; or an activation for a loss."""

    exponent: float
    activation: str | None
    loss: str | None


@dataclass(frozen=True, eq=False)
class Made:
    """The design, as it is shown."""

    sentences: tuple[str, ...]
    picture: Picture


def show() -> None:
    """Draw the tab."""
    controls, results = st.columns([1, 2])
    with controls:
        wanted = _wanted()
    with results, problems_told():
        with st.spinner(f"Designing (given up after {PATIENCE:g} seconds) …", show_time=True):
            made = _designed(wanted)
        for sentence in made.sentences:
            told(sentence)
        show_picture(made.picture, "design")
        st.markdown("**PyTorch**")
        st.code(code(wanted.exponent, wanted.activation, wanted.loss), language="python")


def _wanted() -> Wanted:
    """What the controls say; they keep it while another tab is in view."""
    exponent = st.slider("Exponent k", -2.0, 3.0, 1.5, 0.05, key="exponent", persist_state="session")
    if st.selectbox("Design", _KINDS, key="kind", persist_state="session") == _KINDS[0]:
        chosen = st.selectbox("for the output of", [_NEITHER, *ACTIVATIONS], key="output", persist_state="session")
        return Wanted(exponent, None if chosen == _NEITHER else chosen, None)
    return Wanted(exponent, None, st.selectbox("for the loss", _LOSSES, key="loss", persist_state="session"))


@st.cache_data(max_entries=200, show_spinner=False)
def _designed(wanted: Wanted) -> Made:
    return within(PATIENCE, lambda: _design(wanted))


def _design(wanted: Wanted) -> Made:
    made = design(wanted.exponent, activation=wanted.activation, loss=wanted.loss)
    summary = made.summary()
    picture = Illustration(
        "design",
        design_figure(made),
        f"Loss and error signal over the margin. {summary}",
        "Left the loss, right its error signal on log-log axes: its slope decides the exponent.",
    )
    checked = f"Checked on what was designed: {made.asymptotic().summary()}"
    return Made((*summary.splitlines(), checked), drawn(picture))


def code(exponent: float, activation: str | None, loss: str | None) -> str:
    """Program that trains with the design."""
    given = "".join(
        f", {name}={value!r}".replace("'", '"') for name, value in (("activation", activation), ("loss", loss)) if value
    )
    lines = ["import torch", "from critlearn.inverse_design import design", "", f"made = design({exponent:g}{given})"]
    if loss:
        lines.append("activation = made.activation_module()")
    lines += [
        "loss = made.loss_module()  # of the pre-activation, with targets -1 and +1",
        "",
        "y = torch.randn(8, requires_grad=True)",
        "loss(y, torch.ones(8)).backward()",
    ]
    return "\n".join(lines)
