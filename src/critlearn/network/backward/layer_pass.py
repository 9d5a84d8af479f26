"""Learning pass that stops at the layers: the inputs of each, and the errors at its outputs, for every sample.

A network that is a chain is passed backwards one link at a time. After each link, every sample's errors are rescaled to
unit size and the logarithm of the scale is kept; activations are passed in logarithms. Nothing underflows, however deep
the network and however saturated its units.
"""

import copy
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from critlearn.compositions import OutputLoss
from critlearn.errors import RAISED_BY_USER_CODE, InvalidInputError, first_line
from critlearn.network.backward.chain import chain, checked_sizes, merged, same_numbers, sequence_members
from critlearn.network.backward.layer_calls import CallRecorder, without_fused_attention
from critlearn.network.backward.layer_use import LayerUse
from critlearn.network.backward.links import GraphLink, Link, LinkPlan, LinkState, link_kind
from critlearn.network.backward.scaled_errors import ScaledErrors, output_errors
from critlearn.network.backward.single_precision import suits, sums_over_places
from critlearn.network.batches.adapted_model import AdaptedModel
from critlearn.network.batches.model_inputs import Inputs, described, in_type
from critlearn.network.checks.finiteness import check_layer, in_words, kind_of
from critlearn.network.checks.independence import PROBED
from critlearn.network.losses.differentiated import DifferentiatedLoss
from critlearn.network.system import NeuralSystem
from critlearn.network.tail_exact import tail_exact


class LayerPass:
    """Activation and learning pass of a network, stopped at some of its layers.

    The network is split into links once, on construction; each batch only runs them.

    Parameters
    ----------
    system
        Network, loss and data set; the pass is made on a tail-exact copy of the network.
    layers
        Names of the modules whose inputs and output errors are wanted.
    precision
        Floating-point type of the pass. None for double precision, except in links of a single-precision network that
        sum over places and where single precision is known to lose nothing.
    arithmetic
        Context in which the network's operations run, as `DisplacedArithmetic`.
    everywhere
        Take links that do not sum over places in single precision, too, where nothing underflows: for sums over
        samples, which need no more digits.
    like
        Another pass of the same network, perhaps with other numbers: how it is split, which links are in single
        precision and which layers are called once for all samples is as it was found there.
    """

    def __init__(
        self,
        system: NeuralSystem,
        layers: Collection[str],
        precision: torch.dtype | None = torch.float64,
        arithmetic: Callable[[], AbstractContextManager[Any]] = nullcontext,
        *,
        everywhere: bool = False,
        like: "LayerPass | None" = None,
    ) -> None:
        self.system, self.arithmetic = system, arithmetic
        self._asked, self._layers, self._everywhere = precision, layers, everywhere
        self.model = tail_exact(system.model).requires_grad_(False)
        self._called = {module: name for name, module in self.model.named_modules()}
        wanted = {module: name for module, name in self._called.items() if name in layers}
        modules = self._modules_of_links(wanted, like)
        single = self._modules_in_single(modules, like) if precision is None else set()
        self._single = [at for at, module in enumerate(modules) if module in single]
        self.mixed = bool(single)
        self.precision = precision or torch.float64
        self._links = self._planned(modules, wanted, single)
        self.common: set[str] = self._common_calls(wanted) if like is None else like.common
        self._recorder.common = self.common
        self._others: dict[torch.dtype, LayerPass] = {}

    def __call__(self, x: Inputs, t: Tensor, outputs: list[Tensor] | None = None) -> list[LayerUse]:
        """Uses of the layers for one batch, last ones first; the network's output is appended to ``outputs``.

        Raises
        ------
        BeyondSingleError
            If a part that is taken in single precision has to be taken in double precision.
        InvalidInputError
            If a layer's output is not finite, or outputs and targets do not fit.
        """
        states = self._forward(x)
        with self.loss_arithmetic():
            errors = output_errors(self.system, states[-1].output, x, t)
        if outputs is not None:
            outputs.append(states[-1].output.detach())
        return self._uses(states, errors)

    def with_loss(self, loss: OutputLoss) -> "LayerPass":
        """Same pass with another loss."""
        other = copy.copy(self)
        other.system = self.system.judging(self.system.model, loss)
        other._others = {kind: part.with_loss(loss) for kind, part in self._others.items()}
        return other

    def in_precision(self, precision: torch.dtype) -> "LayerPass":
        """Same pass with all parts of the network in one floating-point type, made when it is first needed."""
        if not self.mixed and precision == self.precision:
            return self
        if precision not in self._others:
            self._others[precision] = LayerPass(self.system, self._layers, precision, self.arithmetic, like=self)
        return self._others[precision]

    def with_arithmetic(self, arithmetic: Callable[[], AbstractContextManager[Any]]) -> "LayerPass":
        """Same pass, of the same numbers, whose operations run in another context."""
        other = copy.copy(self)
        other.arithmetic, other._others = arithmetic, {}
        other._links = [link.with_arithmetic(arithmetic) for link in self._links]
        return other

    def renewed(self) -> "LayerPass":
        """Same pass of the network as it is now."""
        return LayerPass(
            self.system, self._layers, self._asked, self.arithmetic, everywhere=self._everywhere, like=self
        )

    def loss_arithmetic(self) -> AbstractContextManager[Any]:
        """Context for the loss: that of the pass where the loss is differentiated automatically, and rounds as well."""
        return self.arithmetic() if isinstance(self.system.loss, DifferentiatedLoss) else nullcontext()

    def with_errors(self, x: Inputs, errors: Callable[[Tensor], ScaledErrors]) -> list[LayerUse]:
        """Uses of the layers for errors that a function of the network's output gives, in its shape."""
        states = self._forward(x)
        return self._uses(states, errors(states[-1].output.detach()))

    def _forward(self, x: Inputs) -> list[LinkState]:
        """Run the links forwards."""
        states = []
        # Apply torch's lazy minus sign (of a conjugate's imaginary part): compiled kernels would not see it.
        x = x.resolve_neg()
        for link in self._links:
            kind = kind_of(link.module).__name__
            try:
                state = link.forward(x)
            except RAISED_BY_USER_CODE as problem:
                reason = first_line(problem)
                raise InvalidInputError(
                    f"{kind} of the model cannot take inputs of {described(x)}: {reason}"
                ) from problem
            if not isinstance(state.output, Tensor):
                raise InvalidInputError(
                    f"the model must return a tensor; {kind} gave {type(state.output).__name__}: wrap it in a module "
                    "that returns one tensor"
                )
            if link.plan.name is not None:
                check_layer(link.plan.name, link.module, state.inputs, state.output)
            states.append(state)
            x = state.output.detach()
        return states

    def _uses(self, states: list[LinkState], errors: ScaledErrors) -> list[LayerUse]:
        """Run the links backwards."""
        uses: list[LayerUse] = []
        for link in reversed(self._links):
            # The state is popped, so that its memory is free for the links before it.
            errors = link.backward(states.pop(), errors, uses)
        return uses

    def _modules_of_links(self, wanted: Collection[nn.Module], like: "LayerPass | None") -> list[nn.Module]:
        """Return the modules that are links; a user's module is split into a chain if this changes only the tail."""
        found: list[nn.Module] = []
        whole = list(sequence_members(self.model))
        chains = [chain(module, wanted) for module in whole]
        self._kinds = [[type(part).__name__ for part in parts or ()] for parts in chains]
        self._sizes: list[list[int] | None] = [None] * len(whole)
        if like is not None and like._kinds == self._kinds:
            self._sizes = like._sizes
        elif any(chains):
            self._sizes = self._checked_sizes(whole, chains)
        for module, parts, sizes in zip(whole, chains, self._sizes, strict=True):
            found.extend([module] if parts is None or sizes is None else merged(parts, sizes))
        return found

    def _checked_sizes(self, whole: list[nn.Module], chains: list[list[nn.Module] | None]) -> list[list[int] | None]:
        """For each module that is to be passed as a chain, the number of parts of each link."""
        found: list[list[int] | None] = []
        state: Any = self.system.spread(PROBED)
        with without_fused_attention(), torch.no_grad():
            for module, parts in zip(whole, chains, strict=True):
                found.append(checked_sizes(module, parts, state) if parts else None)
                state = module(state)
        return found

    @torch.enable_grad()
    def _modules_in_single(self, modules: list[nn.Module], like: "LayerPass | None") -> set[nn.Module]:
        """Links to run in single precision, determined with two samples."""
        if like is not None and len(like._links) == len(modules):
            return {modules[at] for at in like._single}
        found: set[nn.Module] = set()
        left: set[nn.Module] = set()
        state: Any = self.system.spread(2)
        # Without gradients of variables, a network that takes tokens would have no graph to judge by.
        self.model.requires_grad_()
        with without_fused_attention():
            for module in modules:
                if module is not modules[0] and state.is_floating_point():
                    # Not the inputs, which need no errors, and which a network may take out of torch.
                    state = state.detach().requires_grad_()
                worth, output = sums_over_places(module, state)
                (found if (worth or self._everywhere) and suits(module, output) else left).add(module)
                state = output
        self.model.requires_grad_(False)
        found -= left
        # A parameter in several links has one type: they are converted together or not at all.
        while shared := {module for module in found if _shares_parameters(module, set(modules) - found)}:
            found -= shared
        return found

    def _planned(self, modules: list[nn.Module], wanted: dict[nn.Module, str], single: set[nn.Module]) -> list[Link]:
        """Make the links, each of the class for its module, in its floating-point type."""
        kinds = [link_kind(module, wanted=module in wanted) for module in modules]
        graphs = [module for module, kind in zip(modules, kinds, strict=True) if kind is GraphLink]
        inner = {part for module in graphs for part in module.modules()}
        self._recorder = recorder = CallRecorder({module: name for module, name in wanted.items() if module in inner})
        links: list[Link] = []
        for at, (module, kind) in enumerate(zip(modules, kinds, strict=True)):
            precision: torch.dtype | None = self.precision
            if module in single:
                precision = torch.float32
            elif self.mixed and next(module.parameters(), None) is None:
                precision = None
            if module not in single:
                module.to(self.precision)
            plan = LinkPlan(
                module=module,
                name=wanted.get(module),
                first=at == 0,
                precision=precision,
                single=module in single,
                mixed=self.mixed,
                arithmetic=self.arithmetic,
                errors_at=self._errors_at(modules[: at + 1]),
            )
            links.append(GraphLink(plan, recorder) if kind is GraphLink else kind(plan))
        return links

    def _common_calls(self, wanted: dict[nn.Module, str]) -> set[str]:
        """Find the embeddings that are called once for all samples, as those of positions often are.

        They are where an embedding's input has the same shape for one sample and for two. Copies for each sample must
        leave the outputs as they are: where a network does something else with them than adding, they are not made.
        """
        tables = {name for module, name in wanted.items() if isinstance(module, nn.Embedding)}
        if not tables:
            return set()
        x = self.system.spread(2)
        x = x if len(x) > 1 else x[[0, 0]]
        try:
            (_, one), (output, two) = self._calls(x[[0]]), self._calls(x)
            common = {name for name in tables if name in two and one.get(name) == two[name]}
            self._recorder.common = common
            return common if not common or same_numbers(self._calls(x)[0], output) else set()
        except InvalidInputError:
            # What the network cannot take is said by the checks that follow.
            return set()

    def _calls(self, x: Inputs) -> tuple[Tensor, dict[str, list[torch.Size]]]:
        """Output, and the shapes of the inputs of all recorded calls by name of the layer."""
        states = self._forward(in_type(x, self.precision) if not self.mixed else x)
        shapes: dict[str, list[torch.Size]] = {}
        for call in (call for state in states for call in state.calls):
            inputs = [part.shape for part in call.arguments[:1] if isinstance(part, Tensor) and not call.keywords]
            shapes.setdefault(call.layer, []).extend(inputs or [torch.Size((len(x),))])
        return states[-1].output.detach(), shapes

    def _errors_at(self, modules: list[nn.Module]) -> str:
        """Describe the errors that the last of some links passes back, for an error message.

        Functions have no name, so the last module before them is named.
        """
        near = next((module for module in reversed(modules) if module in self._called), modules[0])
        end = "input" if near is modules[-1] else "output"
        return f"the gradient at the {end} of {in_words(self._called.get(near, ''), near)}"

    def whole(self, precision: torch.dtype) -> nn.Module:
        """Network with all of its parts in one precision."""
        held = (*self.model.parameters(), *self.model.buffers())
        if all(value.dtype == precision for value in held if value.is_floating_point()):
            return self.model
        return self.in_precision(precision).model

    @property
    def coarsest(self) -> torch.dtype:
        """Floating-point type in which passes of the whole network are compared with this one.

        Single precision where parts of the pass are: it takes half the time or less, and what differs is wrong by more.
        """
        return torch.float32 if self.mixed else self.precision

    @property
    def foreign(self) -> bool:
        """Whether the network has modules of a user's own in links with parameters, not only torch's and critlearn's.

        Such modules may compute one sample differently from another, so a check of a few samples says little.
        """
        return any(
            type(module).__module__.split(".")[0] not in ("torch", "critlearn") or isinstance(module, AdaptedModel)
            for link in self._links
            if next(link.module.parameters(), None) is not None
            for module in link.module.modules()
        )

    @property
    def named_links(self) -> list[tuple[str, nn.Module]]:
        """Modules of the links in order, with their names in the network; functions have the name ''."""
        return [(self._called.get(link.module, ""), link.module) for link in self._links]


def _shares_parameters(module: nn.Module, others: Collection[nn.Module]) -> bool:
    """Whether a module has a parameter that one of some others has too."""
    held = {value for other in others for value in other.parameters()}
    return any(value in held for value in module.parameters())
