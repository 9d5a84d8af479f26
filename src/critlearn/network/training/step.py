"""Training step: mean loss and mean gradient of a batch, at the speed of torch's own functions."""

import torch
from torch import Tensor

from critlearn.network.batches.model_inputs import Inputs
from critlearn.network.system import NeuralSystem
from critlearn.network.training.plain_activations import PlainActivations
from critlearn.network.training.plain_losses import plain_loss


class TrainingStep:
    """Computes the mean loss of a batch and leaves its gradient in the parameters, for an optimiser.

    Small gradients of single samples vanish in a mean, so activations are evaluated by torch's own functions, without
    regard to their tails, and the loss by one form for its value and its output error. Both decide once, when the step
    is made. The mean is over all values of the loss: one per output, or one per sample for a loss of classes.

    Parameters
    ----------
    system
        Network, loss and data set; its parameters get the gradients.
    """

    def __init__(self, system: NeuralSystem) -> None:
        self._system = system
        self._value_and_error = plain_loss(system.loss)
        self._plain_activations = PlainActivations(system.model)

    def __call__(self, x: Inputs, t: Tensor) -> Tensor:
        """Mean loss of inputs and targets, in double precision and without an autograd graph.

        Gradients are added to those that the parameters have.

        Raises
        ------
        InvalidInputError
            If inputs, outputs and targets do not fit.
        NonFiniteError
            If a pre-activation or a target is not finite; samples are numbered within the batch.
        """
        # The learning pass is inside too: activation checkpointing repeats the forward pass there.
        with self._plain_activations:
            y, target = self._system.forward(x, t)
            with torch.no_grad():
                value, error = self._value_and_error(y, target)
            # Output errors divided by their number are the gradient of the mean loss.
            y.backward((error / value.numel()).to(y.dtype))
        return value.double().mean()
