"""Duality map: from boundary states to the changes that they induce in the trainable variables."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

import torch
from torch import Tensor

from critlearn.compositions import OutputLoss, TokenCrossEntropy
from critlearn.duality.exact_copy import ExactCopy, ExactNetwork
from critlearn.duality.inverse.inverse import Inverse, invert
from critlearn.duality.jacobian.dense_stack import DenseStack, dense_stack
from critlearn.duality.jacobian.jacobian import Jacobian
from critlearn.duality.jacobian.operator import JacobianOperator
from critlearn.duality.jacobian.output_response import OutputResponse, continuous_targets, output_response
from critlearn.duality.jacobian.spectra import one_thread, stack_spectra
from critlearn.duality.jacobian.spectrum import Spectrum
from critlearn.duality.one_tensor import samples_of_one_tensor
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from critlearn.network.backward.learning_pass import learning_pass
from critlearn.network.batches.model_inputs import Inputs, ModelInputs
from critlearn.network.checks.hooks import hooked_backwards
from critlearn.network.losses.differentiated import DifferentiatedLoss
from critlearn.network.losses.equivalents import for_targets
from critlearn.numerics.validation import check_learning_rate

_STACKED: Final = 16 << 20
"""Bytes of stacked rows for which spectra are computed in one batch."""


@dataclass(frozen=True, eq=False)
class DualityMap:
    """Duality map ``Phi_q : (x, t) -> dq = -gamma * grad_q l(q; x, t)``: activation pass, then learning pass.

    Source: theory, duality map. The map follows the network: after further training, everything is evaluated at the new
    weights, while Jacobians computed before remain those of the old ones.

    Parameters
    ----------
    system
        Network, loss and data set.
    lr
        Learning rate gamma.

    Raises
    ------
    InvalidInputError
        If there is no neural system, or the learning rate is not positive and finite.
    """

    system: NeuralSystem
    lr: float = 1.0

    def __post_init__(self) -> None:
        """Raise if there is no neural system, or the learning rate is not positive and finite."""
        if not isinstance(self.system, NeuralSystem):
            raise InvalidInputError(f"a duality map is that of a NeuralSystem; got {type(self.system).__name__}")
        check_learning_rate(self.lr)

    def __call__(self, x: Any, t: Tensor) -> dict[str, Tensor]:
        """Return the changes that each single sample induces in each trainable variable.

        Parameters
        ----------
        x, t
            A batch of boundary states, shapes (batch, ...) and (batch,) or (batch, outputs); a tuple, or a dictionary
            of keyword arguments, for a network that takes several inputs.

        Returns
        -------
        dict
            Name of the variable -> changes, shape (batch, *shape of the variable). A change below the smallest number
            of the precision reads as zero here; `fluctuations.measure` counts it by its logarithm.

        Raises
        ------
        InvalidInputError
            If there is no batch, or it does not fit the network.
        """
        if not isinstance(x, Tensor):
            x = self.system.inputs(x)
        _check_batch(x, t)
        scaled = learning_pass(self.system, x, t)
        # Only here, in the last step, may a change underflow: the gradients are those of unit errors.
        factor = -self.lr * scaled.log_scale.exp()
        return {
            name: gradient * factor.to(gradient.dtype).reshape(-1, *[1] * (gradient.dim() - 1))
            for name, gradient in scaled.gradients.items()
        }

    @cached_property
    def _copy(self) -> ExactCopy:
        return ExactCopy(self.system.model)

    @property
    def network(self) -> ExactNetwork:
        """Tail-exact copy of the network in double precision, with its current weights."""
        return self._copy.current()

    def jacobian(self, x: Tensor, t: Tensor, *, targets: bool | None = None) -> Jacobian:
        """Jacobian ``dPhi/d(x, t)`` at one boundary state.

        Parameters
        ----------
        x, t
            One sample, without batch dimension. For softmax with cross-entropy ``t`` is a class index, or
            probabilities of all classes, which are continuous.
        targets
            Whether targets are coordinates of the boundary; by default if the loss takes a continuum of them.

        Raises
        ------
        InvalidInputError
            If targets are asked for as coordinates and are classes, inputs are not continuous, shapes do not fit, or a
            module has a backward hook.

        Notes
        -----
        At a kink of an activation, such as ReLU at 0, the derivative is the one-sided one that torch takes.
        """
        network = self.network
        x, t, loss = self.one_sample(x, t)
        stack, operator = self._parts(network, x[None], t[None], loss, targets)
        return Jacobian(operator, stack, self.lr)

    def jacobian_rows(self, x: Tensor, t: Tensor, rows: Sequence[int], *, targets: bool | None = None) -> Tensor:
        """Chosen rows of the Jacobian at each boundary state of a batch, shape (sample, row, K).

        Raises
        ------
        InvalidInputError
            As for `jacobian`.
        """
        _check_batch(x, t)
        first, _, loss = self.one_sample(x[0], t[0])
        operator, response, output, _ = self._linearised(self.network, x.to(first), t.to(first.device), loss, targets)
        found = operator.rows(x.to(first), response, output, list(rows))
        return found * (self.lr * response.log_scale.exp())[:, None, None]

    def spectra(self, x: Tensor, t: Tensor, *, targets: bool | None = None) -> list[Spectrum]:
        """Spectrum of the Jacobian at each boundary state of a batch.

        Raises
        ------
        InvalidInputError
            As for `jacobian`.
        """
        _check_batch(x, t)
        first, _, loss = self.one_sample(x[0], t[0])
        network = self.network
        layers = network.layers
        if layers is None or first.dim() != 1:
            return [self.jacobian(*pair, targets=targets).spectrum for pair in zip(x, t, strict=True)]
        x = x.to(first)
        _, operator = self._parts(network, x[:1], t[:1], loss, targets)
        # The stack of a layer has (outputs + inputs) rows; batches are sized so that all stacks fit into `_STACKED`.
        widths = [layer.linear.in_features + layer.linear.out_features for layer in layers]
        columns = min(operator.shape[1], layers[0].linear.out_features + 1 + operator.targets)
        step = max(1, _STACKED // (8 * sum(widths) * max(1, columns)))
        judge = self.system.judging(network.model, loss)
        found: list[Spectrum] = []
        with one_thread():
            for piece_x, piece_t in zip(x.split(step), t.split(step), strict=True):
                with torch.no_grad():
                    _, target = judge.forward(piece_x, piece_t)
                stack = dense_stack(layers, loss, piece_x, target, targets=operator.targets > 0)
                found += stack_spectra(stack, *operator.shape, math.log(self.lr))
        return found

    def invert(self, dq: Mapping[str, Tensor], *, tolerance: float | None = None) -> Inverse:
        """Find the boundary state whose change is ``dq``, its residual and errors, and whether it is unique.

        The input of the first dense layer with a bias is ``x_j = dW_ij / db_i``; what stands before it is inverted
        backwards by linear least squares, layer by layer, and by descents where that does not determine the input, as
        behind dead units. Networks without such a layer, and changes with noise, take descents in all coordinates. A
        vector that is no change of any data point is not on the sheet; a mean over several samples cannot be separated.

        Parameters
        ----------
        dq
            Changes of all trainable variables under one sample, by name; or of a batch of one, as ``phi(x, t)`` gives.
        tolerance
            Largest residual ``|Phi(x, t) - dq| / |dq|`` of a state on the sheet, as large as the noise of the changes;
            None for 1e-6, or 1e-2 for changes in single precision.

        Raises
        ------
        InvalidInputError
            If names or shapes are not those of the trainable variables, an entry is not finite, or the tolerance is
            not between 0 and 1.
        """
        return invert(self, dq, tolerance)

    def in_double(self) -> "DualityMap":
        """Duality map of the tail-exact copy in double precision, with the current weights."""
        return DualityMap(self.system.judging(self.network.model, self.system.loss), self.lr)

    def one_sample(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, OutputLoss]:
        """Return a sample in double precision, and the loss in the form for its target.

        Raises
        ------
        InvalidInputError
            If it is not of the shape of the data set's samples, or its input is not continuous.
        """
        if not isinstance(x, Tensor):
            raise InvalidInputError(f"x must be a tensor; got {_described(x)}")
        like = next(self.system.model.parameters())
        expected = tuple(samples_of_one_tensor(self.system, [0])[0].shape[1:])
        if tuple(x.shape) != expected:
            raise InvalidInputError(
                f"the Jacobian is that of one sample: x must have the shape {expected} of the data set's inputs; "
                f"got {tuple(x.shape)}"
            )
        if isinstance(self.system.loss, DifferentiatedLoss | TokenCrossEntropy):
            raise InvalidInputError(
                f'"{self.system.loss.name}" has no Jacobian here: it takes a second derivative of the loss, which is '
                "known for losses of one output or one class"
            )
        if not x.is_floating_point():
            raise InvalidInputError(f"inputs of type {x.dtype} are not continuous: they are no coordinates")
        t = torch.as_tensor(t).to(like.device)
        return x.detach().to(like.device, torch.float64), t.detach(), for_targets(self.system.loss, t[None])

    def _parts(
        self, network: ExactNetwork, x: Tensor, t: Tensor, loss: OutputLoss, targets: bool | None
    ) -> tuple[Callable[[], DenseStack] | None, JacobianOperator]:
        """Return a function that makes the stack of one sample, if the network is dense, and the Jacobian operator."""
        operator, _, _, target = self._linearised(network, x, t, loss, targets)
        if network.layers is None or x.dim() != 2:
            return None, operator
        return partial(dense_stack, network.layers, loss, x, target, targets=operator.targets > 0), operator

    def _linearised(
        self, network: ExactNetwork, x: Tensor, t: Tensor, loss: OutputLoss, targets: bool | None
    ) -> tuple[JacobianOperator, OutputResponse, Tensor, Tensor]:
        """Jacobian operator at the first boundary state of a batch; responses, outputs and targets of all of them."""
        if targets and not continuous_targets(loss):
            raise InvalidInputError(
                f'targets of "{loss.name}" are classes or counts: they are discrete, and no coordinates of the boundary'
            )
        hooked = hooked_backwards(self.system.model)
        if hooked:
            raise InvalidInputError(
                f"{hooked} has a backward hook, which changes the learning pass but not the activation pass: automatic "
                "differentiation gives no Jacobian; remove it"
            )
        with_targets = continuous_targets(loss) if targets is None else targets
        with torch.no_grad():
            output, target = self.system.judging(network.model, loss).forward(x, t)
        response = output_response(loss, output, target)
        if not with_targets:
            response = response.without_targets()
        operator = JacobianOperator(network.model, list(self.system.parameters), x[0], response, output[0])
        return operator, response, output, target


def _check_batch(x: Inputs, t: Tensor) -> None:
    """Raise if inputs and targets are not a batch of boundary states."""
    for name, value in (("x", x), ("t", t)):
        if not isinstance(value, Tensor | ModelInputs) or len(value.shape) == 0:
            raise InvalidInputError(f"{name} must be a tensor that holds a batch; got {_described(value)}")
    if len(x) != len(t) or len(x) == 0:
        raise InvalidInputError(f"a batch needs as many inputs as targets, one at least; got {len(x)} and {len(t)}")


def _described(value: object) -> str:
    """Describe an argument in an error message: a tensor by its shape, anything else by its type."""
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
