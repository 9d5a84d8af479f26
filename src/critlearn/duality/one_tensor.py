"""Samples whose input is one tensor: the coordinates of the boundary, which Jacobians and inverses are about."""

from torch import Tensor

from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem


def samples_of_one_tensor(system: NeuralSystem, numbers: list[int]) -> tuple[Tensor, Tensor]:
    """Inputs and targets of samples, as the data set has them.

    Raises
    ------
    InvalidInputError
        If a network takes several inputs: which of them are coordinates, and which masks, only its user knows.
    """
    x, t = system.states.chosen(numbers)
    if not isinstance(x, Tensor):
        raise InvalidInputError(
            "Jacobians and inverses are those of one tensor of continuous inputs, and this network takes several: make "
            "the system of a module that takes that tensor and holds the others"
        )
    return x, t
