"""The dataset-learning duality map."""

from critlearn.duality.inverse import Inverse, InverseStatus
from critlearn.duality.jacobian import Directions, Jacobian
from critlearn.duality.map import DualityMap, check_rate
from critlearn.duality.spectrum import Spectrum

__all__ = ["Directions", "DualityMap", "Inverse", "InverseStatus", "Jacobian", "Spectrum", "check_rate"]
