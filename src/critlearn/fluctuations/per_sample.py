"""Per-sample gradients of every trainable variable of any network, in the cheapest form that is correct.

Rules are not trusted blindly: on two samples the gradients of every variable are held against automatic
differentiation, and a variable that a rule gets wrong (used by a function outside its layer, or in a layer whose first
dimension is not that of the samples) is left to automatic differentiation of the whole network.
"""

import copy
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn

from critlearn.errors import InvalidInputError
from critlearn.fluctuations.contribution import Contribution, OuterProducts, SparseRows, Values, combined
from critlearn.fluctuations.layer_rules import FallbackRule, LayerRule, UnsuitableUseError, rule_for
from critlearn.network import NeuralSystem
from critlearn.network.independence import PROBED, check_independence
from critlearn.network.layer_pass import LayerPass, LayerUse, no_raw_refusal
from critlearn.network.learning_pass import differentiated
from critlearn.network.non_finite import NonFiniteError, check_finite
from critlearn.network.scaled_errors import ScaledErrors, output_errors
from critlearn.network.single_precision import BeyondSingleError

_PROBED: Final = 500
"""Entries of a variable that are compared: so many of the largest, and as many at random."""

_AGREEMENT: Final = 1e-6
"""Largest difference from automatic differentiation, in units of the variable's largest gradient."""

_AGREEMENT_SINGLE: Final = 1e-3

_NOISE: Final = 1e-12
"""Size of rounding errors in units of the layer's largest gradient."""

_NOISE_SINGLE: Final = 1e-4

_WRITTEN_OUT: Final = 128 << 20
"""Bytes of gradients that are written out at a time where no rule serves."""


@dataclass(frozen=True, eq=False)
class VariableGradients:
    """Gradients ``exp(log_scale) * contribution`` of one trainable variable for the samples of a batch.

    Parameters
    ----------
    name
        Name of the variable.
    contribution
        The gradients in units of each sample's scale.
    log_scale
        Logarithms of the units, shape (sample,).
    start
        Position of the first sample in the batch: written-out gradients come in pieces.
    """

    name: str
    contribution: Contribution
    log_scale: Tensor
    start: int = 0


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
        self.system, self._quiet = system, quiet
        # Asked for once: walking through the modules for every batch would take longer than a small network's pass.
        self._trainable = system.parameters
        self.names = list(self._trainable)
        self._rules = _planned(system.model)
        self._said: set[str] = set()
        for layer, rule in self._rules.items():
            if isinstance(rule, FallbackRule):
                kind = type(system.model.get_submodule(layer)).__name__
                self._say(kind, f"{kind} has no layer rule: its per-sample gradients come from torch.func")
        self._aliases = _aliases(system.model)
        self._wanted = {layer: self._of_layer(layer) for layer in self._rules}
        self._pass = LayerPass(system, self._rules, precision)
        self._double: LayerPass | None = None
        self._whole: nn.Module | None = None
        self.differentiated: set[str] = set()
        self._probe()

    def in_precision(self, precision: torch.dtype) -> "PerSampleGradients":
        """The same gradients, from a learning pass in another floating-point type."""
        other = copy.copy(self)
        other._pass, other._double, other._whole = LayerPass(self.system, self._rules, precision), None, None
        other._quiet, other.differentiated = True, set(self.differentiated)
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
        try:
            if len(self.differentiated) < len(self.names):
                yield from self._by_rules(self._uses(x, t))
            if self.differentiated:
                yield from self._by_differentiation(x, t)
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

    def _by_rules(self, uses: list[LayerUse]) -> Iterator[VariableGradients]:
        """Gradients from the layers' rules, those of one variable's uses combined."""
        found: dict[str, list[tuple[Contribution, Tensor]]] = {}
        for use in uses:
            wanted = self._wanted[use.layer]
            if not wanted:
                continue
            for local, contribution in self._contributions(use).items():
                if local in wanted and wanted[local] not in self.differentiated:
                    found.setdefault(wanted[local], []).append((contribution, use.log_scale))
        for name, parts in found.items():
            # Uses that turned out unsuitable on the way have put the whole variable on the other list.
            if name not in self.differentiated:
                yield _together(name, parts)

    def _of_layer(self, layer: str) -> dict[str, str]:
        """Trainable variables of a layer: name within it -> name in the network."""
        prefix = f"{layer}." if layer else ""
        return {
            local.removeprefix(prefix): name
            for local, name in self._aliases.items()
            if local.startswith(prefix) and name in self._trainable
        }

    def _contributions(self, use: LayerUse) -> dict[str, Contribution]:
        """What the layer's rule gives; its variables are left to differentiation if the rule does not suit."""
        rule = self._rules[use.layer]
        try:
            return rule.contributions(use)
        except UnsuitableUseError as problem:
            self._give_up(set(self._wanted[use.layer].values()), type(use.module).__name__, str(problem))
            return {}

    def _give_up(self, names: set[str], kind: str, reason: str) -> None:
        """Leave variables to differentiation of the whole network, and say so once for each type of layer."""
        self.differentiated |= names
        self._say(
            f"{kind} whole",
            f"{kind}: per-sample gradients by automatic differentiation of the whole network ({reason})",
        )

    def _say(self, subject: str, message: str) -> None:
        """Warn, once for each subject."""
        if subject not in self._said and not self._quiet:
            self._said.add(subject)
            warnings.warn(message, stacklevel=5)

    def _by_differentiation(self, x: Tensor, t: Tensor) -> Iterator[VariableGradients]:
        """Gradients by ``torch.func`` on the whole network, some samples at a time."""
        x = self._in_precision_of_pass(x)
        model = self._whole = self._whole or self._pass.whole()
        with torch.no_grad():
            errors = output_errors(self.system, model(x), x, t)
        variables = {name: value for name, value in model.named_parameters() if name in self.differentiated}
        size = sum(value.numel() for value in variables.values()) * torch.finfo(self.precision).bits // 8
        step = max(1, _WRITTEN_OUT // size)
        for start in range(0, len(x), step):
            piece = slice(start, start + step)
            for name, gradient in differentiated(model, variables, x[piece], errors.values[piece]).items():
                check_finite(gradient, f'the gradient of "{name}"', first=start)
                yield VariableGradients(
                    name, Values(gradient.reshape(len(gradient), -1)), errors.log_scale[piece], start
                )

    def _in_precision_of_pass(self, x: Tensor) -> Tensor:
        """Inputs in the floating-point type of the pass; classes and the like as they are."""
        return x.to(self._pass.precision) if x.is_floating_point() else x

    def _probe(self) -> None:
        """Compare with automatic differentiation on two samples, for output errors drawn at random."""
        model = self._pass.whole()
        check_independence(model, self._in_precision_of_pass(self.system.spread(PROBED)))
        x, _ = next(self.system.boundary(2))
        x = self._in_precision_of_pass(x if len(x) > 1 else torch.cat([x, x]))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            output = model(x)
        errors = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output)
        scaled = ScaledErrors(errors, None, torch.zeros(len(x), dtype=torch.float64, device=x.device))
        try:
            uses = self._pass.with_errors(x, scaled)
        except BeyondSingleError:
            uses = self._in_double().with_errors(x, scaled)
        gradients = {item.name: item for item in self._by_rules(uses)}
        unlike: dict[str, str] = {}
        reached = set()
        for sample in range(2):
            reference = self._reference(model, x[sample : sample + 1], errors[sample : sample + 1])
            size_of: dict[str, float] = {}
            for name, expected in reference.items():
                size = 0.0 if expected is None else float(expected.abs().max())
                size_of[_layer(name)] = max(size_of.get(_layer(name), 0.0), size)
            for name, expected in reference.items():
                if expected is None:
                    continue
                reached.add(name)
                if name in self.differentiated or name in unlike:
                    continue
                if name not in gradients:
                    unlike[name] = "used by a function outside its layer"
                elif not _agrees(gradients[name], expected.flatten(), sample, generator, size_of[_layer(name)]):
                    unlike[name] = "used elsewhere too, or its layer's first dimension is not that of the samples"
        self._refuse_unreached(reached)
        for name, reason in unlike.items():
            self._give_up({name}, name, reason)

    def _refuse_unreached(self, reached: set[str]) -> None:
        """Refuse a trainable variable that the output does not depend on."""
        missing = [name for name in self.names if name not in reached]
        if missing:
            raise InvalidInputError(
                f'the trainable variable "{missing[0]}" gets no gradient: the output does not depend on it, or only '
                "through torch.no_grad() or detach(); freeze it with requires_grad_(False)"
            )

    def _reference(self, model: nn.Module, x: Tensor, errors: Tensor) -> dict[str, Tensor | None]:
        """Gradients of one sample by automatic differentiation."""
        variables = {name: value for name, value in model.named_parameters() if name in self._trainable}
        for value in variables.values():
            value.requires_grad_()
        try:
            with torch.enable_grad(), no_raw_refusal(model):
                output = model(x)
                weighted = (output * errors.reshape(output.shape)).sum()
                gradients = torch.autograd.grad(weighted, list(variables.values()), allow_unused=True)
        finally:
            model.requires_grad_(False)
        return dict(zip(variables, gradients, strict=True))


def _planned(model: nn.Module) -> dict[str, LayerRule]:
    """Rule for every layer that holds trainable variables, by name of the layer."""
    plan: dict[str, LayerRule] = {}
    owned: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if owned and name.startswith(owned):
            continue
        rule = rule_for(module)
        whole = rule is not None and rule.whole
        if not any(value.requires_grad for value in module.parameters(recurse=whole)):
            continue
        plan[name] = FallbackRule() if rule is None else rule
        if whole:
            owned = (*owned, f"{name}." if name else "")
    return plan


def _aliases(model: nn.Module) -> dict[str, str]:
    """Every name of a parameter -> the one by which ``named_parameters`` calls it; shared parameters have several."""
    first = {id(value): name for name, value in reversed(list(model.named_parameters()))}
    return {name: first[id(value)] for name, value in model.named_parameters(remove_duplicate=False)}


def _together(name: str, parts: list[tuple[Contribution, Tensor]]) -> VariableGradients:
    """Combine the uses of a variable in a common unit."""
    if len(parts) == 1:
        return VariableGradients(name, *parts[0])
    unit = torch.stack([scale for _, scale in parts]).amax(dim=0)
    rescaled = [
        _rescaled(part, torch.nan_to_num((scale - unit).exp(), nan=0.0)) if not torch.equal(scale, unit) else part
        for part, scale in parts
    ]
    return VariableGradients(name, combined(rescaled), unit)


def _rescaled(part: Contribution, factor: Tensor) -> Contribution:
    """A contribution with each sample's gradients multiplied by a factor."""
    if isinstance(part, OuterProducts):
        return replace(part, errors=part.errors * factor.to(part.errors.dtype)[:, None, None, None], log_errors=None)
    if isinstance(part, SparseRows):
        return replace(part, values=part.values * factor.to(part.values.dtype)[part.sample][:, None])
    written = part.dense()
    return Values(written * factor.to(written.dtype)[:, None])


def _layer(name: str) -> str:
    """Layer of a variable, by name."""
    return name.rpartition(".")[0]


def _agrees(item: VariableGradients, expected: Tensor, sample: int, generator: torch.Generator, largest: float) -> bool:
    """Whether a variable's gradients for one sample are those of automatic differentiation, as far as looked at.

    ``largest`` is the largest gradient of the layer. Differences that are small beside it are rounding: a variable may
    have no gradient but that, like the bias of attention keys.
    """
    if not isinstance(item.contribution, Contribution) or item.contribution.samples != 2:
        return False
    leading = expected.abs().topk(min(_PROBED, len(expected))).indices
    others = torch.randint(len(expected), (_PROBED,), generator=generator).to(expected.device)
    index = torch.cat([leading, others])
    found = item.contribution.chosen(index)[sample].double() * item.log_scale[sample].exp()
    difference = (found - expected[index].double()).abs().max()
    exact = item.contribution.chosen(index[:1]).dtype == torch.float64
    tolerance, noise = (_AGREEMENT, _NOISE) if exact else (_AGREEMENT_SINGLE, _NOISE_SINGLE)
    return bool(difference <= tolerance * expected.abs().max().double() + noise * largest + math.exp(-700))
