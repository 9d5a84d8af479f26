"""Schema of study files: the system, the training, what is measured and what is swept; and the text of such a file."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from critlearn.errors import unknown_name

_STRICT: Final = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
"""Unknown keys and numbers that are not finite are refused."""
Settings = dict[str, Any]


class SystemPart(BaseModel):
    """The network and its composition."""

    model_config = _STRICT
    kind: Literal["toy", "two-class", "classes", "network"] = "toy"
    network: str | None = None
    activation: str | None = None
    loss: str | None = None
    hidden: tuple[int, ...] | None = None
    hidden_activation: str | None = None
    weight_variance: float | None = None
    device: str | None = None


class DataPart(BaseModel):
    """The data set, or the density of the toy model's input."""

    model_config = _STRICT
    data: str | None = None
    target: str | None = None
    columns: tuple[str, ...] | None = None
    drop: tuple[str, ...] | None = None
    inputs: str | None = None
    samples: int | None = None


class TrainingPart(BaseModel):
    """The training that approaches equilibrium."""

    model_config = _STRICT
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    weight_decay: float | None = None
    decoupled_weight_decay: bool | None = None
    stop_at_equilibrium: bool | None = None


class MeasurePart(BaseModel):
    """Quantities that the table of results lists, all if None; whether cells have modes; and descents over time."""

    model_config = _STRICT
    quantities: tuple[str, ...] | None = None
    modes: bool | None = None
    descent_steps: int | None = None
    descent_lr: float | None = None
    descent_batch_size: int | None = None


class Range(BaseModel):
    """Interval from which a setting is drawn, uniformly in the value or in its logarithm."""

    model_config = _STRICT
    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if not self.low < self.high or (self.scale == "log" and self.low <= 0):
            raise ValueError("a range needs low < high, and low > 0 on a logarithmic scale")
        return self


class RandomPart(BaseModel):
    """Settings drawn at random: from a range, or from a list of values."""

    model_config = _STRICT
    count: Annotated[int, Field(ge=1, le=10**6)]
    seed: Annotated[int, Field(ge=0)] = 0
    settings: dict[str, Range | list[Any]]


class SweepPart(BaseModel):
    """Settings that vary: the product of ``grid``, ``zip``, ``list`` and ``random``, of which conditions keep cells."""

    model_config = _STRICT
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    zip: dict[str, list[Any]] = Field(default_factory=dict)
    list: tuple[Settings, ...] | None = None
    random: RandomPart | None = None
    where: tuple[str, ...] = ()


class Study(BaseModel):
    """A study: settings that all cells share, what is swept, and the seeds with which each cell is repeated."""

    model_config = _STRICT
    # The longest name of a file is 255 bytes, and a temporary one has an ending more.
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=200)]
    description: str = ""
    system: SystemPart = SystemPart()
    data: DataPart = DataPart()
    training: TrainingPart = TrainingPart()
    measure: MeasurePart = MeasurePart()
    sweep: SweepPart = SweepPart()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)] = (0,)


def study_schema() -> dict[str, Any]:
    """JSON schema of study files, for editors."""
    return Study.model_json_schema()


def study_text(study: Study) -> str:
    """Text of the study file; reading it gives the same study."""
    parts = study.model_dump(mode="json", exclude_defaults=True)
    system = {"kind": study.system.kind, **parts.pop("system", {})}
    settings = {"name": parts.pop("name"), "description": parts.pop("description", ""), "system": system, **parts}
    return str(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100))


def shipped_file(name: str) -> Path:
    """Path of a study file that comes with the package, by its name without the ending.

    Raises
    ------
    InvalidInputError
        If there is none of that name.
    """
    folder = Path(__file__).parent.parent / "shipped"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise unknown_name("study", name, [path.stem for path in folder.glob("*.yaml")])
    return path
