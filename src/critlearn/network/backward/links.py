"""Links of a network's chain: one class for each way to pass errors back.

`ActivationLink`, `SoftmaxLink` and `DenseLink` have closed derivatives, `LayerLink` differentiates one layer
automatically, and `GraphLink` any other module, whose inner layers are recorded by hooks. `link_kind` chooses the class
once.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from critlearn.network.backward.autograd_errors import translate_autograd_errors
from critlearn.network.backward.layer_calls import CallRecorder, LayerCall, without_fused_attention
from critlearn.network.backward.layer_use import LayerUse
from critlearn.network.backward.scaled_errors import ScaledErrors
from critlearn.network.backward.single_precision import (
    BeyondSingleError,
    check_errors,
    check_logs,
    check_products,
    fits,
)
from critlearn.network.backward.sparse_inputs import SparseInputs
from critlearn.network.batches.model_inputs import Inputs
from critlearn.network.checks.finiteness import check_finite, in_words
from critlearn.network.checks.hooks import hooked
from critlearn.network.exact.softmax import ExactSoftmax, exact_log_softmax
from critlearn.network.modules import ActivationModule

_TINY: Final = 1e-100
"""Errors below this size, or above its inverse, are rescaled to unit size.

Far from the ends of double precision (1e-308), so that one link may multiply them by 1e-200 before the next check.
"""

_TINY_SINGLE: Final = 1e-3
"""The same bound for single precision, whose range ends at 1e-38 and whose errors must stay above 1e-30."""


@dataclass(frozen=True, eq=False)
class LinkPlan:
    """Properties of a link that are common to all classes of links.

    Parameters
    ----------
    module
        The module that is passed.
    name
        Name of the module among the layers whose uses are wanted; None if it is none of them.
    first
        Whether it is the network's first: nothing before it needs errors.
    precision
        Floating-point type of its inputs; None if it takes any.
    single
        Whether it is taken in single precision in a pass that otherwise is in double precision.
    mixed
        Whether any link of the pass is.
    arithmetic
        Context in which its operations run: `DisplacedArithmetic`, or none.
    errors_at
        What the errors that it passes back are, in words.
    """

    module: nn.Module
    name: str | None
    first: bool
    precision: torch.dtype | None
    single: bool
    mixed: bool
    arithmetic: Callable[[], AbstractContextManager[Any]]
    errors_at: str


@dataclass(frozen=True, eq=False, slots=True)
class LinkState:
    """Input of a link for a batch (`ModelInputs` perhaps, of a first link), output, and the calls of layers inside."""

    inputs: Any
    output: Any
    calls: list[LayerCall]


class Link(ABC):
    """Part of a network that is passed on its own, forwards and backwards."""

    def __init__(self, plan: LinkPlan) -> None:
        self.plan, self.module = plan, plan.module

    @abstractmethod
    def forward(self, x: Any) -> LinkState:
        """Pass a batch forwards."""

    @abstractmethod
    def backward(self, state: LinkState, errors: ScaledErrors, uses: list[LayerUse]) -> ScaledErrors:
        """Pass errors from the output to the input, and append the uses of wanted layers."""

    @final
    def with_arithmetic(self, arithmetic: Callable[[], AbstractContextManager[Any]]) -> "Link":
        """Same link, whose operations run in another context."""
        other = copy.copy(self)
        other.plan = replace(self.plan, arithmetic=arithmetic)
        return other

    @final
    def converted(self, x: Any) -> Any:
        """Inputs in the link's floating-point type."""
        kind = self.plan.precision
        if kind is None or not x.is_floating_point() or x.dtype == kind:
            return x
        if self.plan.single:
            check_errors(*tree_leaves(x.to(kind)))
        return x.to(kind)

    @final
    def received(self, errors: ScaledErrors, kind: torch.dtype) -> ScaledErrors:
        """Errors in the floating-point type of the link's output."""
        if self.plan.mixed and kind == torch.float32:
            check_logs(errors.logs)
            if errors.logs is None and errors.values.dtype != torch.float32:
                check_logs(errors.values.abs().log())
            check_errors(errors.values)
        if errors.values.dtype == kind:
            return errors
        return ScaledErrors(errors.values.to(kind), errors.logs, errors.log_scale)

    @final
    def add_use(self, use: LayerUse, uses: list[LayerUse]) -> None:
        """Append the use of a layer, if products of its inputs and errors stay within the range of their type."""
        if self._range_matters(use.errors):
            check_products(use.errors, (use.arguments, use.keywords))
        uses.append(use)

    @final
    def _range_matters(self, errors: Sequence[Tensor]) -> bool:
        """Whether errors are in single precision, and the range of their products with inputs is to be looked at."""
        return self.plan.mixed and all(error.dtype == torch.float32 for error in errors)

    @final
    def add_own_use(self, inputs: Inputs, errors: ScaledErrors, uses: list[LayerUse]) -> None:
        """Append the use of the link itself, if it is a wanted layer."""
        if self.plan.name is not None:
            own = (errors.values,)
            inputs = inputs.detach()
            self.add_use(LayerUse(self.plan.name, self.module, (inputs,), {}, own, errors.logs, errors.log_scale), uses)

    @final
    def pulled(self, errors: ScaledErrors, values: Tensor, kind: torch.dtype) -> ScaledErrors:
        """Check errors from automatic differentiation, and rescale those that have left the unit size."""
        check_finite(values, self.plan.errors_at)
        single = self.plan.mixed and kind == torch.float32
        return errors.with_values(values).renormalised(_TINY_SINGLE if single else _TINY)


@final
class ActivationLink(Link):
    """Link of a catalogue activation, whose slope is known in logarithms."""

    module: ActivationModule

    def forward(self, x: Any) -> LinkState:
        """Apply the activation without automatic differentiation, which would cost more than the activation."""
        x = self.converted(x)
        with self.plan.arithmetic(), torch.no_grad():
            return LinkState(x, self.module.activation(x), [])

    def backward(self, state: LinkState, errors: ScaledErrors, uses: list[LayerUse]) -> ScaledErrors:
        """Errors times the slope."""
        errors = self.received(errors, state.output.dtype)
        self.add_own_use(state.inputs, errors, uses)
        if self.plan.first:
            return errors
        at = state.inputs.double()
        sign, log_slope = self.module.activation.slope_sign(at), self.module.activation.log_slope(at)
        return errors.through_activation(log_slope, sign, state.inputs.dtype)


@final
class SoftmaxLink(Link):
    """Link of a softmax, whose probabilities are known in logarithms."""

    module: ExactSoftmax

    def forward(self, x: Tensor) -> LinkState:
        """Probabilities, without automatic differentiation."""
        x = self.converted(x)
        with self.plan.arithmetic(), torch.no_grad():
            return LinkState(x, self.module(x), [])

    def backward(self, state: LinkState, errors: ScaledErrors, uses: list[LayerUse]) -> ScaledErrors:
        """Errors times the derivatives of the probabilities."""
        errors = self.received(errors, state.output.dtype)
        if self.plan.first:
            return errors
        logs = exact_log_softmax(state.inputs.double(), self.module.dim)
        return errors.through_softmax(logs, self.module.dim, state.inputs.dtype)


@final
class DenseLink(Link):
    """Link of a dense layer: errors are multiplied by its weights."""

    module: nn.Linear

    def __init__(self, plan: LinkPlan) -> None:
        super().__init__(plan)
        self._sparse = SparseInputs(self.module) if plan.precision == torch.float64 else None

    def forward(self, x: Any) -> LinkState:
        """Outputs; the inputs are stored in their own type, which holds them exactly."""
        # Sums over sparse inputs run outside torch, where `DisplacedArithmetic` does not act.
        if self._sparse is not None and self.plan.arithmetic is nullcontext:
            output = self._sparse(x)
            if output is not None:
                return LinkState(x, output, [])
        converted = self.converted(x)
        with self.plan.arithmetic(), torch.no_grad():
            output = self.module(converted)
        return LinkState(x if x.is_floating_point() and not self.plan.single else converted, output, [])

    def backward(self, state: LinkState, errors: ScaledErrors, uses: list[LayerUse]) -> ScaledErrors:
        """Errors times the weights."""
        errors = self.received(errors, state.output.dtype)
        self.add_own_use(state.inputs, errors, uses)
        return errors if self.plan.first else errors.through_linear(self.module.weight)


@final
class LayerLink(Link):
    """Link of any other single layer, differentiated automatically on its own."""

    def forward(self, x: Any) -> LinkState:
        """Outputs, with the graph of operations except for the first link, whose input needs no errors."""
        x = self.converted(x)
        with self.plan.arithmetic():
            if self.plan.first:
                with torch.no_grad():
                    return LinkState(x, self.module(x), [])
            x = x.detach().requires_grad_() if x.is_floating_point() else x
            with torch.enable_grad(), without_fused_attention():
                return LinkState(x, self.module(x), [])

    def backward(self, state: LinkState, errors: ScaledErrors, uses: list[LayerUse]) -> ScaledErrors:
        """Errors times the derivative of the layer."""
        inputs, output = state.inputs, state.output
        errors = self.received(errors, output.dtype)
        self.add_own_use(inputs, errors, uses)
        if self.plan.first:
            return errors
        values = errors.values.new_zeros(inputs.shape)
        if inputs.is_floating_point():
            with self.plan.arithmetic(), translate_autograd_errors(self.module):
                (values,) = torch.autograd.grad(output, inputs, errors.values.reshape(output.shape))
        return self.pulled(errors, values, output.dtype)


@final
class GraphLink(Link):
    """Link of any module: it is differentiated automatically as a whole, and calls of wanted layers are recorded."""

    def __init__(self, plan: LinkPlan, recorder: CallRecorder) -> None:
        super().__init__(plan)
        self._recorder = recorder

    def forward(self, x: Any) -> LinkState:
        """Outputs with the graph of operations, and the layers' calls."""
        x = self.converted(x)
        x = x.detach().requires_grad_() if x.is_floating_point() and not self.plan.first else x
        with (
            self.plan.arithmetic(),
            torch.enable_grad(),
            without_fused_attention(),
            self._recorder.recording(len(x)) as calls,
        ):
            return LinkState(x, self.module(x), calls)

    def backward(self, state: LinkState, errors: ScaledErrors, uses: list[LayerUse]) -> ScaledErrors:
        """Errors times the derivative of the module."""
        inputs, output = state.inputs, state.output
        errors = self.received(errors, output.dtype)
        if self.plan.mixed and output.dtype == torch.float32 and not fits(output):
            raise BeyondSingleError
        if output.requires_grad:
            with self.plan.arithmetic(), self._recorder.recomputing(), translate_autograd_errors(self.module):
                output.backward(errors.values.reshape(output.shape))
        for call in reversed(state.calls):
            # In single precision the range of products is looked at instead, and what is beyond it taken in double.
            if not self._range_matters(call.errors):
                for error in call.errors:
                    check_finite(error, f"the gradient at the output of {in_words(call.layer, call.module)}")
            own = tuple(call.errors)
            self.add_use(
                LayerUse(call.layer, call.module, call.arguments, call.keywords, own, None, errors.log_scale), uses
            )
        if self.plan.first:
            return errors
        values = inputs.grad if inputs.grad is not None else torch.zeros_like(inputs)
        return self.pulled(errors, values, output.dtype)


def link_kind(module: nn.Module, *, wanted: bool) -> type[Link]:
    """Choose the class of link for a module; ``wanted`` states whether the uses of the module are asked for."""
    # Hooks may change inputs and errors, which only automatic differentiation of the whole module respects.
    if hooked(module):
        return GraphLink
    if isinstance(module, ActivationModule):
        return ActivationLink
    if isinstance(module, ExactSoftmax):
        return SoftmaxLink
    if type(module) is nn.Linear:
        return DenseLink
    return LayerLink if wanted and not any(module.children()) else GraphLink
