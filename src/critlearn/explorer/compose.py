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
from critlearn.explorer.formulas import formulas
from critlearn.explorer.patience import PATIENCE, within
from critlearn.explorer.picture import Picture, drawn
from critlearn.explorer.picture import show as show_picture
from critlearn.explorer.text import problems_told, told
from critlearn.figures.illustration import Illustration
from critlearn.figures.prediction import parts_figure, predicted_density_figure
from critlearn.prediction import MarginDensity, Prediction, density_from, predict_toy

_OWN: Final = "expression …"
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
class Given:
    """What is predicted: a composition, its inputs, and of which variable."""

    activation: str
    loss: str
    density: str
    weight: float
    bias: float
    variable: str
    sampled: bool


@dataclass(frozen=True, eq=False)
class Found:
    """The prediction, as it is shown."""

    sentences: tuple[str, ...]
    formulas: tuple[str, ...]
    pictures: tuple[Picture, ...]


def show() -> None:
    """Draw the tab."""
    controls, results = st.columns([1, 2])
    with controls:
        given = _given()
    with results, problems_told():
        # Named by what it is for, so that what is on the page meanwhile is seen to be of before.
        with st.spinner(f"Computing the prediction (given up after {PATIENCE:g} seconds) …", show_time=True):
            found = _predicted(given)
        for sentence in found.sentences:
            told(sentence)
        for picture in found.pictures:
            show_picture(picture, f"compose-{picture.name}")
        with st.expander("Formulas", expanded=True):
            for formula in (*found.formulas, _EXPONENT):
                st.latex(formula)


def _given() -> Given:
    """What the controls say; they keep it while another tab is in view."""
    return Given(
        activation=_choice("Activation", [*ACTIVATIONS, SOFTMAX], "softsign", "y/(1+abs(y)**3)**(1/3)"),
        loss=_choice("Loss", [*LOSSES, CROSS_ENTROPY], "mse", "abs(e)**3"),
        density=_choice("Density of the input x", list(_DENSITIES), _DENSITIES[0], "0.5*t(3)+0.5*laplace(1,2)"),
        weight=st.slider("Weight w", 0.5, 10.0, 4.0, 0.1, key="weight", persist_state="session"),
        bias=st.slider("Bias b", -2.0, 2.0, 0.0, 0.1, key="bias", persist_state="session"),
        variable=str(
            st.radio("Fluctuations of", ["bias", "weight"], horizontal=True, key="variable", persist_state="session")
        ),
        sampled=st.button(f"Sample {_SAMPLES:,} inputs"),
    )


def _choice(label: str, names: list[str], first: str, example: str) -> str:
    """A name of the catalogue, or an expression, which the project's grammar reads."""
    options = [*names, _OWN]
    chosen = str(st.selectbox(label, options, index=names.index(first), key=label, persist_state="session"))
    if chosen != _OWN:
        return chosen
    return st.text_input(
        f"{label}: expression",
        value=example,
        help="Read by a grammar; never run as code.",
        key=f"{label}: expression",
        persist_state="session",
    )


@st.cache_data(max_entries=200, show_spinner=False)
def _predicted(given: Given) -> Found:
    return within(PATIENCE, lambda: _prediction(given))


def _prediction(given: Given) -> Found:
    found = composition_of(given.activation, given.loss)
    composition = margin_composition(found)
    prediction = predict_toy(composition, _density(given.density), given.weight, given.bias)[given.variable]
    sampled = prediction.distribution.rvs(_SAMPLES, np.random.default_rng(0)) if given.sampled else None
    sentences = (
        f"{composition.name}: {composition.asymptotic().summary()}",
        f"With these inputs: {prediction.summary()}",
        *(f"Caustic: {caustic.summary()}" for caustic in prediction.caustics),
    )
    shown = _SOFTMAX if found is not composition else formulas(composition)
    return Found(sentences, shown, _pictures(composition, prediction, sampled))


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
