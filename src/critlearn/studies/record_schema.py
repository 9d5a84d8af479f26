"""Schema of stored records: the entries that tables, lists and pages need, checked when a record is read."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from critlearn.errors import DataError
from critlearn.studies.validation_errors import describe_first_error

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


class _Quantity(BaseModel):
    axis: str
    count: int
    measured: _Measured
    predicted: _Predicted | None
    agreement: bool | None
    statement: str


class _Equilibrium(BaseModel):
    certified: bool
    status: str
    epochs: int


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
    """Sentences that sum a run up: the statements of all quantities with a prediction, or else of the first quantity.

    Parameters
    ----------
    quantities
        Entry ``quantities`` of the record of a run.
    """
    statements = [quantity["statement"] for quantity in quantities.values() if quantity["predicted"] is not None]
    return statements or [next(iter(quantities.values()))["statement"]]
