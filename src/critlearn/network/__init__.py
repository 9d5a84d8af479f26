"""Neural systems: network, composition and boundary states, with the tail-exact learning pass."""

from critlearn.network.adapter import floor_between, is_exact, resolution_floor
from critlearn.network.learning_pass import ScaledGradients, learning_pass
from critlearn.network.modules import ActivationModule, CompositionLoss, feed_forward, hidden_activation
from critlearn.network.system import NeuralSystem
from critlearn.network.tail_exact import tail_exact

__all__ = [
    "ActivationModule",
    "CompositionLoss",
    "NeuralSystem",
    "ScaledGradients",
    "feed_forward",
    "floor_between",
    "hidden_activation",
    "is_exact",
    "learning_pass",
    "resolution_floor",
    "tail_exact",
]
