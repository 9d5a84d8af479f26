"""Study of the duality map of a stored run, at initialisation and after training, stored beside the record."""

from pathlib import Path
from typing import Any, Final

from critlearn.analysis.run_folder import REPORT, json_text, read_record, read_run
from critlearn.duality import DualityMap, learning_dimension
from critlearn.duality.one_tensor import samples_of_one_tensor
from critlearn.errors import DataError, InvalidInputError
from critlearn.network import NeuralSystem
from critlearn.reading.limits import LARGEST_DOCUMENT
from critlearn.reading.text_file import read_text
from critlearn.results import plain
from critlearn.studies.runs.duality_schema import parse_duality
from critlearn.studies.runs.system import load_system
from critlearn.whole_files import write_whole

DUALITY: Final = "duality.json"
"""Name of the file that holds the study, beside the run's record."""

_PICTURED: Final = 4
_DIRECTIONS: Final = 3
"""Samples with pictures, and leading directions of each: as many as fit side by side on the page."""


def study_duality(folder: Path, *, samples: int = 256, trust: bool = False) -> dict[str, Any]:
    """Spectra, ranks, overlaps and leading directions of a run's duality map, as plain values.

    With ``trust``, code that the run's record names is run: see `load_system`.

    Raises
    ------
    DataError
        If the folder holds no run of a network.
    InvalidInputError
        If the number of samples is not positive.
    """
    if samples < 1:
        raise InvalidInputError(f"--samples must be at least 1; got {samples}")
    record = read_record(folder)
    stored = load_system(folder, record, trust=trust)
    states = {"initial": stored.initial, "trained": stored.trained}
    return plain(
        {
            "run_dir": str(folder),
            "composition": record["composition"]["name"],
            "image": stored.image,
            "states": {
                name: learning_dimension(DualityMap(system), samples=samples).to_dict()
                for name, system in states.items()
            },
            "leading": _leading(stored.trained),
        }
    )


def _leading(system: NeuralSystem) -> list[dict[str, Any]]:
    """Leading boundary directions at a few samples."""
    phi, found = DualityMap(system), []
    size = len(system)
    # Samples spread evenly over the data set, the first and the last among them.
    for sample in sorted({at * (size - 1) // max(1, _PICTURED - 1) for at in range(_PICTURED)}):
        x, t = (part[0] for part in samples_of_one_tensor(system, [sample]))
        jacobian = phi.jacobian(x, t)
        directions = jacobian.leading_directions(min(_DIRECTIONS, *jacobian.shape))
        found.append(
            {
                "sample": sample,
                "target": float(t),
                "x": x.tolist(),
                "log_singular_values": jacobian.spectrum.log_values[: len(directions.values)].tolist(),
                "directions": directions.x.tolist(),
            }
        )
    return found


def read_duality(folder: Path) -> dict[str, Any] | None:
    """Study of the duality map stored beside a run's record; None if there is none.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    path = folder / DUALITY
    if not path.is_file():
        return None
    try:
        return parse_duality(read_text(path, LARGEST_DOCUMENT), str(path))
    except DataError as problem:
        raise DataError(f"{problem}; it is damaged: make it again with critlearn duality") from None


def write_duality(folder: Path, study: dict[str, Any], report: Any) -> None:
    """Write the study beside the run's record, and make the page of the run again with it.

    Parameters
    ----------
    report
        Function from record, sketches and study to the text of the page.

    Raises
    ------
    OutputError
        If something cannot be written.
    """
    record, fluctuations = read_run(folder)
    write_whole(folder / DUALITY, json_text(study).encode())
    write_whole(folder / REPORT, report(record, fluctuations, study).encode())
