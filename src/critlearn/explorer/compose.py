"""Tab *Compose*: activation, loss and density in; predicted density, exponent, window and caustics out."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import streamlit as st

from critlearn.compositions import Composition
from critlearn.compositions.catalogue.activations import ACTIVATIONS, SOFTMAX
from critlearn.compositions.catalogue.losses import CROSS_ENTROPY, LOSSES
from critlearn.compositions.named.resolve import composition_of, margin_composition
from critlearn.errors import InvalidInputError
from critlearn.explorer.choice import choice
from critlearn.explorer.formulas import formulas
from critlearn.explorer.patience import PATIENCE, within
from critlearn.explorer.pictures.picture import Picture, drawn
from critlearn.explorer.pictures.picture import show as show_picture
from critlearn.explorer.text import problems_shown, write_plain
from critlearn.figures.illustration import Illustration
from critlearn.figures.prediction import parts_figure, predicted_density_figure
from critlearn.prediction import MarginDensity, Prediction, density_from, predict_toy

_DENSITIES: Final = ("uniform(-0.3,2.3)", "normal(1,1)", "laplace(1,0.7)", "0.5*normal(0,1)+0.5*normal(2,0.5)")
_SAMPLES: Final = 20_000
_SOFTMAX: Final = (
    r"p_i = \frac{e^{y_i}}{\sum_j e^{y_j}}",
    r"H = -\ln p_t",
    r"\left|\frac{dh}{dy_t}\right| = 1 - p_t = \frac{1}{1 + e^m},\quad m = y_t - \ln\sum_{i \neq t} e^{y_i}",
)
"""Formulas of softmax with cross-entropy; in the others ``y`` is its margin ``m``."""

_EXPONENT: Final = (
    r"k(\delta) = \kappa(y) - \frac{(\ln p)'}{\lambda'},\quad \kappa = 1 + \frac{\lambda''}{\lambda'^2},\quad "
    r"\lambda = \ln\left|\frac{dh}{dy}\right|"
)


@dataclass(frozen=True)
class Request:
    """What the controls ask for: a composition, the density of its inputs, and the variable that fluctuates."""

    activation: str
    loss: str
    density: str
    weight: float
    bias: float
    variable: str
    sampled: bool


@dataclass(frozen=True, eq=False)
class Answer:
    """The prediction as the tab shows it."""

    sentences: tuple[str, ...]
    pictures: tuple[Picture, ...]


def show() -> None:
    """Draw the tab."""
    controls, results = st.columns([1, 2])
    with controls:
        request = _request()
    with results, problems_shown():
        # Named by what it is for, so that what is on the page meanwhile is seen to be of before.
        with st.spinner(f"Computing the prediction (given up after {PATIENCE:g} seconds) …", show_time=True):
            answer = _predicted(request)
        for sentence in answer.sentences:
            write_plain(sentence)
        for picture in answer.pictures:
            show_picture(picture, f"compose-{picture.name}")
        with st.expander("Formulas", expanded=True):
            # After the pictures, which need not wait until the formulas are simplified.
            for formula in (*_formulas(request.activation, request.loss), _EXPONENT):
                st.latex(formula)


def _request() -> Request:
    """Values of the controls, which keep them while another tab is in view."""
    return Request(
        activation=choice("Activation", [*ACTIVATIONS, SOFTMAX], "softsign", "y/(1+abs(y)**3)**(1/3)"),
        loss=choice("Loss", [*LOSSES, CROSS_ENTROPY], "mse", "abs(e)**3"),
        density=choice("Density of the input x", list(_DENSITIES), _DENSITIES[0], "0.5*t(3)+0.5*laplace(1,2)"),
        weight=st.slider("Weight w", 0.5, 10.0, 4.0, 0.1, key="weight", persist_state="session"),
        bias=st.slider("Bias b", -2.0, 2.0, 0.0, 0.1, key="bias", persist_state="session"),
        variable=str(
            st.radio("Fluctuations of", ["bias", "weight"], horizontal=True, key="variable", persist_state="session")
        ),
        sampled=st.button(f"Sample {_SAMPLES:,} inputs"),
    )


@st.cache_data(max_entries=200, show_spinner=False)
def _predicted(request: Request) -> Answer:
    return within(PATIENCE, lambda: _prediction(request))


def _prediction(request: Request) -> Answer:
    composition = margin_composition(composition_of(request.activation, request.loss))
    prediction = predict_toy(composition, _density(request.density), request.weight, request.bias)[request.variable]
    sampled = prediction.distribution.rvs(_SAMPLES, np.random.default_rng(0)) if request.sampled else None
    sentences = (
        f"{composition.name}: {composition.asymptotic().summary()}",
        f"With these inputs: {prediction.summary()}",
        *(f"Caustic: {caustic.summary()}" for caustic in prediction.caustics),
    )
    return Answer(sentences, _pictures(composition, prediction, sampled))


@st.cache_data(max_entries=200, show_spinner=False)
def _formulas(activation: str, loss: str) -> tuple[str, ...]:
    """Formulas of the composition."""

    def compute() -> tuple[str, ...]:
        chosen = composition_of(activation, loss)
        return formulas(chosen) if isinstance(chosen, Composition) else _SOFTMAX

    return within(PATIENCE, compute)


def _density(text: str) -> MarginDensity:
    """Density in words; files are for the command line."""
    if ".csv" in text.lower():
        raise InvalidInputError("the explorer reads no files: use critlearn predict --density FILE.csv:COLUMN")
    return density_from(text)


def _pictures(composition: Composition, prediction: Prediction, sampled: np.ndarray | None) -> tuple[Picture, ...]:
    said = f"{composition.name}: {prediction.summary()}"
    shown = (
        Illustration(
            "density",
            predicted_density_figure(prediction.to_dict(), prediction.curve(), sampled),
            f"Predicted density of fluctuations on log-log axes. {said}",
            "Predicted density: straight where a power law holds. Dotted lines are caustics.",
        ),
        Illustration(
            "parts",
            parts_figure(prediction.curve()),
            f"Local exponent with its two parts. {said}",
            "Local exponent, and its two parts: what the composition gives, and what the data take away.",
        ),
    )
    return tuple(drawn(illustration) for illustration in shown)
