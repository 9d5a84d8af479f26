"""Tab *Runs*: the table of a folder of runs, filters, the phase diagram, two runs side by side."""

from pathlib import Path
from typing import Final

import pandas as pd
import streamlit as st

from critlearn.explorer.choice import chosen_from
from critlearn.explorer.pictures.phase_chart import SELECTION, cells_of, chart, in_place_of_chart, in_words
from critlearn.explorer.pictures.picture import show as show_picture
from critlearn.explorer.pictures.picture import show_numbers
from critlearn.explorer.stored_runs import quantity_of, runs_of
from critlearn.explorer.text import problems_shown, write_plain
from critlearn.figures.study import phase_panel
from critlearn.reports.study_page import statement
from critlearn.studies.runs.table import setting_columns

_NONE: Final = "none"
_CELL: Final = "Cell"
_COMPARED: Final = "Quantity of both"
_DRAWN: Final = "phase-drawn"
_SLOTS: Final = ("Run 1", "Run 2")


def show(folder: Path | None) -> None:
    """Draw the tab."""
    if folder is None:
        st.info("Start with a folder of runs to see them here: critlearn explore FOLDER")
        return
    with st.spinner("Reading the runs …", show_time=True):
        runs = runs_of(folder)
    write_plain(statement(runs.table))
    chosen = _filtered(runs.table)
    st.dataframe(chosen.drop(columns=["seconds", "code"]), hide_index=True)
    st.download_button("Table as CSV", chosen.to_csv(index=False), file_name="runs.csv", mime="text/csv")
    _phase_diagram(chosen, runs.labels)
    _side_by_side(folder, chosen, runs.labels)


def _filtered(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that the filters leave."""
    names = ["quantity", "verdict", "certified", *setting_columns(table)]
    with st.expander("Filters", expanded=True):
        places = st.columns(min(4, len(names)))
        for number, name in enumerate(names):
            values = sorted(table[name].dropna().astype(str).unique())
            with places[number % len(places)]:
                kept = st.multiselect(name.replace("_", " "), values, key=f"filter-{name}", persist_state="session")
            if kept:
                table = table[table[name].astype(str).isin(kept)]
    return table


def _phase_diagram(table: pd.DataFrame, labels: dict[str, str]) -> None:
    """Diagram over two settings; a click on a cell, or its choice from a list, shows its runs."""
    settings = [name for name in setting_columns(table) if table[name].nunique() > 1]
    if len(settings) < 2 or table.empty:
        return
    st.subheader("Phase diagram")
    first, second, third = st.columns(3)
    with first:
        quantity = chosen_from("Quantity", table["quantity"].dropna().unique().tolist())
    with second:
        across = chosen_from("Across", settings)
    with third:
        down = chosen_from("Down", [name for name in settings if name != across])
    cells = cells_of(phase_panel(table, quantity, across, down))
    said = in_place_of_chart(cells, quantity)
    if said is None:
        _clickable_chart(cells, quantity, across, down)
    else:
        write_plain(said)
    show_numbers("phase-diagram", cells[["row", "column", "exponent", "shown"]], "phase")
    place = _cell(cells)
    if place is not None:
        where = cells[cells["place"] == place].iloc[0]
        here = (table[across].astype(str) == where["column"]) & (table[down].astype(str) == where["row"])
        _runs_of_cell(table[here & (table["quantity"] == quantity)], quantity, labels)


def _clickable_chart(cells: pd.DataFrame, quantity: str, across: str, down: str) -> None:
    """Chart of the cells, of which a click chooses one."""
    # A chart of its own for every cell chosen from the list: the one clicked before would stay marked.
    key = f"phase-{quantity}-{across}-{down}-{st.session_state.setdefault(_DRAWN, 0)}"
    st.vega_lite_chart(
        cells,
        chart(cells, across, down),
        key=key,
        on_select=lambda: _clicked(key),
        selection_mode=SELECTION,
        alt=in_words(cells, quantity, across, down),
    )
    st.caption(
        f"Mean exponent of {quantity} where a power law is established; × where none is, ○ where not every run is at "
        "certified equilibrium. Click a cell, or choose it below, to see its runs."
    )


def _clicked(key: str) -> None:
    """Choose the cell that was clicked."""
    points = st.session_state[key]["selection"].get(SELECTION) or []
    st.session_state[_CELL] = points[0]["place"] if points else _NONE


def _listed() -> None:
    """Draw the chart anew, without a mark on the cell that was clicked."""
    st.session_state[_DRAWN] += 1


def _cell(cells: pd.DataFrame) -> str | None:
    """Place of the chosen cell, for which the list needs no mouse; None if none is chosen."""
    shown = {
        _NONE: _NONE,
        **{place: f"{place}: {text}" for place, text in zip(cells["place"], cells["shown"], strict=True)},
    }
    place = chosen_from(_CELL, list(shown), on_change=_listed, format_func=shown.__getitem__)
    return None if place == _NONE else place


def _runs_of_cell(inside: pd.DataFrame, quantity: str, labels: dict[str, str]) -> None:
    """Table of the runs of a cell; each of them can be chosen as one of the two runs to compare."""
    st.dataframe(inside.drop(columns=["seconds", "code"]), hide_index=True)
    names = [name for name in inside["cell"] if name in labels]
    if not names:
        return
    run = chosen_from("Runs of the cell", names, format_func=labels.__getitem__)
    for place, slot in zip(st.columns(len(_SLOTS)), _SLOTS, strict=True):
        place.button(f"Show as {slot.lower()}", on_click=_put, args=(slot, run, quantity), width="stretch")


def _put(slot: str, run: str, quantity: str) -> None:
    """Choose a run as the first or the second of those that are compared."""
    st.session_state[slot] = run
    st.session_state[_COMPARED] = quantity


def _side_by_side(folder: Path, table: pd.DataFrame, labels: dict[str, str]) -> None:
    """One quantity of two runs beside each other."""
    rows = table[table["cell"].isin(list(labels))]
    quantities = rows["quantity"].dropna()
    if quantities.empty:
        return
    st.subheader("Two runs side by side")
    options = quantities.unique().tolist()
    # The one of most runs at first, and of these alone there is a choice: each has something to show.
    most = quantities.value_counts(sort=False).idxmax()
    quantity = chosen_from(_COMPARED, options, index=options.index(most))
    names = sorted(rows["cell"][rows["quantity"] == quantity].unique(), key=labels.__getitem__)
    for number, (place, slot) in enumerate(zip(st.columns(2), _SLOTS, strict=True)):
        with place, problems_shown():
            run = chosen_from(slot, names, index=min(number, len(names) - 1), format_func=labels.__getitem__)
            with st.spinner("Drawing the run …", show_time=True):
                found = quantity_of(folder, run, quantity)
            if found is None:
                write_plain(f"This run has no {quantity}.")
                continue
            write_plain(found.statement)
            show_picture(found.picture, f"run-{number + 1}")
