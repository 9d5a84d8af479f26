"""Modes of learning: the directions in which samples change a network most, each as a problem of one dimension."""

from critlearn.comparison.modes.modes import modes
from critlearn.comparison.modes.result import Mode, Modes, modes_through_training

__all__ = ["Mode", "Modes", "modes", "modes_through_training"]
