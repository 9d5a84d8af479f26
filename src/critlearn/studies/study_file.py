"""Study files: YAML that declares a system and what is swept, checked before anything is computed."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from critlearn.errors import DataError, InvalidInputError, unknown_name

_STRICT: Final = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
Settings = dict[str, Any]


class SystemPart(BaseModel):
    """The network and its composition."""

    model_config = _STRICT
    kind: Literal["toy", "two-class"] = "toy"
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
    inputs: str | None = None
    samples: int | None = None


class TrainingPart(BaseModel):
    """The training that approaches equilibrium."""

    model_config = _STRICT
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    weight_decay: float | None = None
    stop_at_equilibrium: bool | None = None


class MeasurePart(BaseModel):
    """Quantities that the table of results lists; all if None."""

    model_config = _STRICT
    quantities: tuple[str, ...] | None = None


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
    """What varies: the product of the four parts that are given, of which the conditions keep some."""

    model_config = _STRICT
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    zip: dict[str, list[Any]] = Field(default_factory=dict)
    list: tuple[Settings, ...] | None = None
    random: RandomPart | None = None
    where: tuple[str, ...] = ()


class Study(BaseModel):
    """A study: settings that all cells share, what is swept, and the seeds with which each is repeated."""

    model_config = _STRICT
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
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


def shipped_file(name: str) -> Path:
    """Study file that belongs to the package, by its name without the ending.

    Raises
    ------
    InvalidInputError
        If there is none of that name.
    """
    folder = Path(__file__).parent / "shipped"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise unknown_name("study", name, [path.stem for path in folder.glob("*.yaml")])
    return path


def load_study(path: Path) -> Study:
    """Study of a file that holds one.

    Raises
    ------
    DataError, InvalidInputError
        As `load_studies`, and if there are several.
    """
    studies = load_studies(path)
    if len(studies) > 1:
        raise InvalidInputError(f'"{path}" holds {len(studies)} studies, not one')
    return studies[0]


def load_studies(path: Path) -> tuple[Study, ...]:
    """Studies of a file: one, or several with ``---`` between them, each with a name of its own.

    Raises
    ------
    DataError
        If it cannot be read or is not YAML.
    InvalidInputError
        If a key is unknown or a value is not allowed, with the place in the file and its line; or two have one name.
    """
    try:
        text = path.read_text(encoding="utf-8")
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        contents = list(yaml.safe_load_all(text))
    except OSError as problem:
        raise DataError(f'cannot read the study "{path}": {problem.strerror}') from problem
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise DataError(f'"{path}" is not YAML: {" ".join(str(problem).split())}') from problem
    studies = tuple(_checked(content, node, path) for content, node in zip(contents, nodes, strict=True))
    if not studies:
        raise InvalidInputError(f'"{path}" holds no study: it is empty')
    names = [study.name for study in studies]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInputError(f'"{path}" holds two studies of the name "{name}"')
    return studies


def _checked(content: Any, node: Any, path: Path) -> Study:
    if not isinstance(content, dict):
        raise InvalidInputError(f'"{path}" holds no study: a mapping with at least "name" is needed')
    try:
        return Study.model_validate(content)
    except ValidationError as problem:
        first = problem.errors()[0]
        location = first["loc"]
        place = f"{path}:{_line(node, location)}: {'.'.join(map(str, location))}"
        if first["type"] == "extra_forbidden":
            raise InvalidInputError(f"{place}: {unknown_name('key', str(location[-1]), _keys(location))}") from None
        raise InvalidInputError(f"{place}: {first['msg']}; got {first['input']!r}") from None


def _line(node: Any, location: tuple[int | str, ...]) -> int:
    """Line of the innermost node on the way to a location."""
    line = int(node.start_mark.line)
    for step in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(step)), None)
            if pair is None:
                break
            line, node = int(pair[0].start_mark.line), pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = int(node.start_mark.line)
        else:
            break
    return line + 1


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """Keys that are allowed where an unknown one was found."""
    parts: dict[str, type[BaseModel]] = {
        "system": SystemPart,
        "data": DataPart,
        "training": TrainingPart,
        "measure": MeasurePart,
        "sweep": SweepPart,
    }
    model: type[BaseModel] = Study if len(location) == 1 else parts.get(str(location[0]), Study)
    if location[:2] == ("sweep", "random") and len(location) > 2:
        model = RandomPart if len(location) == 3 else Range
    return list(model.model_fields)
