"""System of a stored run: its network with the trained weights, and with the initial ones."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file

from critlearn.analysis.run_folder import CELLS, WEIGHTS
from critlearn.analysis.stored_files import check_files
from critlearn.errors import DataError
from critlearn.network import NeuralSystem
from critlearn.studies.config import ClassesConfig, DenseConfig, TwoClassConfig, checked, written_list
from critlearn.studies.import_paths import is_import_path
from critlearn.studies.two_class import initial_network, samples_of, system_of

_IMAGE_SHAPES: Final = {64: (8, 8), 784: (28, 28)}
"""Shapes of the images of scikit-learn's digits and of MNIST, by their number of pixels."""

_BYTES: Final = 4
"""Bytes of a weight, at the least: the file bounds a network that is only described in a record."""

_CONFIGS: Final[dict[str, type[DenseConfig]]] = {"two-class": TwoClassConfig, "classes": ClassesConfig}
"""Class of the settings, by the study."""


@dataclass(frozen=True, eq=False)
class RunSystem:
    """System of a run, before and after training.

    Parameters
    ----------
    trained, initial
        Systems with the weights after training, and with those at initialisation.
    image
        Shape of the inputs as images; None if they are not images.
    """

    trained: NeuralSystem
    initial: NeuralSystem
    image: tuple[int, int] | None


def load_system(folder: Path, record: dict[str, Any], *, trust: bool = False) -> RunSystem:
    """Rebuild the system of a run of a dense network from its record and weights.

    Parameters
    ----------
    folder, record
        Folder of the run, and its record.
    trust
        Whether to run the code, and fetch the data, that the record names: a record is data, and may come from anybody.

    Raises
    ------
    DataError
        If the run is of another study, names code or data of the network and is not trusted, or its weights cannot be
        read or do not fit.
    """
    study = record.get("study")
    if study not in _CONFIGS:
        raise DataError(f'the run in "{folder}" is of the study "{study}"; {" and ".join(_CONFIGS)} have a sheet')
    if "seeds" in record["config"]:
        raise DataError(f'the run in "{folder}" pools an ensemble; its single runs, in "{CELLS}", have a sheet')
    config = checked(_CONFIGS[study], record["config"])
    named = [text for text in (config.data, config.activation, config.loss) if is_import_path(text)]
    if named and not trust:
        raise DataError(
            f'the run in "{folder}" was made with code of its own, "{named[0]}", which is run only with --trust of '
            "critlearn duality and design, or trust=True"
        )
    if config.data.startswith("openml:") and not trust:
        raise DataError(
            f'the run in "{folder}" was made with data from the network, "{config.data}", which is fetched only with '
            "--trust of critlearn duality and design, or trust=True"
        )
    dataset = samples_of(config)
    path, widths = folder / WEIGHTS, (dataset.x.shape[1], *config.hidden)
    check_files(folder, record, (WEIGHTS,))
    if _BYTES * sum(a * b for a, b in pairwise(widths)) > path.stat().st_size:
        raise DataError(f'"{path}" holds fewer weights than a network of hidden layers {written_list(config.hidden)}')
    trained, initial = (initial_network(config, dataset) for _ in range(2))
    try:
        trained.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as problem:
        raise DataError(f'"{path}" does not hold the weights of the run: {problem}') from problem
    is_image = config.data.partition(":")[0] == "digits" or "mnist" in config.data.lower()
    image = _IMAGE_SHAPES.get(dataset.x.shape[1]) if is_image else None
    return RunSystem(system_of(config, dataset, trained), system_of(config, dataset, initial), image)
