"""Modes of learning: the directions in which samples change a network most, each as a problem of one dimension."""

from critlearn.comparison.learning_modes.affordable import modes_or_reason
from critlearn.comparison.learning_modes.reduction import modes
from critlearn.comparison.learning_modes.result import Mode, Modes, modes_through_training

__all__ = ["Mode", "Modes", "modes", "modes_or_reason", "modes_through_training"]
