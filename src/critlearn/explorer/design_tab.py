"""Tab *Design*: an exponent in; loss, activation, gradient and PyTorch code out."""

import streamlit as st

from critlearn.compositions.activations import ACTIVATIONS
from critlearn.design import design
from critlearn.explorer.picture import show as show_picture
from critlearn.explorer.picture import told
from critlearn.reports.design_figure import design_figure
from critlearn.reports.illustration import Illustration

_NEITHER = "margin (no activation)"
_LOSSES = ("bce", "mse", "mae")


def show() -> None:
    """Draw the tab."""
    controls, results = st.columns([1, 2])
    with controls:
        exponent = st.slider("Exponent k", -2.0, 3.0, 1.5, 0.05)
        kind = str(st.selectbox("Design", ["a loss", "an activation for a loss"]))
        activation = loss = None
        if kind == "a loss":
            chosen = str(st.selectbox("for the output of", [_NEITHER, *ACTIVATIONS]))
            activation = None if chosen == _NEITHER else chosen
        else:
            loss = str(st.selectbox("for the loss", _LOSSES))
    with results:
        made = design(exponent, activation=activation, loss=loss)
        for line in made.summary().splitlines():
            told(line)
        told(f"Checked on what was designed: {made.asymptotic().summary()}")
        show_picture(
            Illustration(
                "design",
                design_figure(made),
                f"Loss and error signal over the margin. {made.summary()}",
                "Left the loss, right its error signal on log-log axes: its slope decides the exponent.",
            ),
            "design",
        )
        st.markdown("**PyTorch**")
        st.code(code(exponent, activation, loss), language="python")


def code(exponent: float, activation: str | None, loss: str | None) -> str:
    """Program that trains with the design."""
    given = "".join(
        f", {name}={value!r}".replace("'", '"') for name, value in (("activation", activation), ("loss", loss)) if value
    )
    lines = ["import torch", "from critlearn.design import design", "", f"made = design({exponent:g}{given})"]
    if loss:
        lines.append("activation = made.activation_module()")
    lines += [
        "loss = made.loss_module()  # of the pre-activation, with targets -1 and +1",
        "",
        "y = torch.randn(8, requires_grad=True)",
        "loss(y, torch.ones(8)).backward()",
    ]
    return "\n".join(lines)
