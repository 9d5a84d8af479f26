"""Search for the boundary state that induces given changes: closed forms first, then least-squares descents."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import torch
from torch import Tensor

from critlearn.duality.criteria import ON_SHEET, RANK_OF_CHANGES
from critlearn.duality.inverse.candidate import Candidate, best_candidate, standard_errors
from critlearn.duality.inverse.changes import checked_changes
from critlearn.duality.inverse.descent import descend, lengths_of
from critlearn.duality.inverse.first_layer import FirstInput, Front, first_inputs, input_line, input_shapes
from critlearn.duality.inverse.forward_map import ForwardMap
from critlearn.duality.inverse.front import front_inputs
from critlearn.duality.inverse.layer_ranks import LayerRank, layer_ranks
from critlearn.duality.inverse.target_of_error import (
    fitting_target,
    lower_class,
    takes_logarithms,
    takes_probabilities,
    two_sided,
)
from critlearn.duality.jacobian.output_response import continuous_targets
from critlearn.duality.one_tensor import samples_of_one_tensor
from critlearn.duality.sequence import flattened, joined, used_once
from critlearn.errors import InvalidInputError
from critlearn.network.backward.learning_pass import learning_pass

_SHARP: Final = 1e-10
"""Residual above which a closed form is improved by a descent; below it is only rounding."""

_DESCENTS: Final = 24
"""Largest number of descents side by side."""

_SAMPLES: Final = 64
"""Samples of the data set, spread evenly, among which starts are chosen."""

_COMPLETED: Final = 8
"""Samples for which a continuous target is fitted, one after the other, before descents start."""

_MOST_ENTRIES: Final = 2 * 10**7
"""Largest number of entries of Jacobians, variables times inputs times descents: at 2e7 they take 160 MB."""

_FAR_TARGET: Final = 1e6
"""Distance of targets of absolute errors from the outputs, in units of these, at which descents start."""

_LENGTHS: Final = 24
"""Lengths from 1e-3 to 1e3, of either sign, from which descents start along a line of inputs: four per decade."""

_KEPT: Final = 4
"""Descents whose ends are looked at more closely: two of them show whether a state is unique."""

_FRONT_STARTS: Final = 12
"""Descents through the first modules, half of them from samples of the data set and half from random inputs."""


class InverseSearch:
    """Search for the boundary state with given changes, which are kept in units of the largest of them.

    Parameters
    ----------
    phi
        The duality map.
    dq
        Changes of all trainable variables, by name.
    tolerance
        Largest residual on the sheet; None for that of the changes' precision.
    """

    def __init__(self, phi: ForwardMap, dq: Mapping[str, Tensor], tolerance: float | None) -> None:
        network = phi.network
        self.phi, self.model, self.layers = phi, network.model, network.layers
        self.changes, precision = checked_changes(phi.system.parameters, dq)
        self.tolerance = ON_SHEET[precision] if tolerance is None else tolerance
        # What a tolerance allows as noise has singular values of its own.
        self.cut = RANK_OF_CHANGES[precision] if tolerance is None else max(RANK_OF_CHANGES[precision], tolerance)
        self.rounding = torch.finfo(precision).eps
        self.size = max(float(change.abs().max()) for change in self.changes.values())
        if self.size:
            self.changes = {name: change / self.size for name, change in self.changes.items()}
        self.flat = torch.cat([change.reshape(-1) for change in self.changes.values()])
        x, t = (part[0] for part in samples_of_one_tensor(phi.system, [0]))
        self.x_like, self.t_like = x.to(self.flat), t.to(self.flat.device)
        self.loss = phi.one_sample(x, self.t_like)[2]
        self.judge = phi.system.judging(self.model, self.loss)
        self.continuous = continuous_targets(self.loss)
        self.sided = self.continuous and two_sided(self.loss, max(1, self.t_like.numel()))
        self.soft, self.logarithms = takes_probabilities(self.loss), takes_logarithms(self.loss)
        # The sum of probability targets cannot be found, as t + c p has the error of t: it is that of the data set.
        like = self.t_like.double().exp() if self.logarithms else self.t_like.double()
        self.weight = float(like.sum()) if self.soft else 1.0
        self.lower = lower_class(self.loss, samples_of_one_tensor(phi.system, phi.system.scattered(_SAMPLES))[1])

    def layer_ranks(self) -> list[LayerRank]:
        """Ranks of the changes of the dense layers."""
        return layer_ranks(self.model, self.loss, self.x_like, self.changes, self.cut)

    def fewest_numbers(self) -> int:
        """Fewest numbers made of the input on which a change depends: a state in a sequence, and changes before it.

        The rank of the Jacobian with respect to the input is not larger. Where it is smaller than the number of
        entries, states with the same change lie on surfaces, but for points at which the rank is no constant.
        """
        modules = flattened(self.model) or []
        fewest = self.x_like.numel()
        if not modules or not all(used_once(modules, module) for _, module in modules):
            return fewest
        behind = [*input_shapes([module for _, module in modules], self.x_like)[1:]]
        changes = 0
        for (name, module), shape in zip(modules[:-1], behind, strict=True):
            local = [self.changes.get(joined(name, part)) for part, _ in module.named_parameters()]
            changes += sum(change.numel() for change in local if change is not None)
            fewest = min(fewest, changes + shape.numel())
        return fewest

    def best(self, *, single: bool) -> Candidate | None:
        """Boundary state whose change is nearest, with its uniqueness and its errors.

        Parameters
        ----------
        single
            Whether the changes may be those of a single sample, so that descents are worth their time.
        """
        found = self._closed_forms()
        best = best_candidate(found, self.tolerance)
        if single and (best is None or best.residual > _SHARP):
            starts = [(candidate.x, candidate.t) for candidate in found]
            # What the first layers say of the input holds for every state, and is easier to solve for than the rest.
            if best is None:
                starts += self._far_starts()
            found += self._descents(starts)
            best = best_candidate(found, self.tolerance)
        if best is None:
            return None
        # A descent may end elsewhere than in the input that the equations determine, but that stays the only one.
        return self._judged(replace(best, determined=any(candidate.determined for candidate in found)))

    def _closed_forms(self) -> list[Candidate]:
        """Candidates from the changes of the first layers up to the first dense one with a bias and an error."""
        found: list[Candidate | None] = []
        for first in first_inputs(self.model, self.x_like, self.changes, self.phi.lr):
            if isinstance(first, FirstInput):
                found.append(self.completed(first.x, first.determined))
            else:
                found += [self.completed(x, False) for x in self._before(first)]
        return [candidate for candidate in found if candidate is not None]

    def _before(self, front: Front) -> list[Tensor]:
        """Inputs that give the first modules their known outputs and changes."""
        samples = self._samples(_FRONT_STARTS // 2)
        generator = torch.Generator().manual_seed(0)
        random = torch.randn(_FRONT_STARTS - len(samples), *self.x_like.shape, generator=generator).to(samples)
        # Of one sample alone there is no spread.
        spread = samples.std(dim=0, correction=0) + 1e-3 * (1 + samples.abs().mean())
        starts = torch.cat([samples, samples.mean(dim=0) + spread * random])
        return front_inputs(front, self.changes, self.phi.lr, starts)[:_KEPT]

    def _samples(self, most: int) -> Tensor:
        """Inputs of samples that are spread evenly over the data set."""
        return samples_of_one_tensor(self.phi.system, self.phi.system.scattered(most))[0].to(self.flat)

    def completed(self, x: Tensor, determined: bool) -> Candidate | None:
        """Candidate of an input with its best target: the changes are linear in the output errors, which give it."""
        output, gradients = self._unit_gradients(x)
        if output is None or gradients is None:
            return None
        t, only = fitting_target(
            self.loss,
            output,
            gradients,
            -self.flat / self.phi.lr * self.size,
            weight=self.weight,
            lower=self.lower,
            tolerance=self.tolerance,
            rounding=self.rounding,
        )
        if not bool(torch.isfinite(t.double()).all()):
            return None
        t = t.reshape(self.t_like.shape).to(self.t_like.dtype) if not t.is_floating_point() else t
        t = t.reshape(self.t_like.shape) if t.numel() == self.t_like.numel() else t
        residual = float(lengths_of(self._mismatches(x[None], t[None]))[0])
        return Candidate(x, t, residual, determined and only, determined, only)

    def _unit_gradients(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Outputs, and the gradients of each of them, shape (output, variable)."""
        values = dict(self.model.named_parameters())
        chosen = [values[name] for name in self.changes]
        with torch.enable_grad():
            output = self.model(x[None]).reshape(-1)
            if not bool(torch.isfinite(output).all()):
                return None, None
            rows = []
            for entry in output:
                parts = torch.autograd.grad(entry, chosen, retain_graph=True, allow_unused=True, materialize_grads=True)
                rows.append(torch.cat([part.reshape(-1) for part in parts]))
        return output.detach(), torch.stack(rows)

    def _mismatches(self, x: Tensor, t: Tensor) -> Tensor:
        """``(Phi(x, t) - dq) / |dq|`` for a batch, shape (sample, variable); infinite where the network is not."""
        try:
            scaled = learning_pass(self.judge, x, t)
        except InvalidInputError:
            if len(x) == 1:
                return torch.full((1, self.flat.numel()), math.inf).to(self.flat)
            # A descent has left the region where the network is finite; the others go on.
            return torch.cat([self._mismatches(*pair) for pair in zip(x.split(1), t.split(1), strict=True)])
        changes = -self.phi.lr * torch.cat([scaled.gradients[name].flatten(1) for name in self.changes], dim=1)
        units = (scaled.log_scale - math.log(self.size)).clamp(max=700.0).exp()
        return (changes * units.to(changes)[:, None] - self.flat) / self.flat.norm()

    def _far_starts(self) -> list[tuple[Tensor, Tensor]]:
        """Starts far from any candidate: samples of the data set, and lengths along the line of the input, if known."""
        line = self._line()
        pool = self._samples(_COMPLETED if self.continuous else _SAMPLES)
        if line is not None:
            lengths = torch.logspace(-3, 3, _LENGTHS, dtype=line.dtype).to(line)
            along = torch.cat([lengths, -lengths])[:, None] * line
            pool = torch.cat([pool, along.reshape(-1, *self.x_like.shape)])
        if self.continuous and not self.sided:
            fitted = [self.completed(x, False) for x in pool]
            kept = sorted((one for one in fitted if one is not None), key=lambda one: one.residual)
            return [(one.x, one.t) for one in kept] or [(x, self.t_like.double()) for x in pool]
        # All pairs of inputs and targets, as many as a batch of changes may have entries.
        every = self._on_either_side(pool) if self.sided else itertools.product(pool, self._targets())
        pairs = list(itertools.islice(every, max(_DESCENTS, _MOST_ENTRIES // self.flat.numel())))
        with torch.no_grad():
            left = lengths_of(self._mismatches(torch.stack([x for x, _ in pairs]), torch.stack([t for _, t in pairs])))
        return [pairs[at] for at in left.argsort().tolist()]

    def _line(self) -> Tensor | None:
        """Direction of the input behind a dense layer without a trained bias; None if there is none."""
        layers = self.layers
        if not layers or not layers[0].weight_trained or layers[0].bias_trained:
            return None
        return input_line(self.changes[joined(layers[0].name, "weight")])

    def _on_either_side(self, pool: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of inputs and targets so far on either side of each output that descents do not change sides."""
        with torch.no_grad():
            outputs = self.model(pool)
        error = self._last_error()
        signs = [(self._error_line() if error is None else error).sign()]
        signs = [signs[0], -signs[0]] if error is None else signs
        far = _FAR_TARGET * (1 + outputs.abs().max())
        for x, y in zip(pool, outputs, strict=True):
            for sign in signs:
                yield x, (y - far * sign.reshape(y.shape)).reshape(self.t_like.shape)

    def _error_line(self) -> Tensor:
        """Direction of the output errors behind a last dense layer without a bias; ones if there is no such layer."""
        modules = flattened(self.model)
        last = modules[-1] if modules else None
        change = self.changes.get(joined(last[0], "weight")) if last and type(last[1]) is torch.nn.Linear else None
        if change is None or not bool(change.any()):
            return torch.ones(max(1, self.t_like.numel())).to(self.flat)
        return torch.linalg.svd(change, full_matrices=False)[0][:, 0]

    def _targets(self) -> list[Tensor]:
        """Class targets to start from, the likeliest first."""
        error = self._last_error()
        if self.loss.class_targets:
            with torch.no_grad():
                outputs = self.model(self.x_like[None]).numel()
            # Only the true class has an error below zero.
            return list(torch.arange(outputs) if error is None else error.argsort())
        if error is not None:
            return [torch.where(error > 0, self.lower, 1.0).double().reshape(self.t_like.shape)]
        signs = itertools.islice(itertools.product((self.lower, 1.0), repeat=max(1, self.t_like.numel())), 16)
        return [torch.tensor(sign, dtype=torch.float64).reshape(self.t_like.shape) for sign in signs]

    def _last_error(self) -> Tensor | None:
        """Output errors up to a factor, if the network is a sequence that ends in a dense layer with a bias."""
        modules = flattened(self.model)
        if not modules or type(modules[-1][1]) is not torch.nn.Linear or not used_once(modules, modules[-1][1]):
            return None
        bias = self.changes.get(joined(modules[-1][0], "bias"))
        return None if bias is None else -bias

    def _descents(self, starts: list[tuple[Tensor, Tensor]]) -> list[Candidate]:
        """Candidates from descents in all coordinates of the boundary; none if the Jacobian is too large."""
        inputs = self.x_like.numel()
        columns = inputs + (self.t_like.numel() if self.continuous else 0)
        entries = self.flat.numel() * columns
        if entries > _MOST_ENTRIES or not starts:
            return []
        at_once = max(1, _MOST_ENTRIES // entries)
        starts = starts[: min(_DESCENTS, 4 * at_once)]
        found: list[Candidate] = []
        for piece in (starts[at : at + at_once] for at in range(0, len(starts), at_once)):
            targets = torch.stack([t for _, t in piece])
            points = torch.stack([x.reshape(-1) for x, _ in piece])
            if self.continuous:
                points = torch.cat([points, targets.reshape(len(points), -1).to(points)], dim=1)
            ends, lengths = descend(partial(self._mismatches_at, targets), partial(self._slopes_at, targets), points)
            x, t = self._split(targets, ends, torch.arange(len(ends)))
            kept = lengths.isfinite().nonzero()[:, 0].tolist()
            found += [Candidate(x[at], t[at], float(lengths[at]), False) for at in kept]
        found.sort(key=lambda candidate: candidate.residual)
        kept = [self._retargeted(candidate) for candidate in found[:_KEPT]]
        # An odd network without biases makes the same changes of the opposite input, with the opposite error.
        opposite = self.completed(-kept[0].x, False) if kept else None
        return kept if opposite is None else [*kept, opposite]

    def _retargeted(self, candidate: Candidate) -> Candidate:
        """Candidate of a descent with the best target for its input, where that fits as well."""
        completed = self.completed(candidate.x, False)
        if completed is None:
            return replace(candidate, residual=math.inf) if self.soft else candidate
        # A descent does not fix the sum of probabilities, with which almost any error could be reached.
        if self.soft or completed.residual <= candidate.residual:
            return completed
        return replace(candidate, only_target=completed.only_target)

    def _split(self, targets: Tensor, points: Tensor, of: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of points, whose classes are those of their starts."""
        inputs = self.x_like.numel()
        x = points[:, :inputs].reshape(-1, *self.x_like.shape)
        if not self.continuous:
            return x, targets[of]
        t = points[:, inputs:].reshape(-1, *targets.shape[1:])
        return x, t.clamp(min=0.0) if self.soft and not self.logarithms else t

    def _mismatches_at(self, targets: Tensor, points: Tensor, of: Tensor) -> Tensor:
        return self._mismatches(*self._split(targets, points, of))

    def _slopes_at(self, targets: Tensor, points: Tensor, of: Tensor) -> Tensor:
        return self._slopes(*self._split(targets, points, of))

    def _slopes(self, x: Tensor, t: Tensor) -> Tensor:
        """Jacobians in the units of the mismatches, shape (sample, variable, boundary)."""
        return self.phi.jacobian_rows(x, t, range(self.flat.numel())) / (float(self.flat.norm()) * self.size)

    def _judged(self, candidate: Candidate) -> Candidate:
        """Candidate with the standard errors of its input, and whether its Jacobian shows that it is isolated."""
        columns = self.x_like.numel() + (candidate.t.numel() if self.continuous else 0)
        if self.flat.numel() * columns > _MOST_ENTRIES:
            return candidate
        rows = self.phi.jacobian_rows(candidate.x[None], candidate.t[None], range(self.flat.numel()))[0]
        # In units of its own: in those of tiny changes it would overflow.
        unit = float(rows.abs().max()) or 1.0
        rank, error = standard_errors(rows / unit, candidate.residual)
        error = error * (float(self.flat.norm()) * (self.size / unit))
        # One direction is always lost for probabilities, that of their sum, but the sum is known.
        isolated = rank == columns - self.soft and candidate.only_target and candidate.alone
        unique = candidate.unique or isolated
        return replace(candidate, unique=unique, error=error[: self.x_like.numel()].reshape(self.x_like.shape))
