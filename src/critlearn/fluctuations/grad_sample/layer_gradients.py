"""Per-sample gradients as the layers' rules and automatic differentiation give them, not compared with anything.

`per_sample` holds them against automatic differentiation of the whole network before it hands them out.
"""

import copy
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn

from critlearn.compositions import OutputLoss
from critlearn.errors import RAISED_BY_USER_CODE, CritlearnError, InvalidInputError, first_line
from critlearn.fluctuations.criteria import FLOOR_SAMPLES
from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.positions import use_by_positions
from critlearn.fluctuations.grad_sample.protocol import GradSample, VariableGradients
from critlearn.fluctuations.grad_sample.rules import FallbackRule, LayerRule, LinearRule, UnsuitableUseError
from critlearn.fluctuations.grad_sample.rules.plan import aliases, layer_of, planned_rules, with_callers
from critlearn.fluctuations.grad_sample.tied import summed_over_uses
from critlearn.network import NeuralSystem
from critlearn.network.backward.displaced_arithmetic import DisplacedArithmetic
from critlearn.network.backward.layer_pass import LayerPass
from critlearn.network.backward.layer_use import LayerUse
from critlearn.network.backward.learning_pass import differentiated
from critlearn.network.backward.scaled_errors import ScaledErrors, output_errors
from critlearn.network.backward.single_precision import BeyondSingleError
from critlearn.network.batches.model_inputs import Inputs, in_type
from critlearn.network.checks.finiteness import check_finite, described
from critlearn.network.checks.independence import has_own_code
from critlearn.network.checks.uncalled import callers
from critlearn.network.copying import copied

_WRITTEN_OUT: Final = 128 << 20
"""Bytes of gradients that are written out at a time where the whole network is differentiated: the larger, the fewer
calls of ``torch.func``, which have a cost of their own."""


class LayerGradients:
    """Gradients of the trainable variables by layer rules, or by differentiation of the whole network.

    Parameters
    ----------
    system
        Network, loss and data set.
    precision
        Floating-point type of the learning pass; see `PerSampleGradients`.
    quiet
        Do not warn of layers that have no rule, or are used in ways that theirs does not cover.
    for_sums, only
        See `PerSampleGradients`.

    Raises
    ------
    InvalidInputError
        If the network cannot be passed in that precision.
    """

    def __init__(
        self,
        system: NeuralSystem,
        precision: torch.dtype | None,
        *,
        quiet: bool,
        for_sums: bool = False,
        only: Collection[str] | None = None,
    ) -> None:
        self.system, self._quiet = system, quiet
        # Asked for once: walking through the modules for every batch would take longer than a small network's pass.
        self.trainable = {name: value for name, value in system.parameters.items() if only is None or name in only}
        self._warned_of: set[str] = set()
        self._rules = self._planned()
        for layer, rule in self._rules.items():
            if isinstance(rule, FallbackRule):
                kind = described(layer, system.model.get_submodule(layer))
                self._warn(
                    type(system.model.get_submodule(layer)).__name__,
                    f"{kind} has no layer rule: its per-sample gradients come from torch.func",
                )
        names = aliases(system.model)
        self._variables = {layer: self._variables_of(layer, names) for layer in self._rules}
        self.learning_pass = self._possible_pass(precision, for_sums)
        self.last_in_single = False
        self.taken_in_single: tuple[Inputs, Tensor] | None = None

    def _planned(self) -> dict[str, LayerRule]:
        """Rule for every layer, or for the module that uses its variables without calling it."""
        model, plan = self.system.model, planned_rules(self.system.model)
        # A network of modules of torch's alone calls all of its layers.
        if not has_own_code(model):
            return plan
        try:
            return with_callers(plan, callers(copied(model).requires_grad_(False), plan, self.system.spread(2)))
        except RAISED_BY_USER_CODE:
            # What the network cannot take is said by the pass itself.
            return plan

    def _possible_pass(self, precision: torch.dtype | None, for_sums: bool) -> LayerPass:
        """Learning pass in the requested precision; single, with a warning, where a network cannot be passed in double.

        It may hold tensors that are neither parameters nor buffers, or name a precision in its ``forward``.
        """
        wanted = LayerPass(self.system, self._rules, precision, everywhere=for_sums)
        x = self.system.spread(2)
        try:
            with torch.no_grad():
                wanted.whole(wanted.precision)(in_type(x, wanted.precision))
        except RuntimeError as problem:
            reason = first_line(problem)
            cause = f"the network cannot be passed in {str(wanted.precision).removeprefix('torch.')} ({reason})"
            remedy = "hold its tensors as buffers, and name no precision in its forward"
            single = next(iter(self.trainable.values())).dtype == torch.float32
            if precision is not None or not single:
                raise InvalidInputError(f"{cause}: {remedy}") from problem
            self._warn("precision", f"{cause}: its pass is in single precision; to change that, {remedy}")
            return LayerPass(self.system, self._rules, torch.float32)
        return wanted

    def renewed(self) -> "LayerGradients":
        """Gradients of the network as it is now: its variables may have changed since."""
        return self._through(self.learning_pass.renewed())

    def in_precision(self, precision: torch.dtype) -> "LayerGradients":
        """Gradients from a learning pass in another floating-point type."""
        return self._through(self.learning_pass.in_precision(precision))

    def with_displaced_numbers(self, precision: torch.dtype) -> "LayerGradients":
        """Gradients from a pass in a floating-point type in which every result is displaced by its rounding."""
        # One for the whole pass, so that its displacements are others in every link.
        arithmetic = DisplacedArithmetic()
        return self._through(self.learning_pass.in_precision(precision).with_arithmetic(lambda: arithmetic))

    def with_loss(self, loss: OutputLoss) -> "LayerGradients":
        """Gradients of another loss of the same outputs and targets."""
        other = self._through(self.learning_pass.with_loss(loss))
        other.system = other.learning_pass.system
        return other

    def _through(self, learning_pass: LayerPass) -> "LayerGradients":
        """Gradients from another learning pass, without warnings."""
        other = copy.copy(self)
        other.learning_pass = learning_pass
        other._quiet = True
        return other

    def uses(self, x: Inputs, t: Tensor, outputs: list[Tensor] | None = None) -> list[LayerUse]:
        """Uses of the layers in the pass of a batch, in double precision if single precision does not do.

        The output of the network is appended to ``outputs``.
        """
        try:
            found = self.learning_pass(x, t, outputs)
        except BeyondSingleError:
            self.last_in_single = False
            return self.learning_pass.in_precision(torch.float64)(x, t)
        self.last_in_single = self.learning_pass.mixed
        if self.last_in_single and self.taken_in_single is None:
            self.taken_in_single = x[:FLOOR_SAMPLES], t[:FLOOR_SAMPLES]
        return found

    def uses_for_errors(self, x: Inputs, errors: Callable[[Tensor], ScaledErrors]) -> list[LayerUse]:
        """Uses of the layers for chosen output errors in place of those of the loss."""
        try:
            return self.learning_pass.with_errors(x, errors)
        except BeyondSingleError:
            return self.learning_pass.in_precision(torch.float64).with_errors(x, errors)

    def by_rules(self, uses: list[LayerUse], apart: set[str]) -> Iterator[VariableGradients]:
        """Gradients from the layers' rules, those of one variable's uses combined.

        ``apart`` are the variables that are left to differentiation; those whose uses no rule covers join them.
        """
        found: dict[str, list[tuple[GradSample, Tensor]]] = {}
        for use in uses:
            variables = self._variables[use.layer]
            if not variables:
                continue
            for local, grad_sample in self._from_rule(use, apart).items():
                if local in variables and variables[local] not in apart:
                    found.setdefault(variables[local], []).append((grad_sample, use.log_scale))
        for name, parts in found.items():
            # Uses that turned out unsuitable on the way have put the whole variable on the other list.
            if name in apart:
                continue
            try:
                combined = summed_over_uses(parts)
            except Exception as problem:
                self.give_up_failed({name}, apart, name, problem)
                continue
            yield VariableGradients(name, *combined)

    def by_positions(self, uses: list[LayerUse], apart: set[str], positions: int) -> Iterator[VariableGradients]:
        """Contributions of each position, before they are summed over a sequence of so many positions.

        Variables without such contributions join those ``apart``: their layers act on whole samples, or on sequences of
        another length.
        """
        single = [use_by_positions(use, positions) for use in uses]
        for use, own in zip(uses, single, strict=True):
            if own is None:
                apart |= set(self._variables[use.layer].values())
        for item in self.by_rules([own for own in single if own is not None], apart):
            yield replace(item, positions=positions)

    def _from_rule(self, use: LayerUse, apart: set[str]) -> dict[str, GradSample]:
        """Gradients from the layer's rule; none if it does not suit, with the variables left to differentiation."""
        rule = self._rules[use.layer]
        # Other rules for dense layers than our own multiply inputs by errors.
        if type(use.module) is nn.Linear and not isinstance(rule, LinearRule):
            use = use.in_one_precision()
        try:
            # A layer that is differentiated rounds here too.
            with self.learning_pass.arithmetic():
                return _of_samples(rule, use)
        # A rule assumes shapes that a user's forward need not respect, so that it may fail in any way.
        except Exception as problem:
            variables = set(self._variables[use.layer].values())
            self.give_up_failed(variables, apart, described(use.layer, use.module), problem)
            return {}

    def by_differentiation(self, x: Inputs, t: Tensor, names: set[str]) -> Iterator[VariableGradients]:
        """Gradients by ``torch.func`` on the whole network, some samples at a time."""
        precision = self.learning_pass.precision
        x = in_type(x, precision)
        model = self.learning_pass.whole(precision)
        with torch.no_grad(), self.learning_pass.arithmetic():
            output = model(x)
        with self.learning_pass.loss_arithmetic():
            errors = output_errors(self.system, output, x, t)
        variables = {name: value for name, value in model.named_parameters() if name in names}
        size = sum(value.numel() for value in variables.values()) * torch.finfo(precision).bits // 8
        step = max(1, _WRITTEN_OUT // size)
        for start in range(0, len(x), step):
            piece = slice(start, start + step)
            with self.learning_pass.arithmetic():
                gradients = differentiated(model, variables, x[piece], errors.values[piece])
            for name, gradient in gradients.items():
                check_finite(gradient, f'the gradient of "{name}"', first=start)
                values = Materialised(gradient.reshape(len(gradient), -1))
                yield VariableGradients(name, values, errors.log_scale[piece], start)

    def give_up(self, names: set[str], apart: set[str], kind: str, reason: str) -> None:
        """Leave variables to differentiation of the whole network, with one warning for each type of layer."""
        apart |= names
        self._warn(
            f"{kind.partition(' at ')[0]} whole",
            f"{kind}: per-sample gradients by automatic differentiation of the whole network ({reason})",
        )

    def give_up_failed(self, names: set[str], apart: set[str], kind: str, problem: Exception) -> None:
        """Leave variables whose rule has failed to differentiation of the whole network.

        Raises
        ------
        Exception
            The problem itself, if it says that numbers are not finite or that memory is exhausted.
        """
        if isinstance(problem, CritlearnError | torch.OutOfMemoryError | MemoryError):
            raise problem
        reason = first_line(problem) or type(problem).__name__
        self.give_up(names, apart, kind, reason)

    def _variables_of(self, layer: str, names: dict[str, str]) -> dict[str, str]:
        """Trainable variables of a layer that its rule is about: name within it -> name in the network."""
        prefix, rule = f"{layer}." if layer else "", self._rules[layer]
        inner = rule.inner if isinstance(rule, FallbackRule) else ()
        found = {
            local.removeprefix(prefix): name
            for local, name in names.items()
            if local.startswith(prefix) and name in self.trainable
        }
        if rule.covers_submodules:
            return found
        return {local: name for local, name in found.items() if layer_of(local) in ("", *inner)}

    def _warn(self, subject: str, message: str) -> None:
        """Warn, once for each subject."""
        if subject not in self._warned_of and not self._quiet:
            self._warned_of.add(subject)
            warnings.warn(message, stacklevel=5)


def _of_samples(rule: LayerRule, use: LayerUse) -> dict[str, GradSample]:
    """Gradients by a rule, also where places of samples stand side by side in the first dimension."""
    samples, rows = len(use.log_scale), len(use.errors[0]) if use.errors and use.errors[0].dim() else 0
    try:
        return rule.grad_samples(use)
    except UnsuitableUseError:
        if isinstance(rule, FallbackRule) or rows in (0, samples) or rows % samples:
            raise
    places = rows // samples
    # Every place as a sample of its own, then summed.
    found = rule.grad_samples(replace(use, log_scale=use.log_scale.repeat_interleave(places)))
    own = torch.arange(rows, device=use.log_scale.device).reshape(samples, places)
    return {name: part.combined(own, torch.ones_like(own, dtype=part.precision)) for name, part in found.items()}
