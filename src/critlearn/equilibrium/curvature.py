"""Curvature of the loss at a state: the lowest eigenvalue of its Hessian, and whether there is a way down along it.

At a saddle the gradient vanishes as at a minimum, and drift alone cannot tell them apart. The eigenvalue itself cannot
either: over a thousand samples true equilibria of networks have negative ones. What tells is how far the loss falls
for a descent that starts along the direction.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float64
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import minimize
from torch import Tensor

from critlearn.equilibrium.criteria import (
    CURVATURE_SAMPLES,
    LANCZOS_STEPS,
    LARGE_GAIN,
    LARGE_GAIN_ERRORS,
    SADDLE_ERRORS,
    SADDLE_GAIN,
)
from critlearn.equilibrium.decay import Decay
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from critlearn.network.batches.model_inputs import Inputs
from critlearn.network.checks.finiteness import NonFiniteError
from critlearn.network.copying import copied
from critlearn.results import Result

_STEP: Final = {torch.float64: 1e-4, torch.float32: 1e-2}
"""Step of the finite difference of gradients, relative to the length of all variables: its square, the error of the
difference, is above the rounding of the gradients divided by the step."""

_WAYS: Final = (0.03, 0.1, 0.3, 1.0)
"""Lengths of the first step along the direction, relative to the length of all variables (at least 1): the descent
starts from the lowest loss."""

_DESCENT: Final = 40
"""Steps of the descent. From saddles of XOR it falls by half to all of the loss in 20; a network that slowly fits noise
of labels falls by 2% in 20, as equilibria may, and by 4% in 40."""

_WHOLE: Final = 4
"""Multiple of the samples of the curvature up to which a data set is descended over as a whole."""

_AFFORDABLE: Final = 100_000_000
"""Samples times variables of a gradient: of a network of a million variables 100 samples are looked at 65 times, which
takes less time than one measurement of ten thousand."""

_INVARIANT: Final = 1e-10
"""Length of a new vector, relative to the largest diagonal entry, below which it is rounding."""

_FEWEST: Final = 100
"""Samples that are looked at however large the network is."""

_PASS: Final = 256
"""Samples passed at once: it bounds the memory of activities."""


@dataclass(frozen=True, repr=False)
class Curvature(Result):
    """Lowest curvature of the loss, and how far the loss falls in a short descent that starts along it.

    Parameters
    ----------
    lowest, highest
        Lowest and highest eigenvalue of the Hessian that Lanczos found, in units of the variables.
    residual
        Error of the lowest one: norm of ``H v - lowest v``.
    gain
        Fall of the loss of the judging samples by the descent, relative to the loss; 0 if there is none.
    gain_errors
        That fall in standard errors, paired over samples.
    samples
        Number of samples whose loss was looked at.
    """

    lowest: float
    highest: float
    residual: float
    gain: float
    gain_errors: float
    samples: int

    @property
    def saddle(self) -> bool:
        """Whether there is a way down along a direction of negative curvature."""
        return self.way_down and self.lowest < -self.residual

    @property
    def way_down(self) -> bool:
        """Whether the loss falls by more than true equilibria allow and chance explains.

        Where few samples carry most of the loss its fall has large errors, however large it is: a large one needs less.
        """
        needed = SADDLE_ERRORS if self.gain < LARGE_GAIN else LARGE_GAIN_ERRORS
        return self.gain > SADDLE_GAIN and self.gain_errors > needed

    def summary(self) -> str:
        """Fall along the direction, in one line."""
        errors = f"{self.gain_errors:.1f} standard errors"
        return f"a descent along the lowest curvature takes {self.gain:.1%} off the loss ({errors})"


def curvature(
    system: NeuralSystem, decay: Decay, *, fluctuation: Mapping[str, float] | None = None, seed: int = 0
) -> Curvature:
    """Lowest curvature of the loss and decay together, and the fall of the loss along it.

    Lanczos takes 20 products of the Hessian with a vector over at most 1,000 samples, each a finite difference of two
    gradients: no derivative of a layer's own backward is needed, which custom layers do not have. Then a step is taken
    along the lowest direction, and 40 steps of L-BFGS downhill. Sets of up to 4,000 samples are taken whole: a loss
    that still falls because the network fits noise of the labels falls on its own samples only. Of larger sets 1,000
    are descended over, and the fall is judged on as many others: over so few any network can be fitted better.

    Parameters
    ----------
    system, decay
        The state.
    fluctuation
        Root mean square fluctuation of each variable's entries, by its name. The loss over it is the unit of the
        variable, so that neither the units of the inputs nor those of the outputs matter; by default all units are 1.
    seed
        Seed of the first vector of Lanczos.

    Raises
    ------
    InvalidInputError
        If the network cannot be copied.
    """
    variables = sum(value.numel() for value in system.parameters.values())
    samples = min(CURVATURE_SAMPLES, max(_FEWEST, _AFFORDABLE // variables))
    surface = _Surface(system, decay, system.scattered(samples), fluctuation)
    values, vector, residual = lanczos(surface.product, surface.length, seed=seed, device=surface.at.device)
    if len(system) <= _WHOLE * samples:
        surface = judged = _Surface(system, decay, list(range(len(system))), fluctuation)
    else:
        numbers = system.scattered(2 * samples)
        surface, judged = (_Surface(system, decay, numbers[start::2], fluctuation) for start in (0, 1))
    below = surface.descended(vector)
    gain, errors = judged.fall(below)
    return Curvature(float(values[0]), float(values[-1]), residual, gain, errors, judged.samples)


def lanczos(
    product: Callable[[Tensor], Tensor], length: int, *, seed: int, device: torch.device | str = "cpu"
) -> tuple[Float64[np.ndarray, " value"], Float64[Tensor, " variable"], float]:
    """Ritz values of a symmetric operator, the lowest one's vector v, and its error ``|A v - value v|``.

    Every vector is made orthogonal to all before: without that, Lanczos finds copies of the largest values.
    Source: Golub and Van Loan, Matrix Computations, section 10.1.

    Parameters
    ----------
    product
        The operator.
    length
        Its dimension.
    seed
        Seed of the first vector.
    """
    steps = min(LANCZOS_STEPS, length)
    generator = torch.Generator().manual_seed(seed)
    vector = torch.randn(length, generator=generator, dtype=torch.float64).to(device)
    basis = vector.new_empty(steps + 1, length)
    basis[0] = vector / vector.norm()
    diagonal: list[float] = []
    below: list[float] = []
    for step in range(steps):
        image = product(basis[step])
        diagonal.append(float(image @ basis[step]))
        # The recurrence first, then what rounding leaves of all earlier vectors.
        image = image - diagonal[-1] * basis[step] - (below[-1] * basis[step - 1] if step else 0.0)
        known = basis[: step + 1]
        image -= known.T @ (known @ image)
        below.append(float(image.norm()))
        # An invariant subspace: all that the first vector contains has been found.
        if below[-1] <= _INVARIANT * max(map(abs, diagonal)):
            break
        basis[step + 1] = image / below[-1]
    values, coefficients = eigh_tridiagonal(np.array(diagonal), np.array(below[: len(diagonal) - 1]))
    residual = abs(below[len(diagonal) - 1] * coefficients[-1, 0])
    lowest = torch.from_numpy(coefficients[:, 0].copy()).to(basis) @ basis[: len(diagonal)]
    return values, lowest, float(residual)


class _Surface:
    """Loss of some samples, with the energy of the decay, as a function of all variables, around their present values.

    It is passed in double precision where the network can be: differences of nearly equal losses are formed.
    """

    def __init__(
        self, system: NeuralSystem, decay: Decay, numbers: list[int], fluctuation: Mapping[str, float] | None
    ) -> None:
        model = copied(system.model)
        precision = torch.float64
        x, t = system.chosen(numbers)
        try:
            model = model.double()
            self._system = system.judging(model, system.loss)
            with torch.no_grad():
                self._system.forward(*(self._system.as_network_takes(part[:1]) for part in (x, t)))
        except (RuntimeError, TypeError, InvalidInputError):
            # It holds tensors of its own, or names a precision: it stays in its own.
            model, precision = copied(system.model), torch.float32
            self._system = system.judging(model, system.loss)
        self._variables = [value for value in model.parameters() if value.requires_grad]
        self._pairs = (x, t)
        self._strength = torch.cat([decay.strength[name].flatten() for name in self._system.parameters])
        self.at = self._flat()
        self.length = len(self.at)
        self.samples = len(numbers)
        loss = self._mean_loss(self.at)
        self._loss_unit = loss if 0 < loss < math.inf else 1.0
        self._units = torch.ones_like(self.at) if fluctuation is None else self._natural(fluctuation)
        # Lengths are in units of the variables; where these are 1 the variables' own length stands for them.
        self._scale = max(float(self.at.norm()), 1.0) if fluctuation is None else 1.0
        self._step = _STEP[precision] * self._scale

    def _flat(self) -> Float64[Tensor, " variable"]:
        return torch.cat([value.detach().double().flatten() for value in self._variables])

    @torch.no_grad()
    def _move(self, place: Tensor) -> None:
        """Put the variables to a place."""
        parts = place.split([value.numel() for value in self._variables])
        for value, part in zip(self._variables, parts, strict=True):
            value.copy_(part.reshape(value.shape))

    def _batches(self) -> Iterator[tuple[Inputs, Tensor]]:
        x, t = self._pairs
        for start in range(0, len(x), _PASS):
            rows = slice(start, start + _PASS)
            yield self._system.as_network_takes(x[rows]), self._system.as_network_takes(t[rows])

    def _loss_and_gradient(self, place: Tensor) -> tuple[float, Float64[Tensor, " variable"]]:
        """Mean loss, with the energy of the decay, and its gradient at a place."""
        self._move(place)
        total = self._strength * place
        loss = 0.5 * float(total @ place)
        for x, t in self._batches():
            with torch.enable_grad():
                y, target = self._system.forward(x, t)
                error = self._system.loss.output_error(y.detach(), target) / self.samples
                loss += float(self._system.loss.value(y.detach(), target).double().sum()) / self.samples
                parts = torch.autograd.grad(y, self._variables, error, allow_unused=True)
            flat = [
                torch.zeros(value.numel(), dtype=torch.float64, device=total.device)
                if part is None
                else part.double().flatten()
                for value, part in zip(self._variables, parts, strict=True)
            ]
            total += torch.cat(flat)
        return loss, total

    def product(self, vector: Float64[Tensor, " variable"]) -> Float64[Tensor, " variable"]:
        """Hessian, in units of the variables, times a vector: the central difference of two gradients."""
        step = self._step * self._units * vector
        ahead, behind = (self._loss_and_gradient(self.at + side * step)[1] for side in (1, -1))
        return self._units * (ahead - behind) / (2 * self._step)

    @torch.no_grad()
    def losses(self, place: Tensor) -> Float64[Tensor, " sample"]:
        """Loss of every sample at a place, with the energy of the decay."""
        self._move(place)
        parts = []
        for x, t in self._batches():
            y, target = self._system.forward(x, t)
            parts.append(self._system.loss.value(y, target).double().reshape(len(x), -1).sum(dim=1))
        return torch.cat(parts) + 0.5 * float((self._strength * place**2).sum())

    def _mean_loss(self, place: Tensor) -> float:
        """Mean loss at a place; infinite where the network is not finite."""
        try:
            return float(self.losses(place).mean())
        except NonFiniteError:
            return math.inf

    def _natural(self, fluctuation: Mapping[str, float]) -> Float64[Tensor, " variable"]:
        """Change of each variable that would change a sample's loss by about the mean loss; 1 where no sample moves it.

        At the saddle of a product of two zeros no sample moves either.
        """
        units = []
        for name, value in self._system.parameters.items():
            size = fluctuation[name]
            unit = self._loss_unit / size if size > 0 else 1.0
            units.append(torch.full((value.numel(),), unit if math.isfinite(unit) else 0.0, dtype=torch.float64))
        return torch.cat(units).to(self.at)

    def descended(self, direction: Float64[Tensor, " variable"]) -> Float64[Tensor, " variable"]:
        """Place that a short descent reaches which starts along a direction, the lowest one that it meets.

        In units of the loss and of the variables: L-BFGS chooses its first step by absolute numbers.
        """
        lowest, place = math.inf, self.at

        def looked(numbers: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal lowest, place
            there = self.at + self._units * torch.from_numpy(numbers).to(self.at)
            loss, gradient = self._loss_and_gradient(there)
            if loss < lowest:
                lowest, place = loss, there
            return loss / self._loss_unit, (self._units * gradient / self._loss_unit).cpu().numpy()

        ways = [side * way * self._scale * direction for way in _WAYS for side in (1.0, -1.0)]
        start = min(ways, key=lambda way: self._mean_loss(self.at + self._units * way))
        # A descent may run to where the network is no longer finite: what it met before counts.
        with suppress(NonFiniteError):
            # Five corrections in place of ten: for large networks their sums take longer than the gradients.
            minimize(
                looked,
                start.cpu().numpy(),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": _DESCENT, "maxfun": 2 * _DESCENT, "maxcor": 5, "ftol": 0.0, "gtol": 0.0},
            )
        return place

    def fall(self, place: Float64[Tensor, " variable"]) -> tuple[float, float]:
        """Fall of the mean loss from here to a place, relative to the loss, and in standard errors over samples."""
        here = self.losses(self.at)
        try:
            fallen = here - self.losses(place)
        except NonFiniteError:
            return 0.0, 0.0
        mean, error = float(fallen.mean()), float(fallen.std()) / math.sqrt(self.samples)
        if not mean > 0 or not float(here.mean()) > 0:
            return 0.0, 0.0
        return mean / float(here.mean()), mean / error if error > 0 else math.inf
