"""Schema of stored records: the entries that tables, lists and pages need, checked when a record is read."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError, model_validator

from critlearn.analysis.validation_errors import describe_first_error
from critlearn.comparison.agreement import Agreement
from critlearn.comparison.ladder.level import COMPOSITION, JOINT
from critlearn.errors import DataError

_MOST_HEADLINES: Final = 8
"""Sentences that sum a run up: more are no summary."""

_MOST_MODES: Final = 1000
"""Modes of a record: more are no reduction of learning, and no table of a page."""

Ends = Annotated[list[float | None], Field(min_length=2, max_length=2)]
"""Ends of an interval; null where one is not finite."""


class _Measured(BaseModel):
    exponent: float | None
    stderr: float | None
    ci95: Ends | None
    window: Ends | None
    decades: float | None
    verdict: str


class _Predicted(BaseModel):
    exponent: float | None
    exponent_on_measured_window: float | None = None


class _Contribution(BaseModel):
    value: float
    standard_error: float


class _Anatomy(BaseModel):
    composition: _Contribution | None
    data: _Contribution
    path: _Contribution
    dependence: _Contribution
    total: float


class _Level(BaseModel):
    level: Annotated[int, Field(ge=COMPOSITION, le=JOINT)]
    exponent: float | None
    distance: float | None
    noise: float | None
    agreement: Agreement | None
    needed: int | None


class _Tail(BaseModel):
    error: _Contribution | None
    path: _Contribution | None
    end: str
    finite: bool | None
    exponent: float | None
    measured: _Contribution
    agreement: Agreement
    summary: str


class _Quantity(BaseModel):
    axis: str
    count: int
    measured: _Measured
    predicted: _Predicted | None
    # Records of earlier versions say true or false.
    agreement: bool | Agreement | None
    statement: str
    # Records of earlier versions have none of these.
    ladder: Annotated[list[_Level], Field(max_length=JOINT + 1)] | None = None
    explanation: str | None = None
    anatomy: _Anatomy | None = None
    tail: _Tail | None = None


class _Mode(BaseModel):
    share: float | None
    share_error: float | None
    r_squared: float | None
    r_squared_error: float | None
    zeros: float | None
    bare: float | None
    bare_error: float | None
    independent: float | None
    independent_error: float | None
    joint: float | None
    joint_error: float | None
    noise: float | None
    noise_error: float | None
    variance_ratio: float | None
    variance_ratio_error: float | None


class _Modes(BaseModel):
    modes: Annotated[list[_Mode], Field(max_length=_MOST_MODES)]
    participation_ratio: float | None
    participation_ratio_error: float | None
    coupling: float | None
    coupling_error: float | None
    coupling_floor: float | None
    correlations: Annotated[list[list[float | None]], Field(max_length=_MOST_MODES)]
    samples: Annotated[list[int], Field(min_length=2, max_length=2)]
    variables: int
    exact: bool

    @model_validator(mode="after")
    def _square(self) -> "_Modes":
        if any(len(row) != len(self.correlations) for row in self.correlations):
            raise ValueError("correlations are a square matrix")
        return self


class _Equilibrium(BaseModel):
    certified: bool
    status: str
    epochs: int | None


class _Composition(BaseModel):
    name: str


class _Record(BaseModel):
    study: str
    data: str
    config: dict[str, Any]
    versions: dict[str, str]
    seed: int
    seconds: float
    equilibrium: _Equilibrium
    composition: _Composition
    quantities: Annotated[dict[str, _Quantity], Field(min_length=1)]
    # Records of earlier versions have neither.
    modes: _Modes | None = None
    no_modes: str | None = None


def parse_record(content: str | bytes, source: str) -> dict[str, Any]:
    """Parse the record of a run; entries that the schema does not name are kept as they are.

    Parameters
    ----------
    content
        Text of the record.
    source
        File or URL of the record, for error messages.

    Raises
    ------
    DataError
        If it is no JSON, or an entry that is needed is missing or of another type.
    """
    try:
        record = json.loads(content)
        _Record.model_validate(record)
    except ValidationError as problem:
        raise DataError(f'"{source}" is not a record: {describe_first_error(problem, record)}') from None
    except (ValueError, RecursionError) as problem:
        raise DataError(f'"{source}" is not a record: {problem}') from problem
    assert isinstance(record, dict)
    return record


def headlines(quantities: Mapping[str, Any]) -> list[str]:
    """Sentences that sum a run up: the statements of all variables with a prediction, or else of the first quantity.

    Of more than eight the first ones are given, and how many there are.

    Parameters
    ----------
    quantities
        Entry ``quantities`` of the record of a run.
    """
    # Pools repeat what is said of their variables.
    single = [quantity for quantity in quantities.values() if not quantity.get("pool")]
    statements = [quantity["statement"] for quantity in single if quantity["predicted"] is not None]
    if not statements:
        return [next(iter(quantities.values()))["statement"]]
    left = len(statements) - _MOST_HEADLINES
    if left <= 0:
        return statements
    return [*statements[:_MOST_HEADLINES], f"{left} more stand in the table and the report."]


def seeds_text(record: Mapping[str, Any]) -> str:
    """Seed of a run in words, or the first and the last one of an ensemble.

    >>> seeds_text({"seed": 3, "config": {"seeds": 4}})
    'seeds 3 to 6'
    """
    number = record["config"].get("seeds", 1)
    return f"seed {record['seed']}" if number == 1 else f"seeds {record['seed']} to {record['seed'] + number - 1}"
