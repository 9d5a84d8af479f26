"""Search for the boundary state that induces given changes: closed forms first, then least-squares descents."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import scipy.ndimage
import torch
from scipy.optimize import least_squares
from torch import Tensor

from critlearn.compositions import SoftTargetCrossEntropy
from critlearn.duality.criteria import ON_SHEET, RANK_OF_CHANGES
from critlearn.duality.inverse.candidate import Candidate, best_candidate
from critlearn.duality.inverse.changes import checked_changes
from critlearn.duality.inverse.first_layer import first_inputs, input_line
from critlearn.duality.inverse.forward_map import ForwardMap
from critlearn.duality.inverse.target_of_error import fitting_target
from critlearn.duality.jacobian.output_response import continuous_targets
from critlearn.duality.one_tensor import samples_of_one_tensor
from critlearn.duality.sequence import flattened, joined, used_once
from critlearn.errors import InvalidInputError
from critlearn.network.backward.learning_pass import learning_pass

_SHARP: Final = 1e-10
"""Residual above which a closed form is improved by a descent; below it is only rounding."""

_STARTS: Final = 8
"""Number of starts: samples of the data set for descents, and lengths of an input along a line."""

_DESCENTS: Final = 24
"""Largest number of descents, each of which takes up to 60 Jacobians."""

_MOST_ENTRIES: Final = 2 * 10**7
"""Largest number of entries of a Jacobian, variables times inputs, for descents: at 2e7 it takes 160 MB."""

_LENGTHS: Final = np.logspace(-3, 3, 49)
"""Lengths of an input that are tried if a first layer without bias does not determine it, eight per decade."""

_TO_THE_END: Final[dict[str, Any]] = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
"""Tolerances of descents, which run until nothing changes: their residual decides whether a vector is on the sheet."""


class InverseSearch:
    """Search for the boundary state with given changes, which are kept in units of the largest of them.

    Parameters
    ----------
    phi
        The duality map.
    dq
        Changes of all trainable variables, by name.
    """

    def __init__(self, phi: ForwardMap, dq: Mapping[str, Tensor]) -> None:
        network = phi.network
        self.phi, self.model, self.layers = phi, network.model, network.layers
        self.changes, precision = checked_changes(phi.system.parameters, dq)
        self.tolerance, self.cut, self.rounding = (
            ON_SHEET[precision],
            RANK_OF_CHANGES[precision],
            torch.finfo(precision).eps,
        )
        self.size = max(float(change.abs().max()) for change in self.changes.values())
        if self.size:
            self.changes = {name: change / self.size for name, change in self.changes.items()}
        self.flat = torch.cat([change.reshape(-1) for change in self.changes.values()])
        x, t = (part[0] for part in samples_of_one_tensor(phi.system, [0]))
        self.x_like, self.t_like = x.to(self.flat), t.to(self.flat.device)
        self.loss = phi.one_sample(x, self.t_like)[2]
        self.judge = phi.system.judging(self.model, self.loss)
        self.continuous = continuous_targets(self.loss)
        # The sum of probability targets cannot be found, as t + c p has the error of t: it is that of the data set.
        self.weight = float(self.t_like.double().sum()) if isinstance(self.loss, SoftTargetCrossEntropy) else 1.0

    def layer_ranks(self) -> dict[str, tuple[int, int]]:
        """Numerical and greatest possible rank of the changes of every dense layer of a sequence."""
        found = {}
        modules = flattened(self.model) or []
        for name, module in modules:
            weight = self.changes.get(joined(name, "weight"))
            # A layer that is used twice has a change of rank two from a single sample, and says nothing of a mean.
            if type(module) is torch.nn.Linear and weight is not None and used_once(modules, module):
                bias = self.changes.get(joined(name, "bias"))
                matrix = weight if bias is None else torch.cat([weight, bias[:, None]], dim=1)
                values = torch.linalg.svdvals(matrix)
                found[name] = int((values > self.cut * values[0]).sum()), min(matrix.shape)
        return found

    @staticmethod
    def ruled_out(ranks: dict[str, tuple[int, int]]) -> bool:
        """Whether no single sample can have these changes: the rank of some dense layer's change is above 1."""
        return any(rank > 1 for rank, _ in ranks.values())

    def closed_form(self) -> Candidate | None:
        """Candidate from the changes of the first dense layer; None if the network is no sequence with such a layer."""
        inputs = first_inputs(self.model, self.x_like, self.changes, self.phi.lr)
        if inputs:
            found = [candidate for first in inputs if (candidate := self.completed(first.x, first.determined))]
            if len(inputs) > 1 or any(candidate.residual > _SHARP and not self.layers for candidate in found):
                found += [polished for start in found if (polished := self._polished(start))]
            return best_candidate(found, self.tolerance)
        layers = self.layers
        if layers and layers[0].weight_trained and not layers[0].bias_trained:
            return self._along(input_line(self.changes[joined(layers[0].name, "weight")]))
        return None

    def _polished(self, start: Candidate) -> Candidate | None:
        """Improve a candidate by a descent; None if the Jacobian is too large for descents or the descent fails."""
        if self.flat.numel() * self.x_like.numel() > _MOST_ENTRIES:
            return None
        found = self._fitted(start.x, start.t)
        return replace(found, determined=start.determined) if found else None

    def _along(self, line: Tensor | None) -> Candidate | None:
        """Input on a line through the origin: search for its length and sign, with the best target for each."""
        if line is None:
            return None
        starts = []
        for lengths in (_LENGTHS, -_LENGTHS):
            tried = [self.completed((length * line).reshape(self.x_like.shape), False) for length in lengths]
            left = np.array([math.inf if candidate is None else candidate.residual for candidate in tried])
            # Local minima of the residual over the grid of lengths are the starts of descents.
            lowest = scipy.ndimage.minimum_filter1d(left, 3) == left
            starts += [
                (candidate.residual, length, candidate)
                for candidate, length, low in zip(tried, lengths, lowest, strict=True)
                if candidate is not None and low
            ]
        found: list[Candidate] = []
        for _, length, start in sorted(starts, key=lambda entry: entry[0])[:_STARTS]:
            t = None if self.continuous else start.t
            mismatch = partial(self._mismatch_along, line, t)
            solved = least_squares(mismatch, [length], max_nfev=25, **_TO_THE_END)
            candidate = self.completed((float(solved.x[0]) * line).reshape(self.x_like.shape), False)
            if candidate is not None:
                found.append(candidate)
        best = best_candidate(found, self.tolerance)
        if best is not None and best.residual <= math.sqrt(self.tolerance) and (polished := self._polished(best)):
            found.append(polished)
        return best_candidate(found, self.tolerance)

    def _mismatch_along(self, line: Tensor, t: Tensor | None, length: np.ndarray) -> np.ndarray:
        """Mismatch as a function of the length, for a fixed target or, without one, for the best target."""
        x = (float(length[0]) * line).reshape(self.x_like.shape)
        if t is None:
            candidate = self.completed(x, False)
            if candidate is None:
                return (-self.flat / self.flat.norm()).cpu().numpy()
            t = candidate.t
        return self._mismatch(x, t).cpu().numpy()

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
            tolerance=self.tolerance,
            rounding=self.rounding,
        )
        if not bool(torch.isfinite(t.double()).all()):
            return None
        t = t.reshape(self.t_like.shape).to(self.t_like.dtype) if not t.is_floating_point() else t
        t = t.reshape(self.t_like.shape) if t.numel() == self.t_like.numel() else t
        return Candidate(x, t, float(self._mismatch(x, t).norm()), determined and only, determined, only)

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

    def _mismatch(self, x: Tensor, t: Tensor) -> Tensor:
        """``(Phi(x, t) - dq) / |dq|``, shape (variable,)."""
        scaled = learning_pass(self.judge, x[None], t[None])
        changes = -self.phi.lr * torch.cat([scaled.gradients[name].reshape(-1) for name in self.changes])
        log_unit = float(scaled.log_scale[0])
        return (changes * math.exp(min(700.0, log_unit - math.log(self.size))) - self.flat) / self.flat.norm()

    def by_least_squares(self, near: Tensor | None) -> Candidate | None:
        """Levenberg-Marquardt descents from many starts: samples of the data set, with each class if there are any."""
        if self.flat.numel() * self.x_like.numel() > _MOST_ENTRIES:
            return None
        starts = [] if near is None else [near]
        starts += samples_of_one_tensor(self.phi.system, list(range(min(_STARTS, len(self.phi.system)))))[0]
        found: list[Candidate] = []
        for start, t in itertools.islice(self._pairs(starts), _DESCENTS):
            candidate = self._fitted(start, t)
            if candidate is not None:
                found.append(candidate)
            # Two that fit suffice: they are the same state, or show that it is not unique.
            if sum(candidate.residual <= self.tolerance for candidate in found) > 1:
                break
        return best_candidate(found, self.tolerance)

    def _pairs(self, starts: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the starts: for one input after the other, all of its targets, the likeliest first."""
        for start in starts:
            x = start.to(self.flat)
            if self.continuous:
                fitting = self.completed(x, False)
                yield x, self.t_like.double() if fitting is None else fitting.t
            else:
                yield from ((x, t) for t in self._targets())

    def _targets(self) -> Iterator[Tensor]:
        """Yield the class targets to start from."""
        if self.loss.class_targets:
            with torch.no_grad():
                outputs = self.model(self.x_like[None]).numel()
            error = self._last_error()
            # Only the true class has an error below zero.
            yield from torch.arange(outputs) if error is None else error.argsort()
        else:
            error = self._last_error()
            if error is not None:
                yield torch.where(error > 0, -1.0, 1.0).double().reshape(self.t_like.shape)
                return
            for signs in itertools.islice(itertools.product((-1.0, 1.0), repeat=max(1, self.t_like.numel())), 16):
                yield torch.tensor(signs, dtype=torch.float64).reshape(self.t_like.shape)

    def _last_error(self) -> Tensor | None:
        """Output errors up to a factor, if the network is a sequence that ends in a dense layer with a bias."""
        modules = flattened(self.model)
        if not modules or type(modules[-1][1]) is not torch.nn.Linear or not used_once(modules, modules[-1][1]):
            return None
        bias = self.changes.get(joined(modules[-1][0], "bias"))
        return None if bias is None else -bias

    def _fitted(self, x: Tensor, t: Tensor) -> Candidate | None:
        """Candidate from one Levenberg-Marquardt descent; None if it leaves the region where the network is finite."""
        inputs, soft = x.numel(), isinstance(self.loss, SoftTargetCrossEntropy)

        def split(point: np.ndarray) -> tuple[Tensor, Tensor]:
            value = torch.from_numpy(point).to(self.flat)
            if not self.continuous:
                return value.reshape(self.x_like.shape), t
            target = value[inputs:].reshape(t.shape)
            return value[:inputs].reshape(self.x_like.shape), target.clamp(min=0.0) if soft else target

        scale = float(self.flat.norm()) * self.size

        def slope(point: np.ndarray) -> np.ndarray:
            return (self.phi.jacobian(*split(point)).dense() / scale).cpu().numpy()

        def mismatch(point: np.ndarray) -> np.ndarray:
            return self._mismatch(*split(point)).cpu().numpy()

        start = torch.cat([x.reshape(-1), t.reshape(-1).to(x)]) if self.continuous else x.reshape(-1)
        method: Any = "lm" if self.flat.numel() >= start.numel() else "trf"
        try:
            solved = least_squares(mismatch, start.cpu().numpy(), slope, method=method, max_nfev=60, **_TO_THE_END)
        except (InvalidInputError, ValueError):
            # The descent has left the region where the network is finite.
            return None
        found_x, found_t = split(solved.x)
        candidate = Candidate(found_x, found_t, float(np.linalg.norm(solved.fun)), False)
        if completed := self.completed(found_x, False):
            candidate = replace(candidate, only_target=completed.only_target)
            # A descent does not fix the sum of the probabilities; the completed target has the right sum.
            if completed.residual <= (self.tolerance if soft else candidate.residual):
                candidate = completed
        if candidate.residual > self.tolerance:
            return candidate
        # One direction is always lost for probabilities, that of their sum, but the sum is known.
        rank = int(np.linalg.matrix_rank(slope(solved.x)))
        return replace(candidate, unique=rank == start.numel() - soft and candidate.only_target)
