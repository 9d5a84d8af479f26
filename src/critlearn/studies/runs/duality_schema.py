"""Schema of a stored study of the duality map: the entries that the page of a run needs."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from critlearn.errors import DataError
from critlearn.reading.json_text import parsed_json
from critlearn.reading.json_types import Count, Number, Series
from critlearn.reading.validation_errors import describe_first_error

_STATES = ("initial", "trained")


class _Quantiles(BaseModel):
    low: Series
    median: Series
    high: Series

    @model_validator(mode="after")
    def _equal(self) -> "_Quantiles":
        if len({len(part) for part in (self.low, self.median, self.high)}) > 1:
            raise ValueError("low, median and high have different lengths")
        return self


class _Along(BaseModel):
    rank_counts: dict[str, Count]
    participation_ratio: list[Number]
    note: str = ""


class _State(BaseModel):
    variables: Count
    boundary: Count
    rank_counts: dict[str, Count]
    participation_ratio: list[Number]
    log_volume: Series
    log_pseudo_volume: Series
    log_singular_values: _Quantiles
    overlap: Number | None
    # Studies of earlier versions have nothing along the data.
    along_data: _Along | None = None

    @model_validator(mode="after")
    def _equal(self) -> "_State":
        if len(self.log_volume) != len(self.log_pseudo_volume):
            raise ValueError("log_volume and log_pseudo_volume have different lengths")
        return self


class _Leading(BaseModel):
    sample: Count
    target: Number
    x: Annotated[list[Number], Field(min_length=1)]
    directions: list[list[Number]]


class _Study(BaseModel):
    states: Annotated[dict[str, _State], Field(min_length=1)]
    image: Annotated[list[Annotated[int, Field(strict=True, ge=1)]], Field(min_length=2, max_length=2)] | None
    leading: Annotated[list[_Leading], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> "_Study":
        if not set(self.states) <= set(_STATES):
            raise ValueError(f"states are {' and '.join(_STATES)}")
        for entry in self.leading:
            if any(len(direction) != len(entry.x) for direction in entry.directions):
                raise ValueError("directions have as many entries as their sample")
            if self.image and len(entry.x) != self.image[0] * self.image[1]:
                raise ValueError("samples fill the picture")
        return self


def parse_duality(text: str, source: str) -> dict[str, Any]:
    """Parse a study of the duality map.

    Raises
    ------
    DataError
        If it is no JSON, or an entry that the page shows is missing or of another type.
    """
    study = parsed_json(text, f'"{source}" is no study: it')
    try:
        _Study.model_validate(study)
    except ValidationError as problem:
        raise DataError(f'"{source}" is no study: {describe_first_error(problem, study)}') from None
    return study
