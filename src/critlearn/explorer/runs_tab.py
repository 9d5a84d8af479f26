"""Tab *Runs*: the table of a folder of runs, filters, two runs side by side, the phase diagram."""

from pathlib import Path

import pandas as pd
import streamlit as st

from critlearn.explorer.picture import show as show_picture
from critlearn.explorer.picture import told
from critlearn.reports.illustration import Illustration
from critlearn.reports.page import illustrations
from critlearn.reports.study_figures import phase_diagram, phase_panel
from critlearn.reports.study_page import statement
from critlearn.studies.runs_table import runs_folder, runs_table, swept_settings
from critlearn.studies.store import read_run


def show(folder: Path | None) -> None:
    """Draw the tab."""
    if folder is None:
        st.info("Start with a folder of runs to see them here: critlearn explore FOLDER")
        return
    table = runs_table(folder)
    told(statement(table))
    chosen = _filtered(table)
    st.dataframe(chosen.drop(columns=["seconds", "code"]), hide_index=True)
    st.download_button("Table as CSV", chosen.to_csv(index=False), file_name="runs.csv", mime="text/csv")
    _phase_diagram(chosen)
    _side_by_side(folder, chosen)


def _filtered(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that the filters leave."""
    names = ["quantity", "verdict", "certified", *swept_settings(table)]
    with st.expander("Filters", expanded=True):
        places = st.columns(min(4, len(names)))
        for number, name in enumerate(names):
            values = sorted(table[name].dropna().astype(str).unique())
            with places[number % len(places)]:
                kept = st.multiselect(name.replace("_", " "), values, key=f"filter-{name}")
            if kept:
                table = table[table[name].astype(str).isin(kept)]
    return table


def _phase_diagram(table: pd.DataFrame) -> None:
    """Diagram over two settings; a click on a cell of the table below it shows its runs."""
    settings = [name for name in swept_settings(table) if table[name].nunique() > 1]
    if len(settings) < 2 or table.empty:
        return
    st.subheader("Phase diagram")
    first, second, third = st.columns(3)
    quantity = str(first.selectbox("Quantity", sorted(table["quantity"].unique())))
    across = str(second.selectbox("Across", settings))
    down = str(third.selectbox("Down", [name for name in settings if name != across]))
    cells = phase_panel(table, quantity, across, down).values
    show_picture(
        Illustration(
            "phase-diagram",
            phase_diagram(table, quantity, across, down),
            f"Mean measured exponent of {quantity} over {down} and {across}.",
            f"Mean exponent of {quantity} where a power law is established; × where none is, a ring where not every "
            "run is at certified equilibrium.",
        ),
        "phase",
    )
    st.caption("Choose a cell to see its runs.")
    places = st.columns(max(1, len(cells.columns)))
    for place, column in zip(places, cells.columns, strict=True):
        for row in cells.index:
            value = cells.loc[row, column]
            shown = "×" if pd.isna(value) else f"{value:.2f}"
            if place.button(f"{row}, {column}: {shown}", key=f"cell-{row}-{column}", width="stretch"):
                inside = (table[across] == column) & (table[down] == row) & (table["quantity"] == quantity)
                st.dataframe(table[inside], hide_index=True)


def _side_by_side(folder: Path, table: pd.DataFrame) -> None:
    """Two runs beside each other."""
    cells = sorted(table.loc[table["quantity"].notna(), "cell"].unique())
    if not cells:
        return
    st.subheader("Two runs side by side")
    for number, place in enumerate(st.columns(2)):
        with place:
            cell = str(st.selectbox(f"Run {number + 1}", cells, index=min(number, len(cells) - 1)))
            record, fluctuations = read_run(runs_folder(folder) / cell)
            name = next(iter(record["quantities"]))
            told(str(record["quantities"][name]["statement"]))
            show_picture(illustrations(record, fluctuations)[name][0], f"run-{number + 1}")
