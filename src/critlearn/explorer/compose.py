"""Tab *Compose*: activation, loss and density in; predicted density, exponent, window and caustics out."""

import numpy as np
import streamlit as st
import sympy as sp

from critlearn.compositions import Composition
from critlearn.compositions.activations import ACTIVATIONS
from critlearn.compositions.losses import loss_names
from critlearn.errors import InvalidInputError
from critlearn.explorer.picture import show as show_picture
from critlearn.explorer.picture import told
from critlearn.prediction import MarginDensity, Prediction, density_from, predict_toy
from critlearn.reports.composition_figures import parts_figure, predicted_density_figure
from critlearn.reports.illustration import Illustration

_OWN = "expression …"
_DENSITIES = ("uniform(-0.3,2.3)", "normal(1,1)", "laplace(1,0.7)", "0.5*normal(0,1)+0.5*normal(2,0.5)")
_SAMPLES = 20_000


def show() -> None:
    """Draw the tab."""
    controls, results = st.columns([1, 2])
    with controls:
        activation = _choice("Activation", list(ACTIVATIONS), "softsign", "y/(1+abs(y)**3)**(1/3)")
        losses = [name for name in loss_names() if name != "power:p"]
        loss = _choice("Loss", losses, "mse", "abs(e)**3")
        density = _choice("Density of the input x", list(_DENSITIES), _DENSITIES[0], "0.5*t(3)+0.5*laplace(1,2)")
        weight = st.slider("Weight w", 0.5, 10.0, 4.0, 0.1)
        bias = st.slider("Bias b", -2.0, 2.0, 0.0, 0.1)
        variable = st.radio("Fluctuations of", ["bias", "weight"], horizontal=True)
        sample = st.button(f"Sample {_SAMPLES:,} inputs")
    with results:
        composition = Composition(activation, loss)
        prediction = predict_toy(composition, _density(density), weight, bias)[variable]
        drawn = prediction.distribution.rvs(_SAMPLES, np.random.default_rng(0)) if sample else None
        _told(composition, prediction)
        _pictures(composition, prediction, drawn)


def _choice(label: str, names: list[str], first: str, example: str) -> str:
    """A name of the catalogue, or an expression, which the project's grammar reads."""
    chosen = str(st.selectbox(label, [*names, _OWN], index=names.index(first)))
    if chosen != _OWN:
        return chosen
    return st.text_input(f"{label}: expression", value=example, help="Read by a grammar; never run as code.")


def _density(text: str) -> MarginDensity:
    """Density in words; files are for the command line."""
    if ".csv" in text.lower():
        raise InvalidInputError("the explorer reads no files: use critlearn predict --density FILE.csv:COLUMN")
    return density_from(text)


def _told(composition: Composition, prediction: Prediction) -> None:
    told(f"{composition.name}: {composition.asymptotic().summary()}")
    told(f"With these inputs: {prediction.summary()}")
    for caustic in prediction.caustics:
        told(f"Caustic: {caustic.summary()}")
    form = composition.activation.value
    if form is not None:
        st.latex(rf"f(y) = {sp.latex(form)},\quad y \geq 0")
    st.latex(r"k(\delta) = \kappa(y) - \frac{(\ln p)'}{\lambda'},\quad \kappa = 1 + \frac{\lambda''}{\lambda'^2}")


def _pictures(composition: Composition, prediction: Prediction, drawn: np.ndarray | None) -> None:
    said = f"{composition.name}: {prediction.summary()}"
    show_picture(
        Illustration(
            "density",
            predicted_density_figure(prediction, drawn),
            f"Predicted density of fluctuations on log-log axes. {said}",
            "Predicted density: straight where a power law holds. Dotted lines are caustics.",
        ),
        "compose-density",
    )
    show_picture(
        Illustration(
            "parts",
            parts_figure(prediction),
            f"Local exponent with its two parts. {said}",
            "Local exponent, and its two parts: what the composition gives, and what the data take away.",
        ),
        "compose-parts",
    )
