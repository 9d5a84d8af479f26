"""Comparison of predictions with measurements, which are made independently of each other."""

from critlearn._torch import torch  # noqa: F401
from critlearn.comparison.agreement import Agreement
from critlearn.comparison.aimed_design import AimedDesign
from critlearn.comparison.criteria import MARGIN
from critlearn.comparison.learning_modes import Mode, Modes, modes, modes_through_training
from critlearn.comparison.system_prediction import SystemPrediction, predict
from critlearn.comparison.verdict import Verdict, compare, explain

__all__ = [
    "MARGIN",
    "Agreement",
    "AimedDesign",
    "Mode",
    "Modes",
    "SystemPrediction",
    "Verdict",
    "compare",
    "explain",
    "modes",
    "modes_through_training",
    "predict",
]
