"""The learning pass that stops at the layers: what went into each, and the errors at its outputs, for every sample.

A network that is a chain is taken backwards one link at a time. After each link every sample's errors are scaled back
to unit size and the logarithm of the scale is kept, and activations are passed in logarithms: nothing underflows,
however deep the network and however saturated its units.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from critlearn.errors import InvalidInputError
from critlearn.network.backward.autograd_errors import no_raw_refusal
from critlearn.network.backward.chain import chain, links, taken_apart
from critlearn.network.backward.layer_use import LayerCall, LayerUse
from critlearn.network.backward.scaled_errors import ScaledErrors, output_errors
from critlearn.network.backward.single_precision import (
    BeyondSingleError,
    check_errors,
    check_logs,
    check_products,
    fits,
    suits,
    sums_over_places,
)
from critlearn.network.backward.sparse_inputs import SparseInputs
from critlearn.network.checks.finiteness import check_finite, check_layer, in_words
from critlearn.network.checks.hooks import hooked
from critlearn.network.checks.independence import PROBED
from critlearn.network.modules import ActivationModule
from critlearn.network.system import NeuralSystem
from critlearn.network.tail_exact import tail_exact
from critlearn.numerics.array_file import first_line

_TINY: Final = 1e-100
_TINY_SINGLE: Final = 1e-3
"""Sizes of errors, in double and in single precision, from which on they are scaled anew."""


class LayerPass:
    """Activation and learning pass of a network, stopped at some of its layers.

    Parameters
    ----------
    system
        Network, loss and data set; the pass is made on a tail-exact copy of the network.
    layers
        Names of the modules whose inputs and output errors are wanted.
    precision
        Floating-point type of the pass; None for double precision but in those links of a network of single precision
        that sum over places, and where that is known to lose nothing.
    """

    def __init__(
        self, system: NeuralSystem, layers: Collection[str], precision: torch.dtype | None = torch.float64
    ) -> None:
        self.system = system
        self.model = tail_exact(system.model).requires_grad_(False)
        self._called = {module: name for name, module in self.model.named_modules()}
        self._names = {module: name for module, name in self._called.items() if name in layers}
        self._links = self._taken_apart()
        self._single = self._suited() if precision is None else set()
        self.mixed = bool(self._single)
        self._set_precision(precision or torch.float64)
        self.numbers: Callable[[], AbstractContextManager[Any]] = nullcontext
        self._sparse: dict[nn.Module, SparseInputs] = {
            link: SparseInputs(link) for link in self._links if type(link) is nn.Linear
        }
        self._whole: dict[torch.dtype, nn.Module] = {}
        self._calls: list[LayerCall] = []
        self._listening = self._recomputing = False
        inner = {module for link in self._links if not self._plain(link) for module in link.modules()}
        for module in self._names.keys() & inner:
            # Before hooks of the user's, which change what the layer's rule knows nothing of.
            module.register_forward_hook(self._seen, with_kwargs=True, prepend=True)

    def __call__(self, x: Tensor, t: Tensor) -> list[LayerUse]:
        """Uses of the layers for one batch, last ones first.

        Raises
        ------
        BeyondSingleError
            If a part that is taken in single precision has to be taken in double precision.
        InvalidInputError
            If a layer's output is not finite, or outputs and targets do not fit.
        """
        states = self._forward(x)
        return self._uses(states, output_errors(self.system, states[-1][1], x, t))

    def with_errors(self, x: Tensor, errors: Callable[[Tensor], ScaledErrors]) -> list[LayerUse]:
        """Uses of the layers for errors that are given for the network's output, in its shape."""
        states = self._forward(x)
        return self._uses(states, errors(states[-1][1].detach()))

    def _uses(self, states: list[tuple[Tensor, Tensor, list[LayerCall]]], errors: ScaledErrors) -> list[LayerUse]:
        """Go backwards through the links."""
        uses: list[LayerUse] = []
        for at in range(len(self._links) - 1, -1, -1):
            # What has been passed is given up: its memory serves what comes.
            link, (given, produced, calls) = self._links[at], states.pop()
            errors = self._backward(link, given, produced, calls, errors, uses, first=at == 0)
        return uses

    def _taken_apart(self) -> list[nn.Module]:
        """Links of the network; a user's own modules are chains of links where that changes nothing but the tail."""
        found: list[nn.Module] = []
        whole = list(links(self.model))
        chains = [chain(link, self._names) for link in whole]
        if not any(chains):
            return whole
        given = self.system.spread(PROBED)
        with _no_fast_path(), torch.no_grad():
            for link, parts in zip(whole, chains, strict=True):
                found.extend((parts and taken_apart(link, parts, given)) or [link])
                given = link(given)
        return found

    @torch.enable_grad()
    def _suited(self) -> set[nn.Module]:
        """Links that are taken in single precision, found out on two samples."""
        named = list(self.model.named_parameters(remove_duplicate=False))
        if len(named) > len(list(self.model.parameters())):
            # A parameter in two places has one type.
            return set()
        found: set[nn.Module] = set()
        left: set[nn.Module] = set()
        given, _ = next(self.system.boundary(min(2, len(self.system))))
        with _no_fast_path():
            for link in self._links:
                given = given.detach().requires_grad_() if given.is_floating_point() else given
                worth, produced = sums_over_places(link, given)
                (found if worth and suits(link, produced) else left).add(link)
                given = produced
        return found - left

    def _set_precision(self, precision: torch.dtype) -> None:
        """Give each link its floating-point type."""
        self.precision = precision
        for link in self._links:
            if link not in self._single:
                link.to(precision)

    def _placed(self, link: nn.Module, x: Tensor) -> Tensor:
        """Input of a link in the link's floating-point type; links without parameters take any."""
        if not x.is_floating_point():
            return x
        if link in self._single:
            if x.dtype != torch.float32:
                check_errors(x.float())
            return x.float()
        if self.mixed and next(link.parameters(), None) is None:
            return x
        return x.to(self.precision)

    def whole(self, precision: torch.dtype) -> nn.Module:
        """The network in one precision, all of it in one; made when it is first needed."""
        if not self.mixed and precision == self.precision:
            return self.model
        if precision not in self._whole:
            self._whole[precision] = tail_exact(self.system.model).to(precision).requires_grad_(False)
        return self._whole[precision]

    @property
    def foreign(self) -> bool:
        """Whether modules with parameters stay whole that are neither torch's nor critlearn's.

        What they do to a sample may depend on the sample.
        """
        return any(
            type(module).__module__.split(".")[0] not in ("torch", "critlearn")
            for link in self._links
            if next(link.parameters(), None) is not None
            for module in link.modules()
        )

    @property
    def named_links(self) -> list[tuple[str, nn.Module]]:
        """Modules that follow one another, with their names in the network; functions have none."""
        return [(self._called.get(link, ""), link) for link in self._links]

    def _plain(self, link: nn.Module) -> bool:
        """Whether a link is itself a layer, or an activation: no hooks are needed inside."""
        if hooked(link):
            return False
        return isinstance(link, ActivationModule) or (link in self._names and not any(link.children()))

    def _forward(self, x: Tensor) -> list[tuple[Tensor, Tensor, list[LayerCall]]]:
        """Input, output and calls of layers of every link."""
        states = []
        # Without torch's lazy minus sign, as that of a conjugate's imaginary part: kernels know nothing of it.
        x = x.resolve_neg()
        for at, link in enumerate(self._links):
            self._calls = []
            try:
                x, produced = self._output(link, x, first=at == 0)
            except (RuntimeError, TypeError, ValueError, IndexError) as problem:
                reason = first_line(problem)
                raise InvalidInputError(
                    f"{type(link).__name__} of the model cannot take inputs of shape {tuple(x.shape)} and type "
                    f"{x.dtype}: {reason}"
                ) from problem
            if not isinstance(produced, Tensor):
                raise InvalidInputError(
                    f"the model must return a tensor; {type(link).__name__} gave {type(produced).__name__}"
                )
            if link in self._names:
                check_layer(self._names[link], link, x, produced)
            states.append((x, produced, self._calls))
            x = produced.detach()
        return states

    def _output(self, link: nn.Module, x: Tensor, *, first: bool) -> tuple[Tensor, Any]:
        """Input and output of a link; inputs of dense layers stay in their own type, which is all they hold."""
        dense = type(link) is nn.Linear and self._plain(link) and link not in self._single
        if dense and self.numbers is nullcontext and self.precision == torch.float64:
            sparse = self._sparse[link](x)
            if sparse is not None:
                return x, sparse
        placed = self._placed(link, x)
        with self.numbers():
            given, produced = self._applied(link, placed, first=first)
        return (x if dense and x.is_floating_point() else given), produced

    def _applied(self, link: nn.Module, x: Tensor, *, first: bool) -> tuple[Tensor, Any]:
        """Input and output of a link, with the graph of operations where it is needed."""
        if self._plain(link) and (first or isinstance(link, ActivationModule) or type(link) is nn.Linear):
            with torch.no_grad():
                # An activation without automatic differentiation round it, which costs more than the activation.
                return x, link.activation(x) if isinstance(link, ActivationModule) else link(x)
        if not first and x.is_floating_point():
            x = x.detach().requires_grad_()
        with torch.enable_grad(), _no_fast_path(), self._listen():
            return x, link(x)

    def _backward(
        self,
        link: nn.Module,
        given: Tensor,
        produced: Tensor,
        calls: list[LayerCall],
        errors: ScaledErrors,
        uses: list[LayerUse],
        *,
        first: bool,
    ) -> ScaledErrors:
        """Errors at the input of a link from those at its output; uses of layers in it are noted."""
        errors = self._received(errors, produced)
        single = self.mixed and produced.dtype == torch.float32
        if self._plain(link) and link in self._names:
            name, logs = self._names[link], errors.logs
            use = LayerUse(name, link, (given.detach(),), {}, (errors.values,), logs, errors.log_scale)
            uses.append(self._checked(use))
        if first and self._plain(link):
            return errors
        if isinstance(link, ActivationModule) and not hooked(link):
            at = given.double()
            sign, log_slope = link.activation.slope_sign(at), link.activation.log_slope(at)
            return errors.through_activation(log_slope, sign, given.dtype)
        if type(link) is nn.Linear and not hooked(link):
            return errors.through_linear(link.weight)
        tiny = _TINY_SINGLE if single else _TINY
        if self._plain(link):
            with self.numbers(), no_raw_refusal(link):
                pulled = _pulled_back(given, produced, errors.values)
            return self._pulled(link, errors, pulled, tiny)
        if single and not fits(produced):
            raise BeyondSingleError
        if produced.requires_grad:
            with self.numbers(), self._recompute(), no_raw_refusal(link):
                produced.backward(errors.values.reshape(produced.shape))
        for call in reversed(calls):
            received = tuple(call.errors)
            for error in received:
                check_finite(error, f"the gradient at the output of {in_words(call.layer, call.module)}")
            use = LayerUse(call.layer, call.module, call.arguments, call.keywords, received, None, errors.log_scale)
            uses.append(self._checked(use))
        pulled = given.grad if given.grad is not None else torch.zeros_like(given)
        return errors if first else self._pulled(link, errors, pulled, tiny)

    def _pulled(self, link: nn.Module, errors: ScaledErrors, pulled: Tensor, tiny: float) -> ScaledErrors:
        """Errors that automatic differentiation gave, in units of their own where they have left the common size.

        Functions have no name: the last layer before them tells where they are.
        """
        at = self._links.index(link)
        while at and self._links[at] not in self._called:
            at -= 1
        near = self._links[at]
        side = "input" if near is link else "output"
        check_finite(pulled, f"the gradient at the {side} of {in_words(self._called.get(near, ''), near)}")
        return errors.with_values(pulled).renormalised(tiny)

    def _received(self, errors: ScaledErrors, produced: Tensor) -> ScaledErrors:
        """Errors in the floating-point type of a link's output."""
        if self.mixed and produced.dtype == torch.float32:
            check_logs(errors.logs)
            if errors.logs is None and errors.values.dtype != torch.float32:
                check_logs(errors.values.abs().log())
            check_errors(errors.values)
        if errors.values.dtype == produced.dtype:
            return errors
        return ScaledErrors(errors.values.to(produced.dtype), errors.logs, errors.log_scale)

    def _checked(self, use: LayerUse) -> LayerUse:
        """The use of a layer, if products of its inputs and errors stay within the range of their type."""
        if self.mixed and all(error.dtype == torch.float32 for error in use.errors):
            check_products(use.errors, use.arguments)
        return use

    @contextmanager
    def _listen(self) -> Iterator[None]:
        """Note calls of layers: others than those of the activation pass itself must leave no trace."""
        self._listening = True
        try:
            yield
        finally:
            self._listening = False

    @contextmanager
    def _recompute(self) -> Iterator[None]:
        """What activation checkpointing calls anew on the way back is what it was on the way forwards."""
        self._recomputing = True
        try:
            yield
        finally:
            self._recomputing = False

    def _seen(self, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> Any:
        """Forward hook: note the call of a layer, and have its output errors noted when they come."""
        if not (self._listening or self._recomputing):
            return output
        tensors, structure = tree_flatten(output)
        errors: list[Tensor] = []
        for place, tensor in enumerate(tensors):
            if not (isinstance(tensor, Tensor) and tensor.is_floating_point()):
                continue
            check_layer(self._names[module], module, (arguments, keywords), tensor)
            if not tensor.requires_grad:
                # Nothing before it needs a gradient: the backward pass ends here.
                tensor = tensor.detach().requires_grad_()
                tensors[place] = tensor.clone()
            if self._recomputing:
                continue
            slot = len(errors)
            # Stays so where the loss does not depend on this output.
            errors.append(torch.zeros((), dtype=tensor.dtype, device=tensor.device).expand(tensor.shape))
            tensor.register_hook(lambda gradient, slot=slot: errors.__setitem__(slot, gradient.detach()))
        if self._recomputing:
            return tree_unflatten(tensors, structure)
        given = tree_map(lambda value: value.detach() if isinstance(value, Tensor) else value, (arguments, keywords))
        self._calls.append(LayerCall(self._names[module], module, given[0], given[1], errors))
        return tree_unflatten(tensors, structure)


def _pulled_back(given: Tensor, produced: Tensor, errors: Tensor) -> Tensor:
    """Errors at a layer's input, by automatic differentiation of this layer alone."""
    if not given.is_floating_point():
        return errors.new_zeros(given.shape)
    (pulled,) = torch.autograd.grad(produced, given, errors.reshape(produced.shape))
    return pulled


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Without torch's fused transformer layers, which bypass the modules in them."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
