"""Measured fluctuations: a sketch for each quantity, with what one must know to read it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from critlearn.errors import InvalidInputError, unknown_name
from critlearn.fluctuations.quantities import Series
from critlearn.numerics.log_sketch import LogSketch
from critlearn.results import Result

POOLED = "all"
"""Name of the quantity that pools every trainable variable."""

ALL_EXACT: Final = "none needed: every layer is exact"
HIGH_PRECISION: Final = "60 digits"
DOUBLE: Final = "double precision"
SINGLE: Final = "single precision"
NOT_RECORDED: Final = "not recorded"
REFERENCES: Final = (ALL_EXACT, HIGH_PRECISION, DOUBLE, SINGLE, NOT_RECORDED)
"""References that a resolution floor can come from, the best first."""


@dataclass(frozen=True, eq=False, repr=False)
class Fluctuations(Result, Mapping[str, LogSketch]):
    """Sketches of per-sample fluctuations by name of the quantity.

    Names are those of the trainable variables (``hidden1.weight``), of layers with several of them (``hidden1``), and
    ``all``.

    Parameters
    ----------
    sketches
        Sketch of each quantity.
    variables
        Number of trainable variables that each quantity pools.
    samples
        Number of boundary states.
    log_floor
        ``ln|delta|`` below which what was measured is rounding error; None where the learning pass is exact.
    series
        Exact changes of chosen entries, if any were asked for.
    mark
        Fingerprint of an unfinished measurement; empty for a finished one.
    floor_reference
        What the learning pass was held against to find the floor, one of `REFERENCES`. A pass that has only
        its own precision as its reference is judged by one with every number displaced by its rounding: an estimate.
    over
        ``samples``, or ``positions`` of their sequences; their number is `samples` then.
    drawn_from
        Number of trainable variables from which those of each quantity were drawn; empty if all were counted.

    Raises
    ------
    InvalidInputError
        If a sketch has not counted samples x variables fluctuations, or the reference is none of these.
    """

    sketches: Mapping[str, LogSketch]
    variables: Mapping[str, int]
    samples: int
    log_floor: float | None = None
    series: Series = field(default_factory=Series)
    mark: str = ""
    floor_reference: str = NOT_RECORDED
    over: str = "samples"
    drawn_from: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise if a sketch has lost or invented a fluctuation."""
        for name, sketch in self.sketches.items():
            samples = 1 if self._of_one_sample(name) else self.samples
            if sketch.count != samples * self.variables[name]:
                raise InvalidInputError(
                    f'"{name}" has {sketch.count} fluctuations; {samples} samples x {self.variables[name]} '
                    "variables were due"
                )
        if self.floor_reference not in REFERENCES:
            raise unknown_name("reference of the floor", self.floor_reference, REFERENCES)

    @staticmethod
    def _of_one_sample(name: str) -> bool:
        return "[sample " in name

    def axis(self, name: str) -> str:
        """Axis over which the fluctuations of a quantity are distributed: samples, variables, or both together."""
        if self._of_one_sample(name):
            return "variables"
        return self.over if self.variables[name] == 1 else f"{self.over} x variables"

    def __getitem__(self, name: str) -> LogSketch:
        """Sketch of a quantity; KeyError with the nearest names if there is none."""
        if name not in self.sketches:
            raise KeyError(str(unknown_name("quantity", name, self.sketches)))
        return self.sketches[name]

    def __iter__(self) -> Iterator[str]:
        """Names of the quantities."""
        return iter(self.sketches)

    def __len__(self) -> int:
        """Number of quantities."""
        return len(self.sketches)

    def merge(self, other: "Fluctuations") -> "Fluctuations":
        """Fluctuations over the samples of both, of which the other's come later.

        Single samples are taken over as they are, under the number that their part gave them. Group i of the one joins
        group i of the other; a measurement of few samples has fewer groups, and leaves the last ones of the other as
        they are: every sample stays in one group.

        Raises
        ------
        InvalidInputError
            If the two have not measured the same quantities, or both have counted a single sample of the same number.
        """
        mine, theirs = (
            {name: size for name, size in part.variables.items() if not self._of_one_sample(name)}
            for part in (self, other)
        )
        drawn = ({name: part.drawn_from.get(name) for name in mine} for part in (self, other))
        if mine != theirs or self.over != other.over or next(drawn) != next(drawn):
            raise InvalidInputError("only measurements of the same quantities can be merged")
        twice = [name for name in self.sketches if name not in mine and name in other.sketches]
        if twice:
            raise InvalidInputError(
                f'both measurements have counted "{twice[0]}", and two samples are not one: choose it in one of them'
            )
        # The higher floor holds for both: counts of the two parts cannot be told apart any more.
        floors = [floor for floor in (self.log_floor, other.log_floor) if floor is not None]
        sketches = {**other.sketches, **self.sketches}
        for name in mine:
            one, two = self.sketches[name], other.sketches[name]
            groups = max(one.groups, two.groups)
            sketches[name] = one.in_groups(groups).merge(two.in_groups(groups))
        return Fluctuations(
            sketches,
            {**other.variables, **self.variables},
            self.samples + other.samples,
            max(floors) if floors else None,
            self.series.followed_by(other.series),
            floor_reference=max(self.floor_reference, other.floor_reference, key=REFERENCES.index),
            over=self.over,
            drawn_from={**other.drawn_from, **self.drawn_from},
        )

    def marked(self, mark: str) -> "Fluctuations":
        """Fluctuations marked as the state of an unfinished measurement with this fingerprint."""
        return replace(self, mark=mark)

    def to_dict(self) -> dict[str, Any]:
        """Totals of each quantity as plain values, with the floor that all share."""
        floor = {"log_floor": self.log_floor, "floor_reference": self.floor_reference}
        return {
            name: {"axis": self.axis(name), **sketch.to_dict(), **floor, **self._drawn(name)}
            for name, sketch in self.sketches.items()
        }

    def summary(self) -> str:
        """One line for each quantity."""
        return "\n".join(f"{self._named(name)}: {sketch.summary()}" for name, sketch in self.sketches.items())

    def _named(self, name: str) -> str:
        """Name of a quantity, and how many variables were drawn for it, where not all are counted."""
        if self.drawn_from.get(name, 0) <= self.variables[name]:
            return name
        return f"{name} ({self.variables[name]:,} variables drawn from {self.drawn_from[name]:,})"

    def _drawn(self, name: str) -> dict[str, int]:
        """Numbers of variables counted and in all, of a quantity of which some were drawn."""
        if name not in self.drawn_from:
            return {}
        return {"variables": self.variables[name], "drawn_from": self.drawn_from[name]}
