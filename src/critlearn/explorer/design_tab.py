"""Tab *Design*: an exponent in; loss, activation, gradient and PyTorch code out."""

from dataclasses import dataclass
from typing import Final

import streamlit as st

from critlearn.compositions.catalogue.activations import ACTIVATIONS
from critlearn.explorer.choice import choice
from critlearn.explorer.patience import PATIENCE, within
from critlearn.explorer.pictures.picture import Picture, drawn
from critlearn.explorer.pictures.picture import show as show_picture
from critlearn.explorer.text import problems_shown, write_plain
from critlearn.figures.illustration import Illustration
from critlearn.inverse_design import design
from critlearn.reports.design_figure import design_figure

_NEITHER: Final = "margin (no activation)"
_LOSSES: Final = ("bce", "mse", "mae")
_KINDS: Final = ("a loss", "an activation for a loss")


@dataclass(frozen=True)
class Request:
    """What the controls ask for: a loss, for an activation or for the margin alone; or an activation for a loss."""

    exponent: float
    activation: str | None
    loss: str | None


@dataclass(frozen=True, eq=False)
class Answer:
    """The design as the tab shows it."""

    sentences: tuple[str, ...]
    picture: Picture


def show() -> None:
    """Draw the tab."""
    controls, results = st.columns([1, 2])
    with controls:
        request = _request()
    with results, problems_shown():
        with st.spinner(f"Designing (given up after {PATIENCE:g} seconds) …", show_time=True):
            made = _designed(request)
        for sentence in made.sentences:
            write_plain(sentence)
        show_picture(made.picture, "design")
        st.markdown("**PyTorch**")
        st.code(code(request.exponent, request.activation, request.loss), language="python")


def _request() -> Request:
    """Values of the controls, which keep them while another tab is in view."""
    exponent = st.slider("Exponent k", -2.0, 3.0, 1.5, 0.05, key="exponent", persist_state="session")
    if st.selectbox("Design", _KINDS, key="kind", persist_state="session") == _KINDS[0]:
        chosen = choice("for the output of", [_NEITHER, *ACTIVATIONS], _NEITHER, "y/(1+abs(y))")
        return Request(exponent, None if chosen == _NEITHER else chosen, None)
    return Request(exponent, None, st.selectbox("for the loss", _LOSSES, key="loss", persist_state="session"))


@st.cache_data(max_entries=200, show_spinner=False)
def _designed(request: Request) -> Answer:
    return within(PATIENCE, lambda: _design(request))


def _design(request: Request) -> Answer:
    made = design(request.exponent, activation=request.activation, loss=request.loss)
    summary = made.summary()
    picture = Illustration(
        "design",
        design_figure(made),
        f"Loss and error signal over the margin. {summary}",
        "Left the loss, right its error signal on log-log axes: its slope decides the exponent.",
    )
    checked = f"Checked on what was designed: {made.asymptotic().summary()}"
    return Answer((*summary.splitlines(), checked), drawn(picture))


def code(exponent: float, activation: str | None, loss: str | None) -> str:
    """Program that trains with the design."""
    arguments = "".join(
        f", {name}={value!r}".replace("'", '"') for name, value in (("activation", activation), ("loss", loss)) if value
    )
    lines = [
        "import torch",
        "from critlearn.inverse_design import design",
        "",
        f"made = design({exponent:g}{arguments})",
    ]
    if loss:
        lines.append("activation = made.activation_module()")
    lines += [
        "loss = made.loss_module()  # of the pre-activation, with targets -1 and +1",
        "",
        "y = torch.randn(8, requires_grad=True)",
        "loss(y, torch.ones(8)).backward()",
    ]
    return "\n".join(lines)
