"""What another activation or loss would do to every layer of a stored run, at its margins and path factors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
import streamlit as st

from critlearn.analysis.run_folder import RECORD, WEIGHTS
from critlearn.comparison import SystemPrediction, predict
from critlearn.comparison.predicted_exponent import quantile_window
from critlearn.comparison.system_prediction import KEPT
from critlearn.compositions.catalogue.activations import ACTIVATIONS
from critlearn.compositions.catalogue.losses import LOSSES
from critlearn.explorer.choice import choice
from critlearn.explorer.patience import PATIENCE, within
from critlearn.explorer.stored_runs import State, place_of, state_of
from critlearn.explorer.text import problems_shown, write_plain
from critlearn.prediction import Prediction
from critlearn.studies.runs.listing import run_record
from critlearn.studies.runs.system import load_system

_REBUILT: Final = ("two-class", "classes")
"""Studies whose networks and data are made again from the record and the weights of a run."""

_ASKED: Final = "what-if-run"
"""Key of the run for which a prediction was asked: it goes on with it when the composition changes."""

_BATCH: Final = 2048
"""Samples in one pass: dense networks of studies take them at once."""


@dataclass(frozen=True, eq=False)
class _Network:
    """Predictions of a network, which the page keeps as they are."""

    prediction: SystemPrediction


def show(folder: Path, run: str) -> None:
    """Draw the section: a choice of composition, and the exponents of all quantities under it."""
    st.subheader("With another activation or loss")
    place = place_of(folder, run)
    if run_record(place)["study"] not in _REBUILT:
        write_plain("Networks of two-class and classes runs can be held against another composition.")
        return
    first, second = st.columns(2)
    with first:
        activation = choice("Activation in its place", list(ACTIVATIONS), "softsign", "y/(1+abs(y))")
    with second:
        loss = choice("Loss in its place", list(LOSSES), "mse", "abs(e)**3")
    st.button("Predict every layer", on_click=_ask, args=(run,))
    if st.session_state.get(_ASKED) != run:
        return
    with problems_shown():
        with st.spinner(f"Computing the predictions (given up after {PATIENCE:g} seconds) …", show_time=True):
            state = state_of(place, (RECORD, WEIGHTS))
            table, told = _predicted(str(place), state, activation, loss)
        write_plain(told)
        st.dataframe(table, hide_index=True)


def _ask(run: str) -> None:
    """Remember that the predictions of a run are wanted."""
    st.session_state[_ASKED] = run


@st.cache_data(max_entries=50, show_spinner=False)
def _predicted(place: str, state: State, activation: str, loss: str) -> tuple[pd.DataFrame, str]:
    """Exponents of all quantities under the run's composition and another one, and what was kept, in words."""
    network = _network(place, state).prediction
    other = within(PATIENCE, lambda: network.with_composition(activation, loss))
    names = (network.factors.values.name, other.factors.values.name)
    rows = within(PATIENCE, lambda: [_row(name, names, network[name], other[name]) for name in network])
    told = (
        f"Exponents with {names[1]} in place of {names[0]}, {KEPT}. Each is predicted from the density of the margins, "
        "on the window from the 2% to the 50% quantile of its own fluctuations."
    )
    return pd.DataFrame(rows), told


def _row(name: str, compositions: tuple[str, str], own: Prediction, other: Prediction) -> dict[str, Any]:
    """Exponents of one quantity."""
    exponents = [_exponent(prediction) for prediction in (own, other)]
    return {"quantity": name, **dict(zip((f"k with {one}" for one in compositions), exponents, strict=True))}


def _exponent(prediction: Prediction) -> float | None:
    """Exponent on the window of small fluctuations."""
    window = quantile_window(prediction.distribution)
    exponent = None if window is None else prediction.exponent_on(window)
    return None if exponent is None else round(exponent, 3)


@st.cache_resource(max_entries=2, show_spinner=False)
def _network(place: str, state: State) -> _Network:
    """Predictions of the network of a run, kept until the state of its files changes."""
    folder = Path(place)
    system = load_system(folder, run_record(folder)).trained
    return _Network(within(PATIENCE, lambda: predict(system, batch_size=_BATCH)))
