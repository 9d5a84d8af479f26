"""Section of a run's page on its duality map."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from critlearn.figures.duality import directions_figure, spectrum_figure, volume_figure
from critlearn.figures.illustration import Illustration

_FEWEST_INPUTS: Final = 4
"""Inputs from which on a spectrum and directions are drawn: of fewer, the table of ranks and dimensions says it all."""


@dataclass(frozen=True)
class DualitySection:
    """Section on the duality map: a table row for each state of the network, what limits it, and the figures."""

    rows: list[dict[str, str]]
    note: str
    pictures: list[Illustration]


def duality_section(study: Mapping[str, Any]) -> DualitySection:
    """Make the section: table of ranks and dimensions, spectrum, log-volumes and leading directions."""
    states = study["states"]
    image = tuple(study["image"]) if study["image"] else None
    kind = "as pictures" if image else "input by input"
    volume = Illustration(
        "duality-volume",
        volume_figure(states),
        "Histogram of the log-volume over samples, at initialisation and after training.",
        "Log-volume of the sheet: by how much the map stretches the boundary space. Where a direction is lost, that of "
        "the others.",
    )
    rows, note = [duality_row(name, state) for name, state in states.items()], duality_note(states)
    if max(state["boundary"] for state in states.values()) < _FEWEST_INPUTS:
        return DualitySection(rows, note, [volume])
    spectrum = Illustration(
        "duality-spectrum",
        spectrum_figure(states),
        "Singular values of the Jacobian by rank, at initialisation and after training.",
        "Singular values of the Jacobian: median over samples, and the range of 90% of them.",
    )
    directions = Illustration(
        "duality-directions",
        directions_figure(study["leading"], image),
        f"Leading boundary directions of a few samples, {kind}.",
        f"Which inputs move the weights most: samples and their leading directions, {kind}. Signs of a direction are "
        "free as a whole.",
    )
    return DualitySection(rows, note, [spectrum, volume, directions])


def duality_row(name: str, state: Mapping[str, Any]) -> dict[str, str]:
    """Row of the table of ranks for one state of the network."""
    # Studies of earlier versions have nothing along the data.
    along = state.get("along_data")
    volumes = [value for value in state["log_pseudo_volume"] if value is not None]
    return {
        "name": name,
        "shape": f"{state['variables']:,} x {state['boundary']:,}",
        "ranks": _ranks(state),
        "participation": f"{float(np.median(state['participation_ratio'])):.2f}",
        "along_ranks": _ranks(along) if along else "",
        "along": f"{float(np.median(along['participation_ratio'])):.2f}" if along else "",
        "volume": f"{float(np.median(volumes)):.1f}" if volumes else "none",
        "overlap": "" if state["overlap"] is None else f"{state['overlap']:.2f}",
    }


def duality_note(states: Mapping[str, Any]) -> str:
    """Sentence on data so few that neighbourhoods are nearly all of them; empty where they are enough."""
    notes = [state.get("along_data", {}).get("note", "") for state in states.values()]
    return next((note for note in notes if note), "")


def _ranks(state: Mapping[str, Any]) -> str:
    """Ranks with the number of samples of each, e.g. ``30 (12), 31 (244)``."""
    return ", ".join(f"{rank} ({count})" for rank, count in state["rank_counts"].items())
