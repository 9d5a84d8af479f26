"""Fluctuations of the trainable variables: measured, kept as sketches, stored."""

from critlearn.fluctuations.engine import GROUPS, measure
from critlearn.fluctuations.fluctuations import POOLED, Fluctuations
from critlearn.fluctuations.storage import load_fluctuations, save_fluctuations

__all__ = ["GROUPS", "POOLED", "Fluctuations", "load_fluctuations", "measure", "save_fluctuations"]
