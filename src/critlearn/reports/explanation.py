"""What explains a run, as pages and commands say it: the ladder of predictions and the anatomy of exponents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from critlearn.comparison.criteria import DISTANCE, LEVEL, MARGIN
from critlearn.comparison.ladder.anatomy import sum_in_words
from critlearn.comparison.ladder.level import COMPOSITION, GAUSSIAN, JOINT, MARGINS, SHORT, SHORT_WITHOUT_MARGINS
from critlearn.figures.anatomy import MOST_SHOWN, PARTS, anatomy_figure, explained
from critlearn.figures.illustration import Illustration
from critlearn.numerics.notation import estimate_text

_MEANINGS: Final = {
    COMPOSITION: "activation and loss alone, all margins equally frequent: an exponent, and no distribution",
    GAUSSIAN: "mean and standard deviation of {values} in each class, and path factors of other samples",
    MARGINS: "the density of {values} in the place of these numbers",
    JOINT: "{value} and path factor of the same sample: what was measured, smoothed; an identity",
}
"""One line on each level."""

OUTCOMES: Final = (
    f"A level agrees if its Kolmogorov-Smirnov distance is at most {DISTANCE:g} and its exponent on the measured "
    f"window is off by at most {MARGIN:g}, each for certain at the level of {LEVEL:.0%}; it disagrees if one of them "
    "is larger for certain. Otherwise the samples cannot tell, and the number that would is given. Levels are made "
    "from one half of the samples and held against the other; the noise is the distance between the measurements of "
    "both halves. An identity is made of what is measured itself: it checks the sampling, and is never counted as "
    "agreement."
)
"""What the outcomes mean, with the tolerances."""

_NOT_COUNTED: Final = "identity"
"""Outcome of a level that is no prediction."""


@dataclass(frozen=True)
class LevelCells:
    """Numbers of one level of the ladder for one quantity, as text; empty for what does not exist."""

    level: int
    name: str
    exponent: str
    distance: str
    noise: str
    outcome: str
    needed: str


@dataclass(frozen=True)
class LadderRow:
    """Quantity with its measured exponent, its levels, and what explains it."""

    quantity: str
    measured: str
    levels: tuple[LevelCells, ...]
    explanation: str

    @property
    def noise(self) -> str:
        """Distance between the measurements of both halves, which all levels share."""
        return next((level.noise for level in self.levels if level.noise), "")

    def level(self, number: int) -> LevelCells | None:
        """One of the levels, if there is."""
        return next((level for level in self.levels if level.level == number), None)


def ladder_rows(quantities: Mapping[str, Any]) -> list[LadderRow]:
    """Row for each quantity that has a ladder; none for records of earlier versions."""
    return [_row(name, quantity) for name, quantity in quantities.items() if quantity.get("ladder")]


def level_meanings(quantities: Mapping[str, Any]) -> dict[int, tuple[str, str]]:
    """Name of each level that some quantity has, and a line on what it uses."""
    numbers = sorted({level["level"] for quantity in quantities.values() for level in quantity.get("ladder") or []})
    margins = COMPOSITION in numbers
    values, value = ("the margins", "margin") if margins else ("the logarithms of the errors", "error")
    return {
        number: (_name(number, margins=margins), _MEANINGS[number].format(values=values, value=value))
        for number in numbers
    }


def anatomy_sentence(quantity: Mapping[str, Any]) -> str:
    """What adds up to the exponent of a quantity, in a sentence; empty if it has no anatomy."""
    anatomy = quantity.get("anatomy")
    if not anatomy:
        return ""
    values: dict[str, Any] = {part: None if anatomy[part] is None else anatomy[part]["value"] for part in PARTS}
    return sum_in_words(**values) + ("" if quantity["measured"].get("cutoff") is None else ", below the cut-off")


def explanation_section(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Values of the section "What explains it" for the template of the page; None for a record without a ladder."""
    quantities = record["quantities"]
    rows = ladder_rows(quantities)
    if not rows:
        return None
    shown = explained(quantities)
    return {
        "rows": rows,
        "levels": level_meanings(quantities),
        "outcomes": OUTCOMES,
        "sentences": {name: anatomy_sentence(entry) for name, entry in list(shown.items())[:MOST_SHOWN]},
        "picture": anatomy_illustration(quantities) if shown else None,
        "left_out": max(0, len(shown) - MOST_SHOWN),
        "tails": tail_sentences(quantities),
    }


def tail_sentences(quantities: Mapping[str, Any]) -> dict[str, str]:
    """What rules the tail of each trainable variable, in a sentence; none of those without a tail."""
    tails = {name: entry["tail"] for name, entry in quantities.items() if entry.get("tail") and not entry.get("pool")}
    return {name: tail["summary"] for name, tail in list(tails.items())[:MOST_SHOWN]}


def anatomy_illustration(quantities: Mapping[str, Any]) -> Illustration:
    """Figure of the anatomies of all trainable variables, with its caption."""
    told = [f"{name}: {anatomy_sentence(entry)}." for name, entry in list(explained(quantities).items())[:MOST_SHOWN]]
    return Illustration(
        "anatomy",
        anatomy_figure(quantities),
        f"Parts of the exponents of each variable from the input to the output. {' '.join(told)}",
        "From the input to the output, the steps that lead from 0 to the measured exponent of each variable: what the "
        "composition alone would give, what the data, depth and dependence add or take. A law with cut-off is taken "
        "apart below its cut-off, where its exponent may be another one.",
    )


def _row(name: str, quantity: Mapping[str, Any]) -> LadderRow:
    measured = quantity["measured"]
    exponent = ""
    if measured["exponent"] is not None:
        ends, value = measured["ci95"], measured["exponent"]
        exponent = f"{value:.2f}" if ends is None else estimate_text(value, tuple(ends))
    margins = any(level["level"] == COMPOSITION for level in quantity["ladder"])
    levels = tuple(_cells(level, margins=margins) for level in quantity["ladder"])
    return LadderRow(name, exponent, levels, quantity.get("explanation") or "")


def _cells(level: Mapping[str, Any], *, margins: bool) -> LevelCells:
    return LevelCells(
        level["level"],
        _name(level["level"], margins=margins),
        _number(level["exponent"]),
        _number(level["distance"]),
        _number(level["noise"]),
        level["agreement"] or _NOT_COUNTED,
        "" if level["needed"] is None else f"{level['needed']:,}",
    )


def _name(level: int, *, margins: bool) -> str:
    return (SHORT if margins else SHORT_WITHOUT_MARGINS)[level]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
