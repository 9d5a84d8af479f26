"""The dataset-learning duality: the map from boundary states to changes of the trainable variables."""

import math
from dataclasses import dataclass

from torch import Tensor

from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem, learning_pass


@dataclass(frozen=True, eq=False)
class DualityMap:
    """``Phi_q : (x, t) -> dq = -gamma * grad_q l(q; x, t)``, the composition of activation and learning pass.

    Source: theory, duality map.

    Parameters
    ----------
    system
        Network, loss and data set.
    lr
        Learning rate gamma.

    Raises
    ------
    InvalidInputError
        If the learning rate is not positive and finite.
    """

    system: NeuralSystem
    lr: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a rate that is no rate."""
        check_rate(self.lr)

    def __call__(self, x: Tensor, t: Tensor) -> dict[str, Tensor]:
        """Changes that each sample on its own induces in each trainable variable.

        Parameters
        ----------
        x, t
            A batch of boundary states, shapes (batch, ...) and (batch,) or (batch, outputs).

        Returns
        -------
        dict
            Name of the variable -> changes, shape (batch, *shape of the variable). A change below the smallest number
            of the precision reads as zero here; `fluctuations.measure` counts it by its logarithm.
        """
        scaled = learning_pass(self.system, x, t)
        factor = -self.lr * scaled.log_scale.exp()
        return {
            name: gradient * factor.to(gradient.dtype).reshape(-1, *[1] * (gradient.dim() - 1))
            for name, gradient in scaled.gradients.items()
        }


def check_rate(lr: float) -> None:
    """Refuse a learning rate that is not positive and finite.

    Raises
    ------
    InvalidInputError
        If it is not.
    """
    if not (math.isfinite(lr) and lr > 0):
        raise InvalidInputError(f"the learning rate must be positive and finite; got {lr}")
