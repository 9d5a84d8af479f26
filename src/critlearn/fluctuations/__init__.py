"""Fluctuations of the trainable variables: measured, kept as sketches, stored."""

from critlearn._torch import torch  # noqa: F401
from critlearn.fluctuations.measure import GROUPS, measure, measure_part
from critlearn.fluctuations.progress import progress_bar
from critlearn.fluctuations.quantities import Quantities, Series
from critlearn.fluctuations.result import POOLED, Fluctuations
from critlearn.fluctuations.storage import load_fluctuations, save_fluctuations

__all__ = [
    "GROUPS",
    "POOLED",
    "Fluctuations",
    "Quantities",
    "Series",
    "load_fluctuations",
    "measure",
    "measure_part",
    "progress_bar",
    "save_fluctuations",
]
