"""Per-sample gradients of every trainable variable of any network, in the cheapest form that is correct.

Rules are not trusted blindly: on a few samples the gradients of every variable are held against automatic
differentiation, and a variable that a rule gets wrong (used by a function outside its layer, or in a layer whose first
dimension is not that of the samples) is left to automatic differentiation of the whole network. Modules of a user's
own may treat some samples in another way than those few: there sums over some batches are held against it too.
"""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Final

import torch
from torch import Tensor, nn

from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.audit import (
    ELSEWHERE,
    OUTSIDE,
    BatchSums,
    agrees,
    due,
    largest_of_layers,
    layer_of,
    never_reached,
    nothing,
    plain_gradients,
)
from critlearn.fluctuations.grad_sample.protocol import Contribution, Values
from critlearn.fluctuations.grad_sample.rules import FallbackRule, LinearRule, UnsuitableUseError
from critlearn.fluctuations.grad_sample.rules.plan import aliases, planned_rules
from critlearn.fluctuations.grad_sample.tied import together
from critlearn.fluctuations.grad_sample.variable_gradients import VariableGradients
from critlearn.network import NeuralSystem
from critlearn.network.backward.degraded_arithmetic import WorseNumbers
from critlearn.network.backward.layer_pass import LayerPass
from critlearn.network.backward.layer_use import LayerUse
from critlearn.network.backward.learning_pass import differentiated
from critlearn.network.backward.scaled_errors import ScaledErrors, output_errors
from critlearn.network.backward.single_precision import BeyondSingleError
from critlearn.network.checks.finiteness import NonFiniteError, check_finite
from critlearn.network.checks.independence import PROBED, check_independence
from critlearn.network.checks.inputs import in_type
from critlearn.numerics.array_file import first_line
from critlearn.numerics.memory import keep_freed_memory

_TOGETHER: Final = 32
"""Samples that are passed together when a measurement starts."""

_WRITTEN_OUT: Final = 128 << 20
"""Bytes of gradients that are written out at a time where no rule serves."""


class PerSampleGradients:
    """Gradients of single samples, batch by batch.

    Parameters
    ----------
    system
        Network, loss and data set.
    precision
        Floating-point type of the learning pass. None for double precision, but in those parts of a network of single
        precision that sum over places and do not come near the ends of its range: a batch in which one does is taken
        in double precision.
    quiet
        Do not warn of layers that have no rule, or are used in ways that theirs does not cover.

    Raises
    ------
    InvalidInputError
        If a trainable variable gets no gradient whatever the output errors, or the output for a sample depends on other
        samples or on chance.
    """

    def __init__(self, system: NeuralSystem, *, precision: torch.dtype | None = None, quiet: bool = False) -> None:
        keep_freed_memory()
        self.system, self._quiet = system, quiet
        # Asked for once: walking through the modules for every batch would take longer than a small network's pass.
        self._trainable = system.parameters
        self.names = list(self._trainable)
        self._rules = planned_rules(system.model)
        self._said: set[str] = set()
        for layer, rule in self._rules.items():
            if isinstance(rule, FallbackRule):
                kind = type(system.model.get_submodule(layer)).__name__
                self._say(kind, f"{kind} has no layer rule: its per-sample gradients come from torch.func")
        self._aliases = aliases(system.model)
        self._wanted = {layer: self._of_layer(layer) for layer in self._rules}
        self._pass = self._possible(precision)
        self._double: LayerPass | None = None
        self.differentiated: set[str] = set()
        self._probe()

    def _possible(self, precision: torch.dtype | None) -> LayerPass:
        """The pass that is wanted; in single precision where a network of single precision cannot be passed in double.

        It may hold tensors that are neither parameters nor buffers, or name a precision in its ``forward``.
        """
        wanted = LayerPass(self.system, self._rules, precision)
        x = self.system.spread(2)
        try:
            with torch.no_grad():
                wanted.whole(wanted.precision)(in_type(x, wanted.precision))
        except RuntimeError as problem:
            reason = first_line(problem)
            cause = f"the network cannot be passed in {str(wanted.precision).removeprefix('torch.')} ({reason})"
            remedy = "hold its tensors as buffers, and name no precision in its forward"
            single = next(iter(self._trainable.values())).dtype == torch.float32
            if precision is not None or not single:
                raise InvalidInputError(f"{cause}: {remedy}") from problem
            self._say("precision", f"{cause}: its pass is in single precision; to change that, {remedy}")
            return LayerPass(self.system, self._rules, torch.float32)
        return wanted

    def in_precision(self, precision: torch.dtype) -> "PerSampleGradients":
        """The same gradients, from a learning pass in another floating-point type."""
        other = copy.copy(self)
        other._pass, other._double = LayerPass(self.system, self._rules, precision), None
        other._quiet, other.differentiated = True, set(self.differentiated)
        return other

    def with_worse(self, worsen: Callable[[Tensor], Tensor]) -> "PerSampleGradients":
        """The same gradients, from a learning pass with worse numbers (`WorseNumbers`)."""
        other = self.in_precision(self.precision)
        other._pass.numbers = lambda: WorseNumbers(worsen)
        return other

    @property
    def precision(self) -> torch.dtype:
        """Floating-point type of the learning pass, of the finer one if there are two."""
        return self._pass.precision

    @property
    def mixed(self) -> bool:
        """Whether parts of the network are taken in single precision."""
        return self._pass.mixed

    @property
    def layers(self) -> list[tuple[str, nn.Module]]:
        """Modules that follow one another in the pass, with their names in the network."""
        return self._pass.named_links

    def batch(self, x: Tensor, t: Tensor, *, first: int = 0) -> Iterator[VariableGradients]:
        """Gradients of all trainable variables for a batch of boundary states, of which the first has this number.

        Raises
        ------
        InvalidInputError
            If a layer's output is not finite, or outputs and targets do not fit.
        """
        # What is given up on the way is so for this batch alone: it does not matter which batches came before.
        apart = set(self.differentiated)
        try:
            if len(apart) < len(self.names):
                uses = self._uses(x, t)
                found = self._by_rules(uses, apart)
                yield from self._checked(found, x, t, apart, _coarsest(uses), first) if self._pass.foreign else found
            if apart:
                yield from self._by_differentiation(x, t, apart)
        except NonFiniteError as problem:
            raise problem.numbered_from(first) from None

    def _uses(self, x: Tensor, t: Tensor) -> list[LayerUse]:
        """Uses of the layers, in double precision if single precision does not do."""
        try:
            return self._pass(x, t)
        except BeyondSingleError:
            return self._in_double()(x, t)

    def _in_double(self) -> LayerPass:
        """The pass in double precision, made when it is first needed."""
        if self._double is None:
            self._double = LayerPass(self.system, self._rules)
        return self._double

    def _by_rules(self, uses: list[LayerUse], apart: set[str]) -> Iterator[VariableGradients]:
        """Gradients from the layers' rules, those of one variable's uses combined; others are put ``apart``."""
        found: dict[str, list[tuple[Contribution, Tensor]]] = {}
        for use in uses:
            wanted = self._wanted[use.layer]
            if not wanted:
                continue
            for local, contribution in self._contributions(use, apart).items():
                if local in wanted and wanted[local] not in apart:
                    found.setdefault(wanted[local], []).append((contribution, use.log_scale))
        for name, parts in found.items():
            # Uses that turned out unsuitable on the way have put the whole variable on the other list.
            if name not in apart:
                yield VariableGradients(name, *together(parts))

    def _checked(
        self,
        found: Iterator[VariableGradients],
        x: Tensor,
        t: Tensor,
        apart: set[str],
        precision: torch.dtype,
        first: int,
    ) -> Iterator[VariableGradients]:
        """Gradients that are those of as many samples as there are, and now and then held against their sum.

        Variables that fail are put ``apart``. Which batches are looked at depends on the numbers of their samples
        alone: a measurement in parts is the whole.
        """

        @cache
        def sums() -> BatchSums:
            model, given = self._pass.whole(precision), in_type(x, precision)
            return BatchSums(model, self._trainable, given, lambda y: output_errors(self.system, y, given, t))

        looked_at, met = due(first, len(x)), set()
        for item in found:
            met.add(item.name)
            whole = item.contribution.samples == len(x)
            if whole and (not looked_at or sums().agree(item.name, item.contribution, item.log_scale)):
                yield item
            else:
                self._give_up({item.name}, apart, item.name, ELSEWHERE)
        for name in self.names:
            if name in met or name in apart:
                continue
            if sums().vanish(name):
                # As an expert to whom none of these samples was sent.
                yield VariableGradients(name, *nothing(self._trainable[name].numel(), sums().log_scale))
            else:
                self._give_up({name}, apart, name, OUTSIDE)

    def _of_layer(self, layer: str) -> dict[str, str]:
        """Trainable variables of a layer: name within it -> name in the network."""
        prefix = f"{layer}." if layer else ""
        return {
            local.removeprefix(prefix): name
            for local, name in self._aliases.items()
            if local.startswith(prefix) and name in self._trainable
        }

    def _contributions(self, use: LayerUse, apart: set[str]) -> dict[str, Contribution]:
        """What the layer's rule gives; its variables are left to differentiation if the rule does not suit."""
        rule = self._rules[use.layer]
        # Other rules for dense layers than our own multiply inputs by errors.
        if type(use.module) is nn.Linear and not isinstance(rule, LinearRule):
            use = use.in_one_precision()
        try:
            return rule.contributions(use)
        except UnsuitableUseError as problem:
            self._give_up(set(self._wanted[use.layer].values()), apart, type(use.module).__name__, str(problem))
            return {}

    def _give_up(self, names: set[str], apart: set[str], kind: str, reason: str) -> None:
        """Leave variables to differentiation of the whole network, and say so once for each type of layer."""
        apart |= names
        self._say(
            f"{kind} whole",
            f"{kind}: per-sample gradients by automatic differentiation of the whole network ({reason})",
        )

    def _say(self, subject: str, message: str) -> None:
        """Warn, once for each subject."""
        if subject not in self._said and not self._quiet:
            self._said.add(subject)
            warnings.warn(message, stacklevel=5)

    def _by_differentiation(self, x: Tensor, t: Tensor, names: set[str]) -> Iterator[VariableGradients]:
        """Gradients by ``torch.func`` on the whole network, some samples at a time."""
        x = in_type(x, self.precision)
        model = self._pass.whole(self.precision)
        with torch.no_grad(), self._pass.numbers():
            output = model(x)
        errors = output_errors(self.system, output, x, t)
        variables = {name: value for name, value in model.named_parameters() if name in names}
        size = sum(value.numel() for value in variables.values()) * torch.finfo(self.precision).bits // 8
        step = max(1, _WRITTEN_OUT // size)
        for start in range(0, len(x), step):
            piece = slice(start, start + step)
            with self._pass.numbers():
                gradients = differentiated(model, variables, x[piece], errors.values[piece])
            for name, gradient in gradients.items():
                check_finite(gradient, f'the gradient of "{name}"', first=start)
                yield VariableGradients(
                    name, Values(gradient.reshape(len(gradient), -1)), errors.log_scale[piece], start
                )

    def _probe(self) -> None:
        """Compare with automatic differentiation on a few samples, for output errors drawn at random."""
        model = self._pass.whole(self.precision)
        x = in_type(self.system.spread(PROBED), self.precision)
        numbers = self.system.scattered(PROBED)
        check_independence(model, x)
        if len(x) == 1 or not self._pass.foreign:
            # Two are enough where nothing can depend on the sample; with many weights each of them takes its time.
            x, numbers = x[[0, -1]], [numbers[0], numbers[-1]]
        errors, gradients = self._probed(x, numbers, self.differentiated)
        self._compare(model, x, errors, {item.name: item for item in gradients})
        if self._pass.foreign and len(self.system) > PROBED:
            self._probe_together()

    def _compare(self, model: nn.Module, x: Tensor, errors: Tensor, gradients: Mapping[str, VariableGradients]) -> None:
        """Give up variables whose gradients are not those of automatic differentiation, sample by sample."""
        generator = torch.Generator().manual_seed(0)
        unlike: dict[str, str] = {}
        reached = set()
        for sample in range(len(x)):
            one = slice(sample, sample + 1)
            reference = plain_gradients(model, self._trainable, x[one], partial(_alike, errors[one]))
            largest = largest_of_layers(reference)
            for name, expected in reference.items():
                if expected is None:
                    continue
                reached.add(name)
                if name in self.differentiated or name in unlike:
                    continue
                item = gradients.get(name)
                if item is None:
                    unlike[name] = OUTSIDE
                elif item.contribution.samples != len(x) or not agrees(
                    item.contribution, item.log_scale, expected.flatten(), sample, generator, largest[layer_of(name)]
                ):
                    unlike[name] = ELSEWHERE
        self._refuse_unreached(model, reached)
        for name, reason in unlike.items():
            self._give_up({name}, self.differentiated, name, reason)

    def _probe_together(self) -> None:
        """Compare a sum over more samples, which a module of a user's own may treat in another way than those few.

        In single precision where parts of the pass are, and as closely as that allows (1e-3): it takes half the time,
        and gradients that belong to other samples differ by more.
        """
        x = self.system.spread(_TOGETHER)
        numbers = self.system.scattered(_TOGETHER)
        errors, gradients = self._probed(in_type(x, self.precision), numbers, set(self.differentiated))
        precision = torch.float32 if self.mixed else self.precision
        model, given = self._pass.whole(precision), in_type(x, precision)
        sums = BatchSums(model, self._trainable, given, lambda y: _of_unit_size(_alike(errors, y)))
        for item in gradients:
            whole = item.contribution.samples == len(x)
            if whole and not sums.agree(item.name, item.contribution, item.log_scale):
                self._give_up({item.name}, self.differentiated, item.name, ELSEWHERE)

    def _probed(self, x: Tensor, numbers: list[int], apart: set[str]) -> tuple[Tensor, list[VariableGradients]]:
        """Output errors of unit size, drawn at random, and the gradients for them; the samples have these numbers."""
        drawn = []

        def errors(output: Tensor) -> ScaledErrors:
            generator = torch.Generator().manual_seed(0)
            drawn.append(torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output))
            return _of_unit_size(drawn[-1])

        try:
            try:
                uses = self._pass.with_errors(x, errors)
            except BeyondSingleError:
                uses = self._in_double().with_errors(x, errors)
            return drawn[-1], list(self._by_rules(uses, apart))
        except NonFiniteError as problem:
            raise NonFiniteError(problem.where, numbers[problem.sample]) from None

    def _refuse_unreached(self, model: nn.Module, reached: set[str]) -> None:
        """Refuse a trainable variable that the output does not depend on.

        A module of a user's own may need it for samples other than those that were looked at: all are passed then.
        """
        missing = [name for name in self.names if name not in reached]
        if missing and self._pass.foreign:
            missing = never_reached(model, missing, (in_type(x, self.precision) for x, _ in self.system.boundary(256)))
        if missing:
            raise InvalidInputError(
                f'the trainable variable "{missing[0]}" gets no gradient: the output does not depend on it, or only '
                "through torch.no_grad() or detach(); freeze it with requires_grad_(False)"
            )


def _coarsest(uses: list[LayerUse]) -> torch.dtype:
    """Floating-point type of a pass, of the coarser one if it has two."""
    single = any(error.dtype == torch.float32 for use in uses for error in use.errors)
    return torch.float32 if single else torch.float64


def _alike(errors: Tensor, output: Tensor) -> Tensor:
    """Errors in shape and floating-point type of the output."""
    return errors.reshape(output.shape).to(output)


def _of_unit_size(errors: Tensor) -> ScaledErrors:
    """Output errors whose unit is 1 for each sample."""
    return ScaledErrors(errors, None, torch.zeros(len(errors), dtype=torch.float64, device=errors.device))
