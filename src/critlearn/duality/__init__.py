"""The dataset-learning duality map."""

from critlearn.duality.map import DualityMap, check_rate

__all__ = ["DualityMap", "check_rate"]
