"""Read study files: every error names its location in the file and the line, before anything is computed."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from critlearn.errors import InvalidInputError, unknown_name
from critlearn.reading.limits import LARGEST_STUDY
from critlearn.reading.text_file import read_text
from critlearn.reading.validation_errors import Location, at_location, first_error, is_unknown_key
from critlearn.reading.yaml_text import parsed_yaml
from critlearn.studies.sweep.study.locations import StudyError
from critlearn.studies.sweep.study.preflight import check_study
from critlearn.studies.sweep.study.schema import (
    DataPart,
    MeasurePart,
    RandomPart,
    Range,
    Study,
    SweepPart,
    SystemPart,
    TrainingPart,
)


def load_study(path: Path) -> Study:
    """Read a file that holds one study.

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
    """Read the studies of a file: one, or several with ``---`` between them, each with a name of its own.

    Raises
    ------
    DataError
        If it cannot be read or is not YAML.
    InvalidInputError
        If a key is unknown or a value is not allowed, with its location in the file and the line; or two have one name.
    """
    documents = parsed_yaml(read_text(path, LARGEST_STUDY), f'"{path}"')
    studies = tuple(_checked(document.content, document.node, path) for document in documents)
    if not studies:
        raise InvalidInputError(f'"{path}" holds no study: it is empty')
    for name, number in Counter(study.name for study in studies).items():
        if number > 1:
            raise InvalidInputError(f'"{path}" holds two studies of the name "{name}"')
    return studies


def _checked(content: Any, node: Any, path: Path) -> Study:
    """Study from the content of a file, checked; errors name file and line."""
    if not isinstance(content, dict):
        raise InvalidInputError(f'"{path}" holds no study: a mapping with at least "name" is needed')
    for key, line in _repeated_keys(node):
        raise InvalidInputError(f'{path}:{line}: the key "{key}" is given twice')
    try:
        study = Study.model_validate(content)
        check_study(study)
    except ValidationError as problem:
        location, message = first_error(problem, content)
        if is_unknown_key(problem):
            message = str(unknown_name("key", str(location[-1]), _keys(location)))
        raise InvalidInputError(f"{path}:{_line(node, location)}: {at_location(location, message)}") from None
    except StudyError as problem:
        raise InvalidInputError(f"{path}:{_line(node, problem.location)}: {problem}") from None
    return study


def _repeated_keys(node: Any) -> Iterator[tuple[str, int]]:
    """Keys that stand twice in a mapping, with their lines; YAML would silently take the last."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    yield key.value, int(key.start_mark.line) + 1
                seen.add(key.value)
            yield from _repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item)


def _line(node: Any, location: Location) -> int:
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


def _keys(location: Location) -> list[str]:
    """Keys that are allowed at the location of an unknown one."""
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
