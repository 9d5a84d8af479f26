"""The dataset-learning duality: the map from boundary states to changes of the trainable variables."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import torch
from torch import Tensor, nn

from critlearn.compositions import OutputLoss
from critlearn.duality.dense_chain import DenseLayer, dense_chain
from critlearn.duality.dense_stack import DenseStack, dense_stack
from critlearn.duality.inverse import Inverse, invert
from critlearn.duality.jacobian import Jacobian
from critlearn.duality.operator import JacobianOperator
from critlearn.duality.output_response import continuous_targets, output_response
from critlearn.duality.spectra import one_thread, stack_spectra
from critlearn.duality.spectrum import Spectrum
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem, learning_pass, tail_exact
from critlearn.network.losses import for_targets

_STACKED: Final = 16 << 20
"""Bytes of stacks that are held at once."""


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

    @cached_property
    def _model(self) -> nn.Module:
        """Tail-exact copy of the network in double precision."""
        return tail_exact(self.system.model).double()

    @cached_property
    def _layers(self) -> list[DenseLayer] | None:
        """Layers of a dense network."""
        return dense_chain(self._model)

    def jacobian(self, x: Tensor, t: Tensor, *, targets: bool | None = None) -> Jacobian:
        """Jacobian ``dPhi/d(x, t)`` at one boundary state.

        Parameters
        ----------
        x, t
            One sample, without batch dimension. For softmax with cross-entropy ``t`` is a class index, or
            probabilities of all classes, which are continuous.
        targets
            Whether targets are coordinates of the boundary; by default where the loss takes a continuum of them.

        Raises
        ------
        InvalidInputError
            If targets are asked for as coordinates and are classes, inputs are not continuous, or shapes do not fit.

        Notes
        -----
        At a kink of an activation, as of ReLU at 0, derivatives are those that torch takes there, of one side.
        """
        x, t, loss = self._one_sample(x, t)
        stack, operator = self._parts(x[None], t[None], loss, targets)
        return Jacobian(operator, stack, self.lr)

    def spectra(self, x: Tensor, t: Tensor, *, targets: bool | None = None) -> list[Spectrum]:
        """Spectrum of the Jacobian at each boundary state of a batch.

        Raises
        ------
        InvalidInputError
            As for `jacobian`.
        """
        if len(x) != len(t) or len(x) == 0:
            raise InvalidInputError(f"a batch needs as many inputs as targets; got {len(x)} and {len(t)}")
        first, _, loss = self._one_sample(x[0], t[0])
        layers = self._layers
        if layers is None or first.dim() != 1:
            return [self.jacobian(*pair, targets=targets).spectrum for pair in zip(x, t, strict=True)]
        x = x.to(first)
        _, operator = self._parts(x[:1], t[:1], loss, targets)
        widths = [layer.linear.in_features + layer.linear.out_features for layer in layers]
        columns = min(operator.shape[1], layers[0].linear.out_features + 1 + operator.targets)
        step = max(1, _STACKED // (8 * sum(widths) * max(1, columns)))
        found: list[Spectrum] = []
        with one_thread():
            for piece_x, piece_t in zip(x.split(step), t.split(step), strict=True):
                _, target = self._judged(piece_x, piece_t, loss)
                stack = dense_stack(layers, loss, piece_x, target, targets=operator.targets > 0)
                found += stack_spectra(stack, *operator.shape, math.log(self.lr))
        return found

    def invert(self, dq: Mapping[str, Tensor]) -> Inverse:
        """Boundary state whose change is ``dq``, with its residual, and whether it is the only one.

        In closed form where the first layer is dense and has a bias, ``x_j = dW_ij / db_i``; through convolutions by
        linear least squares, layer by layer; otherwise by Levenberg-Marquardt descents from many starts. A vector that
        is no change of any data point is not on the sheet; a mean of several samples' changes cannot be separated.

        Parameters
        ----------
        dq
            Changes of all trainable variables under one sample, by name; or of a batch of one, as ``phi(x, t)`` gives.

        Raises
        ------
        InvalidInputError
            If names or shapes are not those of the trainable variables, or an entry is not finite.
        """
        return invert(self, dq)

    def _changes(self, x: Tensor, t: Tensor, loss: OutputLoss) -> tuple[Tensor, float]:
        """Changes at one sample in double precision, one after the other, and the logarithm of their unit."""
        judge = copy.copy(self.system)
        object.__setattr__(judge, "model", self._model)
        object.__setattr__(judge, "loss", loss)
        scaled = learning_pass(judge, x[None], t[None])
        flat = torch.cat([scaled.gradients[name].reshape(-1) for name in self.system.parameters])
        return -self.lr * flat, float(scaled.log_scale[0])

    def _one_sample(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, OutputLoss]:
        """A sample in double precision, and the loss in the form for its target."""
        like = next(self._model.parameters())
        expected = tuple(self.system.dataset[0][0].shape)
        if tuple(x.shape) != expected:
            raise InvalidInputError(
                f"the Jacobian is that of one sample: x must have the shape {expected} of the data set's inputs; "
                f"got {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            raise InvalidInputError(f"inputs of type {x.dtype} are not continuous: they are no coordinates")
        t = torch.as_tensor(t).to(like.device)
        return x.detach().to(like), t.detach(), for_targets(self.system.loss, t[None])

    def _judged(self, x: Tensor, t: Tensor, loss: OutputLoss) -> tuple[Tensor, Tensor]:
        """Outputs and targets of a batch in the shapes that the loss takes."""
        judge = copy.copy(self.system)
        object.__setattr__(judge, "model", self._model)
        object.__setattr__(judge, "loss", loss)
        with torch.no_grad():
            return judge.forward(x, t)

    def _parts(
        self, x: Tensor, t: Tensor, loss: OutputLoss, targets: bool | None
    ) -> tuple[Callable[[], DenseStack] | None, JacobianOperator]:
        """How to make the stack, if the network is dense, and operator at one sample."""
        if targets and not continuous_targets(loss):
            raise InvalidInputError(
                f'targets of "{loss.name}" are classes: they are discrete, and no coordinates of the boundary'
            )
        with_targets = continuous_targets(loss) if targets is None else targets
        output, target = self._judged(x, t, loss)
        response = output_response(loss, output, target)
        if not with_targets:
            response = response.without_targets()
        operator = JacobianOperator(self._model, list(self.system.parameters), x[0], response, output[0])
        if self._layers is None or x.dim() != 2:
            return None, operator
        return partial(dense_stack, self._layers, loss, x, target, targets=with_targets), operator


def check_rate(lr: float) -> None:
    """Refuse a learning rate that is not positive and finite.

    Raises
    ------
    InvalidInputError
        If it is not.
    """
    try:
        fitting = math.isfinite(lr) and lr > 0
    except TypeError:
        fitting = False
    if not fitting:
        raise InvalidInputError(f"the learning rate must be positive and finite; got {lr!r}")
