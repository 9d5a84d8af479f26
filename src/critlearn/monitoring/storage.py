"""Storage of monitor records: a safetensors file of counts and series, with everything else as JSON in its header."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from critlearn.errors import CritlearnError, DataError, OutputError, first_line
from critlearn.monitoring.distribution import Distribution
from critlearn.monitoring.increments import PeriodIncrements
from critlearn.monitoring.record import MonitoredState, MonitorRecord
from critlearn.monitoring.updates import UpdateSeries
from critlearn.numerics.log_sketch import LogSketch
from critlearn.reading.json_text import parsed_json
from critlearn.reading.json_types import Count, Number
from critlearn.reading.validation_errors import describe_first_error
from critlearn.whole_files import replacing

MONITOR: Final = "monitor.safetensors"
"""Name of a record in the folder of a run, whose page then has a section on it."""

_KEY: Final = "critlearn.monitor"
"""Name of the JSON text in the file's header."""
_FORMAT: Final = 1
"""Version of the layout; a file of another version is refused."""

_SKETCH_FIELDS: Final = ("first_bin", "positive", "negative", "zeros")
_RECORD_FIELDS: Final = tuple(
    part.name for part in fields(MonitorRecord) if part.name not in ("states", "series", "increments")
)
_STATE_FIELDS: Final = tuple(part.name for part in fields(MonitoredState) if part.name != "distributions")
"""Arrays of a sketch, and the fields of records and of states that are plain values and go into the JSON text."""

_Seconds = Annotated[Number, Field(ge=0)]


class _Distribution(BaseModel):
    axis: str
    log_floor: Number | None


class _State(BaseModel):
    step: Count
    training_seconds: _Seconds
    cost_seconds: _Seconds
    rates: list[Number]
    equilibrium_fraction: Annotated[Number, Field(ge=0, le=1)] | None
    frozen: Count | None
    problem: str | None
    # Earlier versions did not tell it.
    samples: Count = 0
    distributions: dict[str, _Distribution]

    @model_validator(mode="after")
    def _measured(self) -> "_State":
        if self.problem is None and self.equilibrium_fraction is None:
            raise ValueError("a state without a problem has a share of variables at equilibrium")
        return self


class _Period(BaseModel):
    layer: str
    first_step: Count
    last_step: Count


class _Header(BaseModel):
    """What the JSON text must hold for summaries, tables and figures."""

    states: list[_State]
    samples: Annotated[Count, Field(gt=0)]
    data_samples: Annotated[Count, Field(gt=0)]
    cadence: str
    steps: Count
    training_seconds: _Seconds
    monitor_seconds: _Seconds
    # Earlier versions counted no increments.
    increments: list[_Period] = []


def save_record(path: Path, record: MonitorRecord) -> None:
    """Write a record, whole or not at all; fits are not stored, as they follow from the counts.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    arrays: dict[str, np.ndarray] = {"series/steps": record.series.steps}
    states = []
    for number, state in enumerate(record.states):
        parts = {}
        for name, part in state.distributions.items():
            parts[name] = {"axis": part.axis, "log_floor": part.log_floor}
            for field, array in part.sketch.to_arrays().items():
                arrays[f"state/{number}/{name}/{field}"] = _narrow(array)
        states.append({**{key: getattr(state, key) for key in _STATE_FIELDS}, "distributions": parts})
    for name, entries in record.series.entries.items():
        arrays[f"series/{name}/entries"] = entries
        arrays[f"series/{name}/values"] = record.series.values[name]
    periods = []
    for number, period in enumerate(record.increments):
        periods.append({"layer": period.layer, "first_step": period.first_step, "last_step": period.last_step})
        for field, array in period.sketch.to_arrays().items():
            arrays[f"increments/{number}/{field}"] = _narrow(array)
    plain = {"format": _FORMAT, **{key: getattr(record, key) for key in _RECORD_FIELDS}, "states": states}
    plain["increments"] = periods
    with replacing(path) as temporary:
        try:
            save_file(arrays, temporary, metadata={_KEY: json.dumps(plain, allow_nan=False)})
        except SafetensorError as problem:
            raise OutputError(f'cannot write "{path}": {problem}') from problem


def load_record(path: Path) -> MonitorRecord:
    """Read the record in a file of `save_record`.

    Raises
    ------
    DataError
        If the file is missing or holds something else.
    """
    if not path.is_file():
        raise DataError(f'no such file: "{path}"')
    try:
        with safe_open(path, framework="numpy") as file:
            plain = parsed_json((file.metadata() or {})[_KEY], "its header")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        return _record(plain, arrays)
    except ValidationError as problem:
        why = describe_first_error(problem, plain)
    except KeyError as problem:
        why = f"{problem.args[0]} is missing"
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError, CritlearnError) as problem:
        why = first_line(problem)
    raise DataError(f'"{path}" holds no record of a monitor: {why}')


def read_monitor(folder: Path) -> MonitorRecord | None:
    """Record in the folder of a run; None where there is none.

    Raises
    ------
    DataError
        If the file holds something else.
    """
    return load_record(folder / MONITOR) if (folder / MONITOR).is_file() else None


def _record(plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> MonitorRecord:
    """Record from the JSON and the arrays of a file."""
    if plain["format"] != _FORMAT:
        raise ValueError(f"format {plain['format']} is not known")
    _Header.model_validate(plain)
    states = []
    for number, state in enumerate(plain["states"]):
        parts = {
            name: Distribution(_sketch(arrays, f"state/{number}/{name}"), str(part["axis"]), part["log_floor"])
            for name, part in state["distributions"].items()
        }
        values = {key: state[key] for key in _STATE_FIELDS if key in state or key != "samples"}
        states.append(MonitoredState(**{**values, "rates": tuple(values["rates"])}, distributions=parts))
    kept = [key.removeprefix("series/").removesuffix("/entries") for key in arrays if key.endswith("/entries")]
    series = UpdateSeries(
        {name: arrays[f"series/{name}/entries"] for name in kept},
        {name: arrays[f"series/{name}/values"] for name in kept},
        arrays["series/steps"],
    )
    _check_series(series)
    increments = tuple(
        PeriodIncrements(str(part["layer"]), int(part["first_step"]), int(part["last_step"]), sketch)
        for number, part in enumerate(plain.get("increments", ()))
        for sketch in [_sketch(arrays, f"increments/{number}")]
    )
    return MonitorRecord(tuple(states), series, **{key: plain[key] for key in _RECORD_FIELDS}, increments=increments)


def _check_series(series: UpdateSeries) -> None:
    """Raise unless there is a value of each entry after each step, the steps ascending."""
    steps = series.steps
    whole = [steps.dtype == np.int64, steps.ndim == 1, bool((np.diff(steps) > 0).all())]
    for name, values in series.values.items():
        entries = series.entries[name]
        whole += [entries.dtype == np.int64, entries.ndim == 1, values.dtype == np.float64]
        whole += [values.shape == (len(steps), len(entries))]
    if not all(whole):
        raise ValueError("its series have not a value of each entry after each step")


def _sketch(arrays: Mapping[str, np.ndarray], place: str) -> LogSketch:
    """Sketch whose arrays are stored under a name; counts are in narrow types, and a sketch takes 64 bits."""
    return LogSketch.from_arrays({field: arrays[f"{place}/{field}"].astype(np.int64) for field in _SKETCH_FIELDS})


def _narrow(array: np.ndarray) -> np.ndarray:
    """Integers in the narrowest type that holds them: most counts are small."""
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.asarray(array, dtype=kind, order="C")
    return np.asarray(array, order="C")
