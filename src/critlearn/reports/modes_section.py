"""Section of a run's page on its modes of learning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from critlearn.comparison.learning_modes import Mode, Modes
from critlearn.equilibrium import Status
from critlearn.figures.illustration import Illustration
from critlearn.figures.modes import modes_figure
from critlearn.numerics.notation import with_error


@dataclass(frozen=True)
class ModesSection:
    """Section on the modes: sentences, a table row for each of them, and the figure; or the reason why there is none.

    Parameters
    ----------
    missing
        Why there are no modes; empty if there are.
    finding, caution
        What they say together; and what a state that is not certified leaves of it, else empty.
    samples
        Numbers of samples from which they were made, against which they were held, and from which both were drawn if
        not all were taken.
    rows
        Share, R2 and distances of each mode, as text.
    picture
        Figure of the shares and distances.
    """

    missing: str = ""
    finding: str = ""
    caution: str = ""
    samples: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    picture: Illustration | None = None


def modes_section(record: Mapping[str, Any]) -> ModesSection | None:
    """Make the section; None for a record of an earlier version, which says nothing of modes."""
    if record.get("modes") is None:
        reason = record.get("no_modes")
        return None if reason is None else ModesSection(missing=reason)
    found, equilibrium = Modes.from_dict(record["modes"]), record["equilibrium"]
    caution = ""
    if not equilibrium["certified"]:
        state = Status(equilibrium["status"]).words
        caution = (
            f"The state is not certified as an equilibrium ({state}): these are the modes of the state that was "
            "reached, not of one that lasts."
        )
    return ModesSection(
        finding=_finding(found),
        caution=caution,
        samples=tuple(f"{number:,}" for number in (*found.samples, found.drawn_from) if number is not None),
        rows=tuple(_cells(mode) for mode in found.modes),
        picture=modes_illustration(found),
    )


def modes_illustration(found: Modes) -> Illustration:
    """Figure of modes with its caption."""
    return Illustration(
        "modes",
        modes_figure(found.to_dataframe()),
        f"Shares of {len(found.modes)} modes in the variance, and distances of their predictions beside the noise.",
        "Above, the share of each mode in the variance of all changes. Below, how far each form of its problem of one "
        "dimension is from other samples: within the grey bar, the noise, a form is as good as any.",
    )


def _finding(found: Modes) -> str:
    """What the modes say together, in a sentence."""
    ratio = with_error(found.participation_ratio, found.participation_ratio_error)
    number = "One mode has" if len(found.modes) == 1 else f"{len(found.modes)} modes have"
    text = (
        f"{number} {found.share:.1%} of the variance of all changes of {found.variables:,} trainable variables; "
        f"effectively there are {ratio} modes (participation ratio)"
    )
    if len(found.modes) == 1:
        return f"{text}."
    coupling = with_error(found.coupling, found.coupling_error)
    return f"{text}; their coupling is {coupling}, where independent modes would have {found.coupling_floor:.3f}."


def _cells(mode: Mode) -> tuple[str, ...]:
    """Row of the table."""
    distances = ("bare", "independent", "joint", "noise")
    return (
        with_error(mode.share, mode.share_error),
        with_error(mode.r_squared, mode.r_squared_error),
        *(with_error(getattr(mode, name), getattr(mode, f"{name}_error")) for name in distances),
    )
