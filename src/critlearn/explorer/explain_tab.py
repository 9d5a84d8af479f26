"""Tab *Explain*: what explains the exponents of a run, and what another composition would do to them."""

from pathlib import Path

import streamlit as st

from critlearn.explorer import what_if
from critlearn.explorer.choice import chosen_from
from critlearn.explorer.pictures.picture import show as show_picture
from critlearn.explorer.stored_runs import explanation_of, runs_of
from critlearn.explorer.text import write_plain
from critlearn.reports.explanation import OUTCOMES


def show(folder: Path | None) -> None:
    """Draw the tab."""
    if folder is None:
        st.info("Start with a folder of runs to have them explained: critlearn explore FOLDER")
        return
    with st.spinner("Reading the runs …", show_time=True):
        runs = runs_of(folder)
    names = sorted(runs.labels, key=runs.labels.__getitem__)
    if not names:
        write_plain("No run can be read.")
        return
    run = chosen_from("Run to explain", names, format_func=runs.labels.__getitem__)
    with st.spinner("Drawing the run …", show_time=True):
        found = explanation_of(folder, run)
    if found is None:
        write_plain("This run has no predictions level by level: analyse it anew, or choose another one.")
        return
    if found.picture is not None:
        picture, sentences = st.columns(2)
        with picture:
            show_picture(found.picture, "explain-anatomy")
        with sentences:
            for sentence in found.sentences:
                write_plain(sentence)
    st.subheader("Predictions that use more and more of the network")
    for level in found.levels:
        write_plain(level)
    st.dataframe(found.ladder, hide_index=True)
    write_plain(OUTCOMES)
    what_if.show(folder, run)
