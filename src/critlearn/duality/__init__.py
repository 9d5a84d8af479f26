"""The dataset-learning duality map."""

from critlearn.duality.jacobian import Directions, Jacobian
from critlearn.duality.map import DualityMap, check_rate
from critlearn.duality.spectrum import Spectrum

__all__ = ["Directions", "DualityMap", "Jacobian", "Spectrum", "check_rate"]
