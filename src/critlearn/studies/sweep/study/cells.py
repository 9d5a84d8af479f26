"""Cells of a study: one configuration of a run each, named by the hash of that configuration."""

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from critlearn.analysis.analysis import Analysis
from critlearn.errors import InvalidInputError, unknown_name
from critlearn.reading.validation_errors import first_error
from critlearn.studies.config import ClassesConfig, NetworkConfig, RunConfig, ToyConfig, TwoClassConfig
from critlearn.studies.network import run_network
from critlearn.studies.sweep.study.conditions import Condition, in_one_field, parse_condition
from critlearn.studies.sweep.study.locations import StudyError, all_settings, check_given_once, location_of
from critlearn.studies.sweep.study.schema import RandomPart, Range, Settings, Study
from critlearn.studies.toy import run_toy
from critlearn.studies.two_class import run_classes, run_two_class

_KINDS: Final[dict[str, tuple[type[RunConfig], Callable[[Any], Analysis]]]] = {
    "toy": (ToyConfig, run_toy),
    "two-class": (TwoClassConfig, run_two_class),
    "classes": (ClassesConfig, run_classes),
    "network": (NetworkConfig, run_network),
}
"""Class of the settings, and function that runs them, by the kind of the system."""
_UNNAMED: Final[tuple[tuple[str, Any], ...]] = (
    ("stop_at_equilibrium", True),
    ("columns", []),
    ("drop", []),
    ("modes", None),
    ("decoupled_weight_decay", False),
    ("descent_steps", 0),
    ("descent_lr", 0.1),
    ("descent_batch_size", 16),
)
"""Settings that were added later, with the value they had implicitly before: older cells keep their names."""

MOST_CELLS: Final = 100_000
"""Combinations of settings and seeds: they are checked in ten seconds, and a store still lists their folders."""


@dataclass(frozen=True)
class Cell:
    """One run of a study.

    Parameters
    ----------
    kind
        Kind of the system, as in ``critlearn run KIND``.
    config
        Its settings.
    """

    kind: str
    config: RunConfig

    @property
    def settings(self) -> Settings:
        """All settings as plain values."""
        return self.config.model_dump(mode="json")

    @property
    def name(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of kind and settings."""
        named = {name: value for name, value in self.settings.items() if (name, value) not in _UNNAMED}
        text = json.dumps({"kind": self.kind, **named}, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def run(self) -> Analysis:
        """Run it, as ``critlearn run`` does."""
        return _KINDS[self.kind][1](self.config)


def kind_of_config(config: RunConfig) -> str:
    """Kind of the system that has such settings."""
    return next(kind for kind, (settings, _) in _KINDS.items() if settings is type(config))


def swept_settings(study: Study) -> list[str]:
    """Names of the settings that vary, apart from the seed, in the order of the file."""
    sweep = study.sweep
    listed = [name for row in sweep.list or () for name in row]
    drawn = list(sweep.random.settings) if sweep.random else []
    return list(dict.fromkeys([*sweep.grid, *sweep.zip, *listed, *drawn]))


def cell_label(study: Study, cell: Cell) -> str:
    """What distinguishes a cell from the others of its study, in words: ``paper-loss: loss=mse, seed=0``."""
    varied = {name: in_one_field(cell.settings[name]) for name in [*swept_settings(study), "seed"]}
    return f"{study.name}: " + ", ".join(f"{name}={value}" for name, value in varied.items())


def expand(study: Study) -> tuple[Cell, ...]:
    """Cells of a study without repetitions, in the order of the file.

    Raises
    ------
    InvalidInputError
        If a setting is unknown or not allowed, lists that go together differ in length, or no cell is left.
    """
    kind = _KINDS[study.system.kind][0]
    shared = {
        name: value
        for part in (study.system, study.data, study.training, study.measure)
        for name, value in part.model_dump(exclude={"kind", "quantities"}).items()
        if value is not None
    }
    check_given_once(study)
    for location, name, _ in all_settings(study):
        if name == "seed":
            raise StudyError(location, 'seeds are given under "seeds", not in "sweep"')
        if name not in kind.model_fields:
            known = set(kind.model_fields) - {"seed"}
            raise StudyError(location, str(unknown_name(f"setting of {study.system.kind}", name, known)))
    conditions = _conditions(study, {*kind.model_fields})
    # By name, which follows from the settings: the same settings twice are one cell.
    cells: dict[str, Cell] = {}
    for varied in _combinations(study):
        for seed in study.seeds:
            cell = Cell(study.system.kind, _checked(study, kind, {**shared, **varied, "seed": seed}))
            if all(condition.holds(cell.settings) for condition in conditions):
                cells[cell.name] = cell
    if not cells:
        raise StudyError(("sweep",), f'the study "{study.name}" has no cells: the sweep is empty')
    return tuple(cells.values())


def _conditions(study: Study, known: set[str]) -> list[Condition]:
    """Conditions of a study, after a check that the settings in them exist."""
    conditions = []
    for number, text in enumerate(study.sweep.where):
        try:
            conditions.append(parse_condition(text))
            for name in conditions[-1].names:
                if name not in known:
                    raise unknown_name("setting", name, known)
        except InvalidInputError as problem:
            raise StudyError(("sweep", "where", number), str(problem)) from None
    return conditions


def _checked(study: Study, kind: type[RunConfig], settings: Settings) -> RunConfig:
    try:
        return kind(**settings)
    except ValidationError as problem:
        location, message = first_error(problem, settings)
        name = str(location[0])
        raise StudyError(location_of(study, name, settings[name]), message) from None


def _combinations(study: Study) -> Iterator[Settings]:
    """Product of grid, zip, list and random draws."""
    sweep = study.sweep
    _check_number(study)
    if len({len(values) for values in sweep.zip.values()}) > 1:
        lengths = ", ".join(f"{name}: {len(values)}" for name, values in sweep.zip.items())
        raise StudyError(("sweep", "zip"), f'lists under "zip" need one length; got {lengths}')
    grid = [dict(zip(sweep.grid, row, strict=True)) for row in itertools.product(*sweep.grid.values())]
    zipped = [dict(zip(sweep.zip, row, strict=True)) for row in zip(*sweep.zip.values(), strict=True)]
    parts = [
        grid,
        zipped if sweep.zip else [{}],
        list(sweep.list) if sweep.list is not None else [{}],
        _drawn(sweep.random) if sweep.random else [{}],
    ]
    for rows in itertools.product(*parts):
        yield {name: value for row in rows for name, value in row.items()}


def _check_number(study: Study) -> None:
    """Raise if there are more cells than a study may have, before one is made."""
    sweep = study.sweep
    number = len(study.seeds) * math.prod(len(values) for values in sweep.grid.values())
    number *= max((len(values) for values in sweep.zip.values()), default=1)
    number *= 1 if sweep.list is None else len(sweep.list)
    number *= sweep.random.count if sweep.random else 1
    if number > MOST_CELLS:
        raise StudyError(
            ("sweep",),
            f"{number:,} combinations of settings and seeds, before conditions; at most {MOST_CELLS:,} are made: "
            "divide the study into several ones",
        )


def _drawn(random: RandomPart) -> list[Settings]:
    """Random settings; the same seed draws the same ones."""
    generator = np.random.default_rng(random.seed)
    return [{name: _draw(source, generator) for name, source in random.settings.items()} for _ in range(random.count)]


def _draw(source: Range | list[Any], generator: np.random.Generator) -> Any:
    if not isinstance(source, Range):
        if not source:
            raise InvalidInputError("a list of values to draw from is empty")
        return source[int(generator.integers(len(source)))]
    if source.scale == "log":
        return math.exp(generator.uniform(math.log(source.low), math.log(source.high)))
    return float(generator.uniform(source.low, source.high))
