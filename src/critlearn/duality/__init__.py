"""Dataset-learning duality: the map from boundary states to changes, its Jacobian, its inverse and its caustics."""

from critlearn._torch import torch  # noqa: F401
from critlearn.duality.caustics.caustic import CausticPoint, classified
from critlearn.duality.caustics.curves import CausticCurve, CausticCurves, caustic_curves, trace_caustic
from critlearn.duality.caustics.path import caustics_on_path
from critlearn.duality.density.restricted import RestrictedMap, choose_variables
from critlearn.duality.dimension import LearningDimension, learning_dimension
from critlearn.duality.inverse.inverse import Inverse, InverseStatus
from critlearn.duality.jacobian.jacobian import Jacobian
from critlearn.duality.jacobian.leading_directions import Directions
from critlearn.duality.jacobian.spectrum import Spectrum
from critlearn.duality.map import DualityMap

__all__ = [
    "CausticCurve",
    "CausticCurves",
    "CausticPoint",
    "Directions",
    "DualityMap",
    "Inverse",
    "InverseStatus",
    "Jacobian",
    "LearningDimension",
    "RestrictedMap",
    "Spectrum",
    "caustic_curves",
    "caustics_on_path",
    "choose_variables",
    "classified",
    "learning_dimension",
    "trace_caustic",
]
