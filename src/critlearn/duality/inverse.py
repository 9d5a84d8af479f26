"""The inverse of the duality map on its sheet: from the changes that one sample induces back to the sample."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor

from critlearn.duality.first_layer import first_input, input_line
from critlearn.duality.output_response import continuous_targets
from critlearn.duality.sequence import flattened, joined, used_once
from critlearn.duality.target_of_error import target_of_error
from critlearn.errors import InvalidInputError

if TYPE_CHECKING:
    from critlearn.duality.map import DualityMap

_ON_SHEET: Final = {torch.float64: 1e-6, torch.float32: 1e-2}
"""Largest residual of a vector on the sheet."""

_SHARP: Final = 1e-10
_RANK: Final = {torch.float64: 1e-8, torch.float32: 1e-3}
_STARTS: Final = 8
_DESCENTS: Final = 24
_MOST_ENTRIES: Final = 2 * 10**7
_LENGTHS: Final = np.logspace(-3, 3, 49)


class InverseStatus(StrEnum):
    """Outcome of an inversion."""

    FOUND = "on the sheet"
    OFF = "not on the sheet"
    MIXED = "cannot be separated"
    VANISHING = "nothing changes"


@dataclass(frozen=True, eq=False)
class Inverse:
    """A boundary state and how well its change fits.

    Parameters
    ----------
    x, t
        Input and target; None unless the status is ``on the sheet``.
    residual
        ``|Phi(x, t) - dq| / |dq|`` of the best boundary state that was found; infinite if there is none.
    unique
        Whether no other boundary state has this change: proved for closed forms; otherwise no other was found, and the
        Jacobian has full rank.
    status
        Outcome.
    reason
        The same in words.
    """

    x: Tensor | None
    t: Tensor | None
    residual: float
    unique: bool
    status: InverseStatus
    reason: str


@dataclass(frozen=True, eq=False)
class _Candidate:
    x: Tensor
    t: Tensor
    residual: float
    unique: bool


def invert(phi: "DualityMap", dq: Mapping[str, Tensor]) -> Inverse:
    """Boundary state whose change is ``dq``: see `DualityMap.invert`."""
    search = _Search(phi, dq)
    if search.size == 0:
        reason = "every change is zero: any boundary state without an error has this change"
        return Inverse(None, None, math.inf, False, InverseStatus.VANISHING, reason)
    ranks = search.layer_ranks()
    mixed = _mixed(ranks)
    best = search.closed_form()
    # A state that the equations determine needs no search: if it does not fit, none does.
    open_question = best is None or (best.residual > search.tolerance and not best.unique)
    if open_question and mixed is None and not search.ruled_out(ranks):
        fitted = search.by_least_squares(None if best is None else best.x)
        best = fitted if best is None or (fitted and fitted.residual < best.residual) else best
    residual = math.inf if best is None else best.residual
    if best is not None and residual <= search.tolerance:
        return Inverse(best.x, best.t, residual, best.unique, InverseStatus.FOUND, f"residual {residual:.1e}")
    if mixed is not None:
        reason = f"the changes are those of at least {mixed} samples together: a mean cannot be separated into samples"
        return Inverse(None, None, residual, False, InverseStatus.MIXED, reason)
    reason = f"no single boundary state has this change; the nearest that was found leaves {residual:.1e} of it"
    return Inverse(None, None, residual, False, InverseStatus.OFF, reason)


def _mixed(ranks: dict[str, tuple[int, int]]) -> int | None:
    """Number of samples that the ranks of the dense layers' changes tell of; None if it is one, or they are of none."""
    most = max((rank for rank, full in ranks.values() if rank < full), default=1)
    consistent = all(rank >= min(most, full) for rank, full in ranks.values())
    return most if most > 1 and consistent else None


class _Search:
    """Search for the boundary state of given changes; all is measured in units of the largest change."""

    def __init__(self, phi: "DualityMap", dq: Mapping[str, Tensor]) -> None:
        self.phi, self.model = phi, phi._model
        variables = phi.system.parameters
        if set(dq) != set(variables):
            odd = sorted(set(dq) ^ set(variables))
            raise InvalidInputError(f"dq needs exactly the trainable variables; differing: {', '.join(odd)}")
        self.changes: dict[str, Tensor] = {}
        precision = torch.float64
        for name, value in variables.items():
            change = dq[name].detach()
            if change.shape == (1, *value.shape):
                change = change[0]
            if change.shape != value.shape:
                raise InvalidInputError(
                    f'dq["{name}"] must have the shape {tuple(value.shape)} of one sample; got {tuple(change.shape)}'
                )
            if not bool(torch.isfinite(change).all()):
                raise InvalidInputError(f'dq["{name}"] is not finite')
            precision = torch.float32 if change.dtype != torch.float64 else precision
            self.changes[name] = change.double()
        self.tolerance, self.cut = _ON_SHEET[precision], _RANK[precision]
        self.size = max(float(change.abs().max()) for change in self.changes.values())
        if self.size:
            self.changes = {name: change / self.size for name, change in self.changes.items()}
        self.flat = torch.cat([change.reshape(-1) for change in self.changes.values()])
        x, t = phi.system.dataset[0]
        self.x_like = torch.as_tensor(x).to(self.flat)
        self.t_like = torch.as_tensor(t).to(self.flat.device)
        self.loss = phi._one_sample(torch.as_tensor(x), self.t_like)[2]

    def layer_ranks(self) -> dict[str, tuple[int, int]]:
        """Numerical and greatest possible rank of the changes of every dense layer of a sequence."""
        found = {}
        modules = flattened(self.model) or []
        for name, module in modules:
            weight = self.changes.get(joined(name, "weight"))
            # A layer in two places has a change of rank two from one sample.
            if type(module) is torch.nn.Linear and weight is not None and used_once(modules, module):
                bias = self.changes.get(joined(name, "bias"))
                matrix = weight if bias is None else torch.cat([weight, bias[:, None]], dim=1)
                values = torch.linalg.svdvals(matrix)
                found[name] = int((values > self.cut * values[0]).sum()), min(matrix.shape)
        return found

    @staticmethod
    def ruled_out(ranks: dict[str, tuple[int, int]]) -> bool:
        """Whether a dense layer's change is no outer product, which that of a single sample always is."""
        return any(rank > 1 for rank, _ in ranks.values())

    def closed_form(self) -> _Candidate | None:
        """From the first dense layer, if the network is a sequence that has one."""
        found = first_input(self.model, self.x_like, self.changes, self.phi.lr)
        if found is not None:
            candidate = self._completed(*found)
            if candidate is not None and candidate.residual > _SHARP and not self.phi._layers:
                polished = self._fitted(candidate.x, candidate.t)
                return polished if polished and polished.residual < candidate.residual else candidate
            return candidate
        layers = self.phi._layers
        if layers and layers[0].weight_trained and not layers[0].bias_trained:
            return self._along(input_line(self.changes[joined(layers[0].name, "weight")]))
        return None

    def _along(self, line: Tensor | None) -> _Candidate | None:
        """Input on a line through the origin: its length and sign are searched for."""
        if line is None:
            return None
        tried = []
        for length in itertools.chain(_LENGTHS, -_LENGTHS):
            candidate = self._completed((length * line).reshape(self.x_like.shape), True)
            if candidate is not None:
                tried.append((candidate.residual, length, candidate))
        found: list[_Candidate] = []
        for _, length, start in sorted(tried, key=lambda entry: entry[0])[:_STARTS]:
            solved = least_squares(
                partial(self._mismatch_along, line, start.t),
                [length],
                xtol=1e-15,
                ftol=1e-15,
                gtol=1e-15,
            )
            candidate = self._completed((float(solved.x[0]) * line).reshape(self.x_like.shape), True)
            if candidate is not None:
                found.append(candidate)
        return self._best(found)

    def _mismatch_along(self, line: Tensor, t: Tensor, length: np.ndarray) -> np.ndarray:
        return self._mismatch((float(length[0]) * line).reshape(self.x_like.shape), t).cpu().numpy()

    def _completed(self, x: Tensor, unique: bool) -> _Candidate | None:
        """Target for an input: the changes are linear in the output errors, which give it."""
        output, gradients = self._unit_gradients(x)
        if output is None or gradients is None:
            return None
        scaled = torch.linalg.lstsq(gradients.T, -self.flat[:, None] / self.phi.lr, driver="gelsd").solution[:, 0]
        t, only = target_of_error(self.loss, output, scaled * self.size)
        if not bool(torch.isfinite(t.double()).all()):
            return None
        t = t.reshape(self.t_like.shape).to(self.t_like.dtype) if not t.is_floating_point() else t
        t = t.reshape(self.t_like.shape) if t.numel() == self.t_like.numel() else t
        return _Candidate(x, t, float(self._mismatch(x, t).norm()), unique and only)

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
        changes, log_unit = self.phi._changes(x, t, self.loss)
        return (changes * math.exp(min(700.0, log_unit - math.log(self.size))) - self.flat) / self.flat.norm()

    def by_least_squares(self, near: Tensor | None) -> _Candidate | None:
        """Levenberg-Marquardt from many starts: samples of the data set, and each class where there are classes."""
        if self.flat.numel() * self.x_like.numel() > _MOST_ENTRIES:
            return None
        starts = [] if near is None else [near]
        starts += [torch.as_tensor(self.phi.system.dataset[at][0]) for at in range(min(_STARTS, len(self.phi.system)))]
        found: list[_Candidate] = []
        # Every class of one start before the next start, the likeliest class first.
        pairs = itertools.product(starts, list(self._targets()))
        for start, t in itertools.islice(pairs, _DESCENTS):
            candidate = self._fitted(start.to(self.flat), t)
            if candidate is not None:
                found.append(candidate)
            if sum(candidate.residual <= self.tolerance for candidate in found) > 1:
                break
        return self._best(found)

    def _best(self, found: list[_Candidate]) -> _Candidate | None:
        """Best candidate; unique if all others on the sheet are the same and nothing is lost at first order."""
        if not found:
            return None
        best = min(found, key=lambda candidate: candidate.residual)
        others = [candidate for candidate in found if candidate.residual <= self.tolerance]
        size = 1e-5 * (1 + float(best.x.norm()))
        same = all(float((other.x - best.x).norm()) <= size for other in others)
        return _Candidate(best.x, best.t, best.residual, best.unique and same)

    def _targets(self) -> Iterator[Tensor]:
        """Targets to start from: every class, or the data set's first where they are continuous."""
        if continuous_targets(self.loss):
            yield self.t_like.double()
        elif self.loss.class_targets:
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
        """Output errors up to a factor, where the network is a sequence that ends in a dense layer with a bias."""
        modules = flattened(self.model)
        if not modules or type(modules[-1][1]) is not torch.nn.Linear or not used_once(modules, modules[-1][1]):
            return None
        bias = self.changes.get(joined(modules[-1][0], "bias"))
        return None if bias is None else -bias

    def _fitted(self, x: Tensor, t: Tensor) -> _Candidate | None:
        """One descent."""
        inputs, free = x.numel(), continuous_targets(self.loss)

        def split(point: np.ndarray) -> tuple[Tensor, Tensor]:
            value = torch.from_numpy(point).to(self.flat)
            return value[:inputs].reshape(self.x_like.shape), value[inputs:].reshape(t.shape) if free else t

        scale = float(self.flat.norm()) * self.size

        def slope(point: np.ndarray) -> np.ndarray:
            return (self.phi.jacobian(*split(point)).dense() / scale).cpu().numpy()

        def mismatch(point: np.ndarray) -> np.ndarray:
            return self._mismatch(*split(point)).cpu().numpy()

        start = torch.cat([x.reshape(-1), t.reshape(-1).to(x)]) if free else x.reshape(-1)
        method: Any = "lm" if self.flat.numel() >= start.numel() else "trf"
        try:
            solved = least_squares(
                mismatch,
                start.cpu().numpy(),
                slope,
                method=method,
                xtol=1e-15,
                ftol=1e-15,
                gtol=1e-15,
                max_nfev=60,
            )
        except (InvalidInputError, ValueError):
            # The descent has left the region where the network is finite.
            return None
        found_x, found_t = split(solved.x)
        residual = float(np.linalg.norm(solved.fun))
        full = residual <= self.tolerance and int(np.linalg.matrix_rank(slope(solved.x))) == start.numel()
        return _Candidate(found_x, found_t, residual, bool(full))
