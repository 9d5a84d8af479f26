"""Plan of a study in a store: which cells it has now, and which it had when it was swept before."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from critlearn.studies.sweep.study.cells import Cell, swept_settings
from critlearn.studies.sweep.study.file import Settings, Study


class PlannedCell(BaseModel):
    """Kind and settings of a cell."""

    model_config = ConfigDict(frozen=True)
    kind: str
    config: Settings


class Plan(BaseModel):
    """What a store knows of a study.

    Parameters
    ----------
    study
        The study as it was last swept.
    swept
        Settings in which its cells may differ, besides the seed: columns of the table of results.
    cells
        Its cells, by name.
    earlier
        Cells that an earlier study of this name had, and this one has not.
    """

    model_config = ConfigDict(frozen=True)
    study: Study
    swept: tuple[str, ...]
    cells: dict[str, PlannedCell]
    earlier: dict[str, PlannedCell] = {}

    def all_cells(self) -> dict[str, PlannedCell]:
        """Present and earlier cells."""
        return {**self.cells, **self.earlier}


def plan_of(study: Study, cells: tuple[Cell, ...], before: Plan | None) -> Plan:
    """Plan of a study, which goes on with the cells of an earlier plan of the same name.

    Settings in which the earlier cells differ from the present ones count as swept, so that the table tells them apart.
    """
    present = {cell.name: PlannedCell(kind=cell.kind, config=cell.settings) for cell in cells}
    known = before.all_cells() if before else {}
    earlier = {name: cell for name, cell in known.items() if name not in present}
    swept = [*swept_settings(study), *(before.swept if before and earlier else ())]
    if earlier:
        swept += _differing([*present.values(), *earlier.values()])
    return Plan(study=study, swept=tuple(dict.fromkeys(swept)), cells=present, earlier=earlier)


def _differing(cells: list[PlannedCell]) -> list[str]:
    """Settings, but for the seed, of which not all cells have the same value."""
    configs = [cell.config for cell in cells]
    names: dict[str, Any] = dict.fromkeys(name for config in configs for name in config if name != "seed")
    first = configs[0]
    return [name for name in names if any(config.get(name) != first.get(name) for config in configs)]
