"""Manifest of a study in a store: which cells it has now, and which it had when it was swept before."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from critlearn.studies.sweep.study.cells import Cell, swept_settings
from critlearn.studies.sweep.study.schema import Settings, Study


class ManifestCell(BaseModel):
    """Kind and settings of a cell."""

    model_config = ConfigDict(frozen=True)
    kind: str
    config: Settings

    @model_validator(mode="after")
    def _seeded(self) -> "ManifestCell":
        if type(self.config.get("seed")) is not int:
            raise ValueError("a cell has a seed")
        return self


class Manifest(BaseModel):
    """List of the cells of a study, as a store keeps it.

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
    cells: dict[str, ManifestCell]
    earlier: dict[str, ManifestCell] = {}

    def all_cells(self) -> dict[str, ManifestCell]:
        """Present and earlier cells."""
        return {**self.cells, **self.earlier}


def make_manifest(study: Study, cells: tuple[Cell, ...], previous: Manifest | None) -> Manifest:
    """Manifest of a study, which keeps the cells of the previous manifest of the same name.

    Settings in which the earlier cells differ from the present ones count as swept, so that the table tells them apart.
    """
    present = {cell.name: ManifestCell(kind=cell.kind, config=cell.settings) for cell in cells}
    known = previous.all_cells() if previous else {}
    earlier = {name: cell for name, cell in known.items() if name not in present}
    swept = [*swept_settings(study), *(previous.swept if previous and earlier else ())]
    if earlier:
        swept += _differing([*present.values(), *earlier.values()])
    return Manifest(study=study, swept=tuple(dict.fromkeys(swept)), cells=present, earlier=earlier)


def _differing(cells: list[ManifestCell]) -> list[str]:
    """Settings, but for the seed, of which not all cells have the same value."""
    configs = [cell.config for cell in cells]
    names: dict[str, Any] = dict.fromkeys(name for config in configs for name in config if name != "seed")
    first = configs[0]
    return [name for name in names if any(config.get(name) != first.get(name) for config in configs)]
