"""Tail-exact copy of a network in double precision, renewed when the network has changed."""

from dataclasses import dataclass

import torch
from torch import nn

from critlearn.duality.jacobian.dense_chain import DenseLayer, dense_chain
from critlearn.network import tail_exact
from critlearn.network.batches.model_inputs import in_type
from critlearn.network.checks.hooks import called_hooks


@dataclass(frozen=True, eq=False)
class ExactNetwork:
    """Tail-exact copy of a network at one time.

    Parameters
    ----------
    model
        Tail-exact copy in double precision.
    layers
        Its layers, if it is a chain of dense layers; otherwise None.
    """

    model: nn.Module
    layers: list[DenseLayer] | None


class ExactCopy:
    """Cache of a network's tail-exact copy, renewed whenever the network has changed.

    A copy that was handed out never changes, so a Jacobian remains that of the weights at which it was taken.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._made: ExactNetwork | None = None
        self._parts: tuple[list[tuple[int, bool]], list[int]] = ([], [])

    def current(self) -> ExactNetwork:
        """Return a copy with the current values of the network."""
        if self._made is None or self._parts != self._structure() or not self._same_values(self._made.model):
            model = tail_exact(self._model).double()
            self._made, self._parts = ExactNetwork(model, dense_chain(model)), self._structure()
        return self._made

    def _structure(self) -> tuple[list[tuple[int, bool]], list[int]]:
        """Identities of modules with their mode, of parameters with whether they are trained, and of hooks."""
        modules = [(id(module), module.training) for module in self._model.modules()]
        parameters = [(id(value), value.requires_grad) for value in self._model.parameters()]
        return modules + parameters, called_hooks(self._model)

    @torch.no_grad()
    def _same_values(self, copied: nn.Module) -> bool:
        """Whether all values equal the copy's, compared in full: torch's version counters miss writes to ``.data``."""
        return all(
            torch.equal(in_type(value, torch.float64), other)
            for values, others in (
                (self._model.parameters(), copied.parameters()),
                (self._model.buffers(), copied.buffers()),
            )
            for value, other in zip(values, others, strict=True)
        )
