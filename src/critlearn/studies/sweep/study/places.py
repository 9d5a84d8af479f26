"""Where a study gives a setting, so that what is wrong with it can be told with its line."""

from collections.abc import Iterator
from typing import Any

from critlearn.errors import InvalidInputError
from critlearn.studies.faults import Location, dotted
from critlearn.studies.sweep.study.file import Study


class StudyError(InvalidInputError):
    """Something in a study is not allowed, at a place of its file."""

    def __init__(self, location: Location, message: str) -> None:
        self.location = location
        super().__init__(f"{dotted(location)}: {message}")


def given_settings(study: Study) -> Iterator[tuple[Location, str, Any]]:
    """Place, name and value of every setting that a study gives; None for values that are drawn."""
    for part in ("system", "data", "training"):
        given = getattr(study, part).model_dump(exclude={"kind"}, exclude_none=True)
        yield from (((part, name), name, value) for name, value in given.items())
    sweep = study.sweep
    for how, settings in (("grid", sweep.grid), ("zip", sweep.zip)):
        for name, values in settings.items():
            yield from _listed(("sweep", how, name), name, values)
    for number, row in enumerate(sweep.list or ()):
        yield from ((("sweep", "list", number, name), name, value) for name, value in row.items())
    for name, source in sweep.random.settings.items() if sweep.random else ():
        yield from _listed(("sweep", "random", "settings", name), name, source if isinstance(source, list) else [])


def _listed(place: Location, name: str, values: list[Any]) -> Iterator[tuple[Location, str, Any]]:
    """Values of a setting, each at its own place; the place of all where there are none."""
    yield from (((*place, number), name, value) for number, value in enumerate(values))
    if not values:
        yield place, name, None


def place_of(study: Study, setting: str, value: Any = None) -> Location:
    """Where a setting is given, with that value if it is found; under ``sweep`` if it is given nowhere."""
    places = [(place, given) for place, name, given in given_settings(study) if name == setting]
    plain = list(value) if isinstance(value, tuple) else value
    for place, given in places:
        if (list(given) if isinstance(given, tuple) else given) == plain:
            return place
    return places[0][0] if places else ("sweep",)


def check_given_once(study: Study) -> None:
    """Refuse a setting that is given in two ways, of which one would be lost.

    Raises
    ------
    StudyError
        If there is one.
    """
    ways: dict[str, str] = {}
    for place, name, _ in given_settings(study):
        way = dotted(place[:2] if place[0] == "sweep" else place[:1])
        first = ways.setdefault(name, way)
        if first != way:
            raise StudyError(place, f'"{name}" is given twice: under {first} and under {way}')
