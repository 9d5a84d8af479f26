"""Neural systems: network, composition and boundary states, with the tail-exact learning pass."""

from critlearn._torch import torch  # noqa: F401
from critlearn.network.backward.learning_pass import ScaledGradients, learning_pass
from critlearn.network.graph.activation_pass import ActivationPass, PassStatus
from critlearn.network.graph.bulk_boundary import BulkBoundaryNetwork
from critlearn.network.graph.conversion import graph_of, sequence_of
from critlearn.network.modules import (
    ActivationModule,
    CompositionLoss,
    draw_gaussian_weights,
    feed_forward,
    hidden_activation,
)
from critlearn.network.numerical_floor import floor_between, is_exact
from critlearn.network.system import NeuralSystem
from critlearn.network.tail_exact import tail_exact

__all__ = [
    "ActivationModule",
    "ActivationPass",
    "BulkBoundaryNetwork",
    "CompositionLoss",
    "NeuralSystem",
    "PassStatus",
    "ScaledGradients",
    "draw_gaussian_weights",
    "feed_forward",
    "floor_between",
    "graph_of",
    "hidden_activation",
    "is_exact",
    "learning_pass",
    "sequence_of",
    "tail_exact",
]
