"""System of a stored run: its network with the trained weights, and with the initial ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file

from critlearn.errors import DataError
from critlearn.network import NeuralSystem
from critlearn.studies.config import TwoClassConfig, checked
from critlearn.studies.run_folder import WEIGHTS
from critlearn.studies.two_class import initial_network, load_data, system_of

_IMAGE_SHAPES: Final = {64: (8, 8), 784: (28, 28)}
"""Shapes of the images of scikit-learn's digits and of MNIST, by their number of pixels."""


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


def load_system(folder: Path, record: dict[str, Any]) -> RunSystem:
    """Rebuild the system of a two-class run from its record and weights.

    Raises
    ------
    DataError
        If the run is of another study, or its weights cannot be read or do not fit.
    """
    if record.get("study") != "two-class":
        raise DataError(f'the run in "{folder}" is of the study "{record.get("study")}"; only two-class has a sheet')
    config = checked(TwoClassConfig, record["config"])
    dataset = load_data(config)
    trained, initial = (initial_network(config, dataset.x.shape[1]) for _ in range(2))
    try:
        trained.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as problem:
        raise DataError(f'"{folder / WEIGHTS}" does not hold the weights of the run: {problem}') from problem
    is_image = config.data.startswith("digits:") or "mnist" in config.data.lower()
    image = _IMAGE_SHAPES.get(dataset.x.shape[1]) if is_image else None
    return RunSystem(system_of(config, dataset, trained), system_of(config, dataset, initial), image)
