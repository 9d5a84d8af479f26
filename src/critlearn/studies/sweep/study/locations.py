"""Locations of settings in a study file, so that an error message can name the line."""

from collections.abc import Iterator
from typing import Any

from critlearn.errors import InvalidInputError
from critlearn.reading.validation_errors import Location, dotted
from critlearn.studies.sweep.study.schema import Study


class StudyError(InvalidInputError):
    """Error in a study, with its location in the study file."""

    def __init__(self, location: Location, message: str) -> None:
        self.location = location
        super().__init__(f"{dotted(location)}: {message}")


def all_settings(study: Study) -> Iterator[tuple[Location, str, Any]]:
    """Location, name and value of every setting in a study; the value is None where it is drawn at random."""
    for part in ("system", "data", "training", "measure"):
        values = getattr(study, part).model_dump(exclude={"kind", "quantities"}, exclude_none=True)
        yield from (((part, name), name, value) for name, value in values.items())
    sweep = study.sweep
    for how, settings in (("grid", sweep.grid), ("zip", sweep.zip)):
        for name, values in settings.items():
            yield from _each(("sweep", how, name), name, values)
    for number, row in enumerate(sweep.list or ()):
        yield from ((("sweep", "list", number, name), name, value) for name, value in row.items())
    for name, source in sweep.random.settings.items() if sweep.random else ():
        yield from _each(("sweep", "random", "settings", name), name, source if isinstance(source, list) else [])


def _each(location: Location, name: str, values: list[Any]) -> Iterator[tuple[Location, str, Any]]:
    """Values of a setting, each with its own location; the location of the list if it is empty."""
    yield from (((*location, number), name, value) for number, value in enumerate(values))
    if not values:
        yield location, name, None


def location_of(study: Study, setting: str, value: Any = None) -> Location:
    """Location of a setting, with that value if it is found; ``sweep`` if the study does not contain the setting."""
    found = [(location, held) for location, name, held in all_settings(study) if name == setting]
    plain = list(value) if isinstance(value, tuple) else value
    for location, held in found:
        if (list(held) if isinstance(held, tuple) else held) == plain:
            return location
    return found[0][0] if found else ("sweep",)


def check_given_once(study: Study) -> None:
    """Raise if a setting stands in two parts of a study, of which one would be ignored.

    Raises
    ------
    StudyError
        If one does.
    """
    ways: dict[str, str] = {}
    for location, name, _ in all_settings(study):
        way = dotted(location[:2] if location[0] == "sweep" else location[:1])
        first = ways.setdefault(name, way)
        if first != way:
            raise StudyError(location, f'"{name}" is given twice: under {first} and under {way}')
