"""Dataset-learning duality: the map from boundary states to changes, its Jacobian, its inverse and its caustics."""

from critlearn._torch import torch  # noqa: F401
from critlearn.duality.caustics import Caustic, caustics_on_path, classified
from critlearn.duality.dimension import LearningDimension, learning_dimension
from critlearn.duality.inverse.inverse import Inverse, InverseStatus
from critlearn.duality.jacobian.jacobian import Jacobian
from critlearn.duality.jacobian.leading_directions import Directions
from critlearn.duality.jacobian.spectrum import Spectrum
from critlearn.duality.map import DualityMap
from critlearn.duality.restricted import RestrictedMap, choose_variables

__all__ = [
    "Caustic",
    "Directions",
    "DualityMap",
    "Inverse",
    "InverseStatus",
    "Jacobian",
    "LearningDimension",
    "RestrictedMap",
    "Spectrum",
    "caustics_on_path",
    "choose_variables",
    "classified",
    "learning_dimension",
]
