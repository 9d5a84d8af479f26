"""Schema of stored records: the entries that tables, lists and pages need, checked when a record is read."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from critlearn.comparison.agreement import Agreement
from critlearn.comparison.ladder.level import COMPOSITION, JOINT
from critlearn.equilibrium import Status
from critlearn.errors import DataError
from critlearn.reading.json_text import parsed_json
from critlearn.reading.json_types import Count, Flag, Number, Plain, Series, Whole
from critlearn.reading.validation_errors import describe_first_error

_MOST_HEADLINES: Final = 8
"""Sentences that sum a run up: more are no summary."""

_MOST_MODES: Final = 1000
"""Modes of a record: more are no reduction of learning, and no table of a page."""

Ends = Annotated[list[Number | None], Field(min_length=2, max_length=2)]
"""Ends of an interval; null where one is not finite."""

Spread = Annotated[Number, Field(ge=0)]
"""Standard error, which no figure can draw if it is negative."""


class _Cutoff(BaseModel):
    scale: Annotated[Number, Field(gt=0)]


class _Measured(BaseModel):
    exponent: Number | None
    stderr: Spread | None
    ci95: Ends | None
    window: Ends | None
    log_window: Ends | None = None
    decades: Number | None
    verdict: str
    p_value: Number | None = None
    retained: Number | None = None
    cutoff: _Cutoff | None = None

    @model_validator(mode="after")
    def _whole(self) -> "_Measured":
        if self.exponent is not None and self.decades is None:
            raise ValueError("a fit with an exponent has decades")
        for name in ("ci95", "window", "log_window"):
            ends = getattr(self, name)
            # A tail to infinity has no upper end of its window, an interval always both.
            if self.exponent is not None and ends and (ends[0] is None or (ends[1] is None and name == "ci95")):
                raise ValueError(f"a fit with an exponent has ends of {name}")
        return self


class _Predicted(BaseModel):
    exponent: Number | None
    exact: str | None = None
    source: str = ""
    exponent_on_measured_window: Number | None = None


class _Contribution(BaseModel):
    value: Number
    standard_error: Spread


class _Anatomy(BaseModel):
    composition: _Contribution | None
    data: _Contribution
    path: _Contribution
    dependence: _Contribution
    total: Number


class _Level(BaseModel):
    level: Annotated[Whole, Field(ge=COMPOSITION, le=JOINT)]
    exponent: Number | None
    distance: Number | None
    noise: Number | None
    agreement: Agreement | None
    needed: Whole | None


class _Tail(BaseModel):
    error: _Contribution | None
    path: _Contribution | None
    end: str
    finite: Flag | None
    exponent: Number | None
    measured: _Contribution
    agreement: Agreement
    summary: str


class _MeasuredCurve(BaseModel):
    log_delta: Series
    exponent: Series
    band_lo: Series
    band_hi: Series

    @model_validator(mode="after")
    def _equal(self) -> "_MeasuredCurve":
        return _of_one_length(self, "log_delta", "exponent", "band_lo", "band_hi")


class _PredictedCurve(BaseModel):
    log_delta: Series
    log_density: Series
    exponent: Series

    @model_validator(mode="after")
    def _equal(self) -> "_PredictedCurve":
        return _of_one_length(self, "log_delta", "log_density", "exponent")


class _Curves(BaseModel):
    measured: _MeasuredCurve | None
    predicted: _PredictedCurve | None


class _Pooled(BaseModel):
    seeds: list[Whole]
    sd: Number | None


class _Quantity(BaseModel):
    axis: str
    count: Count
    zeros: Count = 0
    measured: _Measured
    predicted: _Predicted | None
    # Records of earlier versions say true or false.
    agreement: Flag | Agreement | None
    statement: str
    curves: _Curves
    layer: str | None = None
    kind: str | None = None
    pool: Flag = False
    not_predicted: str | None = None
    prediction_distance: Number | None = None
    ensemble: _Pooled | None = None
    # Records of earlier versions have none of these.
    ladder: Annotated[list[_Level], Field(max_length=JOINT + 1)] | None = None
    explanation: str | None = None
    anatomy: _Anatomy | None = None
    tail: _Tail | None = None


class _OverTime(BaseModel):
    quantities: dict[str, _Quantity]


class _Mode(BaseModel):
    share: Number | None
    share_error: Spread | None
    r_squared: Number | None
    r_squared_error: Spread | None
    zeros: Number | None
    bare: Number | None
    bare_error: Spread | None
    independent: Number | None
    independent_error: Spread | None
    joint: Number | None
    joint_error: Spread | None
    noise: Number | None
    noise_error: Spread | None
    variance_ratio: Number | None
    variance_ratio_error: Spread | None


class _Modes(BaseModel):
    modes: Annotated[list[_Mode], Field(max_length=_MOST_MODES)]
    participation_ratio: Number | None
    participation_ratio_error: Spread | None
    coupling: Number | None
    coupling_error: Spread | None
    coupling_floor: Number | None
    correlations: Annotated[list[Series], Field(max_length=_MOST_MODES)]
    samples: Annotated[list[Count], Field(min_length=2, max_length=2)]
    variables: Count
    exact: Flag
    drawn_from: Count | None = None

    @model_validator(mode="after")
    def _square(self) -> "_Modes":
        if any(len(row) != len(self.correlations) for row in self.correlations):
            raise ValueError("correlations are a square matrix")
        return self


class _Scatter(BaseModel):
    fluctuation: Series
    drift: Series

    @model_validator(mode="after")
    def _equal(self) -> "_Scatter":
        return _of_one_length(self, "fluctuation", "drift")


class _Equilibrium(BaseModel):
    certified: Flag
    status: Status
    reason: str
    epochs: Count | None
    frozen: Count
    samples: Count | None = None
    tolerance: Annotated[Number, Field(gt=0)]
    losses: Series
    scatter: _Scatter


class _Kappa(BaseModel):
    exact: str | None


class _Composition(BaseModel):
    name: str
    kappa: _Kappa | None


class StoredFile(BaseModel):
    """Size and hash of a file beside a record."""

    bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Record(BaseModel):
    study: str
    data: str
    config: dict[str, Plain | list[Plain]]
    versions: dict[str, str]
    seed: Count
    seconds: Annotated[Number, Field(ge=0)]
    equilibrium: _Equilibrium
    accuracy: Number | None
    composition: _Composition
    quantities: Annotated[dict[str, _Quantity], Field(min_length=1)]
    run_dir: str | None
    resolution_floor: Number | None = None
    floor_reference: str = ""
    unfinished: list[str] = []
    # Records of earlier versions have none of these.
    modes: _Modes | None = None
    no_modes: str | None = None
    over_time: _OverTime | None = None
    files: dict[str, StoredFile] = {}

    @model_validator(mode="after")
    def _named(self) -> "_Record":
        seeds = self.config.get("seeds", 1)
        # Every number of JSON may have been read as one with decimals.
        if isinstance(seeds, bool) or not isinstance(seeds, int | float) or not float(seeds).is_integer():
            raise ValueError("the number of seeds is a whole number")
        if "critlearn" not in self.versions:
            raise ValueError("the version of critlearn is missing")
        return self


_Entry = TypeVar("_Entry", bound=BaseModel)


def _of_one_length(entry: _Entry, *names: str) -> _Entry:
    """The entry, if its lists are of one length."""
    if len({len(getattr(entry, name)) for name in names}) > 1:
        raise ValueError(f"{', '.join(names)} have different lengths")
    return entry


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
    record = parsed_json(content, f'"{source}" is not a record: it')
    try:
        _Record.model_validate(record)
    except ValidationError as problem:
        raise DataError(f'"{source}" is not a record: {describe_first_error(problem, record)}') from None
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
