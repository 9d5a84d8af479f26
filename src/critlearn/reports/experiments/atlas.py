"""Page of the atlas: exponents of families of networks, from the first layer to the last, measured and predicted."""

import inspect
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from critlearn.analysis.table import row_of
from critlearn.comparison.agreement import DECIDED, Agreement
from critlearn.errors import DataError
from critlearn.figures.illustration import Illustration
from critlearn.figures.style import FITTED, MEASURED, PREDICTED
from critlearn.numerics.notation import COMPATIBLE_GRADE, LAW_GRADES, SHOWN_GRADES, estimate_text
from critlearn.studies.import_paths import import_object
from critlearn.studies.sweep.results.store import ResultsStore
from critlearn.studies.sweep.study.cells import expand
from critlearn.studies.sweep.study.schema import Study
from critlearn.whole_files import write_whole

PAGE: Final = "atlas.md"
_FIGURES: Final = "images"
"""Name of the page, and of the folder beside it that holds its figure."""

_COLOURS: Final = (MEASURED, FITTED, PREDICTED, "#CC79A7", "#56B4E9", "#E69F00")
"""Colours of hidden activations, which colour-blind readers tell apart."""

_INTRODUCTION: Final = """# Atlas of networks

One small network of each family, trained here on real data that come with packages: what its weights' fluctuations
over the samples are like, in every layer, from the input to the output. *k* is the exponent of p(|δq|) ~ |δq|⁻ᵏ on the
window that the fit chose, with its 95% interval; it is shown where the data follow a power law or are compatible with
one. *Predicted* is the exponent of the lowest level of prediction that agrees, or else of the highest, on the same
window. The last columns are the parts that add up to k: composition and data, depth, and dependence.
"""


def write_atlas(studies: tuple[Study, ...], location: str, out: Path, command: str) -> Path:
    """Write the page and its figure from a store.

    Parameters
    ----------
    studies
        Studies of networks.
    location
        Store with their results.
    out
        Folder of the page; the figure goes to a folder inside it.
    command
        Command that makes the page again.

    Raises
    ------
    DataError
        If the store holds no finished cell.
    OutputError
        If a file cannot be written.
    """
    rows = weights_table(studies, location)
    if rows.empty:
        raise DataError(f'"{location}" holds no finished cell of the study "{studies[0].name}"')
    picture = Illustration(
        "atlas",
        atlas_figure(rows),
        f"Exponents of the weights of {rows['family'].nunique()} networks from the input to the output.",
        "Exponents of weights from the first layer to the last, by hidden activation: filled where a power law is "
        "established, open where the data are compatible with one; small diamonds are predictions.",
    )
    picture.save(out / _FIGURES, ("svg",))
    codes = ", ".join(sorted(rows["code"].unique()))
    parts = [
        _INTRODUCTION,
        f"Made by `{command}`, code {codes}.\n",
        f"![{picture.alternative}]({_FIGURES}/{picture.name}.svg)\n",
        f"{picture.caption} [Numbers]({_FIGURES}/{picture.name}.csv).\n",
        "## What is universal, and what is not\n",
        "\n".join(f"{at}. {sentence}" for at, sentence in enumerate(findings(rows), 1)) + "\n",
        *(_section(str(family), own) for family, own in rows.groupby("family", sort=False)),
    ]
    return write_whole(out / PAGE, "\n".join(parts).encode())


def weights_table(studies: tuple[Study, ...], location: str) -> pd.DataFrame:
    """Row for the weights of each layer of every finished network, from the input to the output.

    Parameters
    ----------
    studies, location
        As for `write_atlas`.
    """
    store, rows = ResultsStore(location), []
    for study in studies:
        for cell in expand(study):
            record = store.cell(cell.name).record
            if record is None:
                continue
            weights = [name for name, entry in record["quantities"].items() if _is_weight(entry)]
            run = {
                "family": cell.settings["network"],
                "activation": cell.settings["hidden_activation"],
                "seed": cell.settings["seed"],
                "code": record["code"],
                "accuracy": record["accuracy"],
                "variables": sum(e.get("variables", 0) for e in record["quantities"].values() if not e.get("pool")),
            }
            # A record goes from the output backwards.
            rows += [{**run, "place": place, **row_of(record, name)} for place, name in enumerate(reversed(weights), 1)]
    return pd.DataFrame(rows)


def _is_weight(entry: dict[str, Any]) -> bool:
    return entry.get("kind") == "weight" and not entry.get("pool")


def atlas_figure(rows: pd.DataFrame) -> Figure:
    """Exponents of weights from the first layer to the last, a panel for each family.

    Parameters
    ----------
    rows
        Rows of `weights_table`.
    """
    families = rows["family"].unique()
    columns = min(4, len(families))
    lines = -(-len(families) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.5 * lines + 0.5), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).flatten()
    named: dict[str, Any] = {}
    for axes, family in zip(panels, families, strict=False):
        own = rows[rows["family"] == family]
        for colour, (activation, line) in zip(_COLOURS, own.groupby("activation", sort=False), strict=False):
            shown = line[line["verdict"].isin(SHOWN_GRADES) & line["exponent"].notna()]
            (drawn,) = axes.plot(shown["place"], shown["exponent"], "-", color=colour, lw=1, label=str(activation))
            named[str(activation)] = drawn
            law = shown["verdict"].isin(LAW_GRADES)
            axes.plot(shown["place"][law], shown["exponent"][law], "o", color=colour, ms=5, label="_power law")
            axes.plot(
                shown["place"][~law], shown["exponent"][~law], "o", color=colour, mfc="none", ms=5, label="_compatible"
            )
            predicted = shown["predicted_exponent"].astype(float)
            axes.plot(shown["place"], predicted, "D", color=colour, ms=3, mfc="none", label="_predicted")
        axes.set_title(_title(str(family)), fontsize=9)
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    for axes in panels[len(families) :]:
        axes.set_axis_off()
    figure.supxlabel("layer, from the input to the output", fontsize=9)
    figure.supylabel("exponent k", fontsize=9)
    figure.legend(named.values(), named.keys(), loc="outside upper left", ncols=len(named), frameon=False, fontsize=9)
    return figure


def findings(rows: pd.DataFrame) -> list[str]:
    """Five sentences on what the families have in common and what not, counted from the table.

    Parameters
    ----------
    rows
        Rows of `weights_table`.
    """
    return [_grades(rows), _range(rows), _differences(rows), _depth(rows), _predictions(rows)]


def _grades(rows: pd.DataFrame) -> str:
    laws, near = int(rows["verdict"].isin(LAW_GRADES).sum()), int((rows["verdict"] == COMPATIBLE_GRADE).sum())
    states = rows.groupby(["family", "activation", "seed"], sort=False)["status"].first().value_counts()
    told = ", ".join(f"{count} {_state(status)}" for status, count in states.items())
    return (
        f"Of {len(rows)} distributions of weights' fluctuations in {int(states.sum())} networks ({told}) {laws} follow "
        f"a power law over some window, {near} more are compatible with one, and {len(rows) - laws - near} follow none."
    )


def _range(rows: pd.DataFrame) -> str:
    shown = _claimed(rows)
    if shown.empty:
        return "No exponent is established."
    low, quarter, middle, upper, high = np.quantile(shown["exponent"], [0, 0.25, 0.5, 0.75, 1])
    decades = float(shown["decades"].median())
    return (
        f"There is no one exponent: they reach from {_number(low)} to {_number(high)}, with half of them between "
        f"{_number(quarter)} and {_number(upper)} and a median of {_number(middle)}, over windows of {decades:.1f} "
        "decades in the median."
    )


def _differences(rows: pd.DataFrame) -> str:
    """What matters more: the activation, the layer or the family."""
    shown = _claimed(rows)
    by_activation = _pairs(shown, ["family", "seed", "quantity"])
    by_layer = _pairs(shown, ["family", "seed", "activation"])
    medians = shown.groupby("family")["exponent"].median()
    by_family = [abs(one - other) for one, other in combinations(medians, 2)]
    told = [
        f"{_number(float(np.median(apart)))} between {what}"
        for what, apart in (
            ("hidden activations of the same layer", by_activation),
            ("layers of one network", by_layer),
            ("the medians of two families", by_family),
        )
        if len(apart)
    ]
    return f"Exponents differ, in the median, by {', by '.join(told)}." if told else "There is nothing to compare."


def _depth(rows: pd.DataFrame) -> str:
    rises = []
    for _, own in _claimed(rows).groupby(["family", "activation", "seed"], sort=False):
        ordered = own.sort_values("place")
        if len(ordered) > 1:
            rises.append(float(ordered["exponent"].iloc[-1] - ordered["exponent"].iloc[0]))
    if not rises:
        return "No network has two layers with an exponent."
    up = sum(rise > 0 for rise in rises)
    return (
        f"From the first weights to the last the exponent rises in {up} of {len(rises)} networks and falls in "
        f"{len(rises) - up}, by {_number(float(np.median(np.abs(rises))))} in the median."
    )


def _predictions(rows: pd.DataFrame) -> str:
    outcomes = rows["agreement"].dropna()
    agree, disagree = (int((outcomes == outcome).sum()) for outcome in DECIDED)
    unknown = int((outcomes == Agreement.CANNOT_TELL).sum())
    told = f"{len(outcomes)} of {len(rows)} are predicted: {agree} agree, {disagree} disagree, {unknown} cannot be told"
    compared = _claimed(rows)[["exponent", "predicted_exponent"]].dropna()
    if compared.empty:
        return f"{told}."
    apart = (compared["exponent"] - compared["predicted_exponent"]).abs().median()
    return f"{told}; measured and predicted exponents are {_number(float(apart))} apart in the median."


def _claimed(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["verdict"].isin(SHOWN_GRADES) & rows["exponent"].notna()]


def _pairs(rows: pd.DataFrame, alike: list[str]) -> list[float]:
    """Differences of exponents between all pairs of rows that are alike in these columns."""

    def apart() -> Iterator[float]:
        for _, own in rows.groupby(alike, sort=False):
            for one, other in combinations(own["exponent"], 2):
                yield abs(float(one) - float(other))

    return list(apart())


def _section(family: str, rows: pd.DataFrame) -> str:
    """Section on one family: what it is, and a row for the weights of each layer."""
    made = inspect.getdoc(import_object(family, "network")) or ""
    header = [
        "activation",
        "state",
        "weights",
        "k",
        "decades",
        "grade",
        "predicted",
        "explained by",
        "composition + data",
    ]
    header += ["depth", "dependence"]
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for row in rows.to_dict("records"):
        shown = row["verdict"] in SHOWN_GRADES and not pd.isna(row["exponent"])
        law = estimate_text(row["exponent"], (row["ci_low"], row["ci_high"])) if shown else "–"
        both = [row[part] for part in ("composition", "data") if not pd.isna(row[part])]
        cells = [
            row["activation"],
            _state(row["status"]),
            f"`{row['quantity']}`",
            law.replace("-", "\N{MINUS SIGN}"),
            f"{row['decades']:.1f}" if shown else "–",
            row["verdict"],
            _number(row["predicted_exponent"]) if shown else "–",
            next((str(row[name]) for name in ("explained_by", "agreement") if not pd.isna(row[name])), "–"),
            _number(sum(both) if both and shown else np.nan),
            _number(row["path"] if shown else np.nan),
            _number(row["dependence"] if shown else np.nan),
        ]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    accuracies = rows.groupby("activation", sort=False)["accuracy"].first().dropna()
    told = ", ".join(f"{100 * value:.1f}% with {name}" for name, value in accuracies.items())
    size = f"{int(rows['variables'].iloc[0]):,} trainable variables"
    return (
        f"## {_title(family)}\n\n{made.splitlines()[0]} {size}{f'; accuracy {told}' if told else ''}.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _state(status: object) -> str:
    """State of a network in words, as its name is in a record."""
    return str(status).lower().replace("_", " ")


def _title(family: str) -> str:
    """Name of a family, of the function that makes its network."""
    return family.rpartition(":")[2].replace("_", " ").capitalize()


def _number(value: float | None) -> str:
    return "–" if value is None or pd.isna(value) else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
