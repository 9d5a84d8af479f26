"""Protocol of the maps that can be inverted; it imports no map, so that maps can import the inversion."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from critlearn.compositions import OutputLoss
from critlearn.duality.exact_copy import ExactNetwork
from critlearn.network import NeuralSystem


@runtime_checkable
class ForwardMap(Protocol):
    """Map from boundary states to changes of the trainable variables, such as `DualityMap`."""

    @property
    def system(self) -> NeuralSystem:
        """Network, loss and data set."""
        ...

    @property
    def lr(self) -> float:
        """Learning rate gamma."""
        ...

    @property
    def network(self) -> ExactNetwork:
        """Tail-exact copy of the network in double precision."""
        ...

    def one_sample(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, OutputLoss]:
        """Sample in double precision, and the loss in the form for its target."""
        ...

    def jacobian_rows(self, x: Tensor, t: Tensor, rows: Sequence[int]) -> Tensor:
        """Chosen rows of the Jacobian ``dPhi/d(x, t)`` at each boundary state of a batch, shape (sample, row, K)."""
        ...
