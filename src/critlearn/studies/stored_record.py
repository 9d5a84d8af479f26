"""Records as they are read again: what tables, lists and pages need of them is checked before it is used."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from critlearn.errors import DataError
from critlearn.studies.faults import told

Ends = Annotated[list[float | None], Field(min_length=2, max_length=2)]


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


def stored_record(content: str | bytes, source: str) -> dict[str, Any]:
    """Record of a run from its text; further entries are kept as they are.

    Parameters
    ----------
    content
        The text.
    source
        Where it was read, for the message.

    Raises
    ------
    DataError
        If it is no JSON, or an entry that is needed is missing or of another type.
    """
    try:
        record = json.loads(content)
        _Record.model_validate(record)
    except ValidationError as problem:
        raise DataError(f'"{source}" is not a record: {told(problem, record)}') from None
    except ValueError as problem:
        raise DataError(f'"{source}" is not a record: {problem}') from problem
    assert isinstance(record, dict)
    return record
