"""Curvature of the loss at a state: the lowest eigenvalue of its Hessian, and whether there is a way down along it.

At a saddle the gradient vanishes as at a minimum, and drift alone cannot tell them apart. The eigenvalue itself cannot
either: over a thousand samples true equilibria of networks have negative ones. What tells is how far the loss falls
for a descent that starts along the direction.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from critlearn.equilibrium.criteria import (
    CURVATURE_PRODUCTS,
    CURVATURE_SAMPLES,
    CURVATURE_STEPS,
    DESCENT_STEPS,
    FEWEST_CURVATURE_SAMPLES,
    FIRST_STEPS,
    LANCZOS_STEPS,
    LARGE_GAIN,
    LARGE_GAIN_ERRORS,
    SADDLE_ERRORS,
    SADDLE_GAIN,
    WHOLE_SETS,
)
from critlearn.equilibrium.decay import Decay
from critlearn.equilibrium.descent import descent
from critlearn.errors import InvalidInputError
from critlearn.network import BulkBoundaryNetwork, NeuralSystem
from critlearn.network.batches.model_inputs import Inputs
from critlearn.network.checks.finiteness import UndefinedOutputError
from critlearn.network.copying import copied
from critlearn.results import Result

_STEP: Final = {torch.float64: 1e-4, torch.float32: 1e-3}
"""Step of the finite difference of gradients, relative to the length of all variables: its square, the error of the
difference, is above the rounding of the gradients divided by the step."""

_STEPS: Final = (1.0, 0.1, 0.01)
"""Steps of the finite difference that are tried one after the other, in units of the first: a network may have a fixed
point here and none a step away. After a hundredth rounding would take over."""

_INVARIANT: Final = {torch.float64: 1e-10, torch.float32: 1e-3}
"""Length of a new vector, relative to the largest diagonal entry, below which it is rounding."""

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
    Networks of more than 100,000 variables are looked at with fewer samples, in single precision if it is their own.

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
    UndefinedOutputError
        If the network has no output, by a pass of at most 1,000 steps, as soon as its variables move.
    """
    variables = sum(value.numel() for value in system.parameters.values())
    samples = min(CURVATURE_SAMPLES, max(FEWEST_CURVATURE_SAMPLES, CURVATURE_PRODUCTS // variables))
    whole = len(system) <= WHOLE_SETS * samples
    numbers = system.scattered(samples if whole else 2 * samples)
    looked, judging = (numbers, list(range(len(system)))) if whole else (numbers[::2], numbers[1::2])
    # Falls of 3% and the direction of the lowest curvature need no more digits; of small networks it costs nothing.
    single = samples < CURVATURE_SAMPLES and {value.dtype for value in system.parameters.values()} == {torch.float32}
    surface, judged = (_Surface(system, decay, part, fluctuation, single=single) for part in (looked, judging))
    values, vector, residual = lanczos(surface.product, surface.at, seed=seed)
    gain, errors = judged.fall((judged if whole else surface).descended(vector, judged))
    return Curvature(float(values[0]), float(values[-1]), residual, gain, errors, judged.samples)


def lanczos(
    product: Callable[[Tensor], Tensor], like: Float[Tensor, " variable"], *, seed: int
) -> tuple[Float64[np.ndarray, " value"], Float[Tensor, " variable"], float]:
    """Ritz values of a symmetric operator, the lowest one's vector v, and its error ``|A v - value v|``.

    Every vector is made orthogonal to all before: without that, Lanczos finds copies of the largest values.
    Source: Golub and Van Loan, Matrix Computations, section 10.1.

    Parameters
    ----------
    product
        The operator.
    like
        A vector of the dimension, floating-point type and device of all vectors; its entries do not matter.
    seed
        Seed of the first vector.
    """
    steps = min(LANCZOS_STEPS, len(like))
    vector = torch.randn(len(like), generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(like)
    basis = like.new_empty(steps + 1, len(like))
    torch.div(vector, vector.norm(), out=basis[0])
    diagonal: list[float] = []
    below: list[float] = []
    for step in range(steps):
        image = product(basis[step]).to(like)
        diagonal.append(float(image @ basis[step]))
        # The recurrence first, then what rounding leaves of all earlier vectors.
        image.add_(basis[step], alpha=-diagonal[-1])
        if step:
            image.add_(basis[step - 1], alpha=-below[-1])
        known = basis[: step + 1]
        image.addmv_(known.T, known @ image, alpha=-1)
        below.append(float(image.norm()))
        # An invariant subspace: all that the first vector contains has been found.
        if below[-1] <= _INVARIANT[like.dtype] * max(map(abs, diagonal)):
            break
        torch.div(image, below[-1], out=basis[step + 1])
    values, coefficients = eigh_tridiagonal(np.array(diagonal), np.array(below[: len(diagonal) - 1]))
    residual = abs(below[len(diagonal) - 1] * coefficients[-1, 0])
    lowest = torch.from_numpy(coefficients[:, 0].copy()).to(basis) @ basis[: len(diagonal)]
    return values, lowest, float(residual)


class _Surface:
    """Loss of some samples, with the energy of the decay, as a function of all variables, around their present values.

    Parameters
    ----------
    system, decay
        The state.
    numbers
        Numbers of the samples.
    fluctuation
        See `curvature`.
    single
        Pass it in single precision; otherwise in double precision, where the network can be.
    """

    def __init__(
        self,
        system: NeuralSystem,
        decay: Decay,
        numbers: list[int],
        fluctuation: Mapping[str, float] | None,
        *,
        single: bool,
    ) -> None:
        self._pairs = system.chosen(numbers)
        self._system, precision = self._copied(system, single)
        for module in self._system.model.modules():
            if isinstance(module, BulkBoundaryNetwork):
                module.most_steps = min(module.most_steps, CURVATURE_STEPS)
        self._variables = [value for value in self._system.model.parameters() if value.requires_grad]
        self._sizes = [value.numel() for value in self._variables]
        # All vectors are in one precision: those of large networks take as long as its passes.
        kind = torch.float32 if single else torch.float64
        self.at = torch.cat([value.detach().to(kind).flatten() for value in self._variables])
        self._strength = torch.cat([decay.strength[name].flatten() for name in self._system.parameters]).to(self.at)
        self._decays = not decay.none
        self.samples = len(numbers)
        loss = self._mean_loss(self.at)
        self._loss_unit = loss if 0 < loss < math.inf else 1.0
        self._units = torch.ones_like(self.at) if fluctuation is None else self._natural(fluctuation)
        # Lengths are in units of the variables; where these are 1 the variables' own length stands for them.
        self._scale = max(float(self.at.norm()), 1.0) if fluctuation is None else 1.0
        self._step = _STEP[precision] * self._scale

    def _copied(self, system: NeuralSystem, single: bool) -> tuple[NeuralSystem, torch.dtype]:
        """Copy of the system, in double precision if that is wanted and possible, and its precision."""
        x, t = self._pairs
        if not single:
            with suppress(RuntimeError, TypeError, InvalidInputError):
                double = system.judging(copied(system.model).double(), system.loss)
                with torch.no_grad():
                    double.forward(*(double.as_network_takes(part[:1]) for part in (x, t)))
                return double, torch.float64
        # It is to be, holds tensors of its own, or names a precision: it stays in its own.
        return system.judging(copied(system.model), system.loss), torch.float32

    @torch.no_grad()
    def _move(self, place: Tensor) -> None:
        """Put the variables to a place."""
        for value, part in zip(self._variables, place.split(self._sizes), strict=True):
            value.copy_(part.view_as(value))

    def _batches(self) -> Iterator[tuple[Inputs, Tensor]]:
        x, t = self._pairs
        for start in range(0, len(x), _PASS):
            rows = slice(start, start + _PASS)
            yield self._system.as_network_takes(x[rows]), self._system.as_network_takes(t[rows])

    def _loss_and_gradient(self, place: Tensor) -> tuple[float, Float[Tensor, " variable"]]:
        """Mean loss, with the energy of the decay, and its gradient at a place."""
        self._move(place)
        total = self._strength * place if self._decays else torch.zeros_like(place)
        loss = 0.5 * float(total @ place) if self._decays else 0.0
        for x, t in self._batches():
            with torch.enable_grad():
                y, target = self._system.forward(x, t)
                error = self._system.loss.output_error(y.detach(), target) / self.samples
                loss += float(self._system.loss.value(y.detach(), target).double().sum()) / self.samples
                parts = torch.autograd.grad(y, self._variables, error, allow_unused=True)
            for piece, part in zip(total.split(self._sizes), parts, strict=True):
                if part is not None:
                    piece += part.flatten()
        return loss, total

    def product(self, vector: Float[Tensor, " variable"]) -> Float[Tensor, " variable"]:
        """Hessian, in units of the variables, times a vector: the central difference of two gradients.

        Raises
        ------
        UndefinedOutputError
            If the network has no output at the ends of the shortest step.
        """
        for step in (part * self._step for part in _STEPS):
            with suppress(UndefinedOutputError):
                ahead, behind = (self._loss_and_gradient(self._place(vector, side * step))[1] for side in (1, -1))
                return ahead.sub_(behind).mul_(self._units).div_(2 * step)
        raise UndefinedOutputError("the network has no output for some sample however little its variables move")

    @torch.no_grad()
    def losses(self, place: Tensor) -> Float64[Tensor, " sample"]:
        """Loss of every sample at a place, with the energy of the decay."""
        self._move(place)
        parts = []
        for x, t in self._batches():
            y, target = self._system.forward(x, t)
            parts.append(self._system.loss.value(y, target).double().reshape(len(x), -1).sum(dim=1))
        return torch.cat(parts) + (0.5 * float((self._strength * place**2).sum()) if self._decays else 0.0)

    def _mean_loss(self, place: Tensor) -> float:
        """Mean loss at a place; infinite where the network has no output."""
        try:
            return float(self.losses(place).mean())
        except UndefinedOutputError:
            return math.inf

    def _natural(self, fluctuation: Mapping[str, float]) -> Float[Tensor, " variable"]:
        """Change of each variable that would change a sample's loss by about the mean loss; 1 where no sample moves it.

        At the saddle of a product of two zeros no sample moves either.
        """
        units, largest = [], torch.finfo(self.at.dtype).max
        for name, value in self._system.parameters.items():
            size = fluctuation[name]
            unit = self._loss_unit / size if size > 0 else 1.0
            units.append(self.at.new_full((value.numel(),), unit if unit < largest else 0.0))
        return torch.cat(units)

    def descended(self, direction: Tensor, judged: "_Surface") -> Float[Tensor, " variable"]:
        """Place that a short descent reaches which starts along a direction.

        In units of the loss and of the variables: the first step has an absolute length. The descent is given up where
        the loss of its own samples has fallen far and that of the judging ones has not: it fits its samples' noise.
        """

        def evaluated(way: Tensor) -> tuple[float, Tensor]:
            try:
                loss, gradient = self._loss_and_gradient(self._place(way))
            except UndefinedOutputError:
                return math.inf, torch.zeros_like(way)
            return loss / self._loss_unit, gradient.mul_(self._units).div_(self._loss_unit)

        ways = [side * way * self._scale for way in FIRST_STEPS for side in (1.0, -1.0)]
        start = min((0.0, *ways), key=lambda way: self._mean_loss(self._place(direction, way))) * direction
        way = start
        for loss, way in islice(descent(evaluated, start, evaluations=2 * DESCENT_STEPS), DESCENT_STEPS + 1):
            if judged is not self and loss < 1 - LARGE_GAIN and judged.fall(self._place(way))[0] == 0:
                break
        return self._place(way)

    def _place(self, way: Tensor, length: float = 1.0) -> Tensor:
        """Place at the end of a way of so many of its lengths, in units of the variables."""
        return torch.addcmul(self.at, self._units, way, value=length)

    def fall(self, place: Float[Tensor, " variable"]) -> tuple[float, float]:
        """Fall of the mean loss from here to a place, relative to the loss, and in standard errors over samples."""
        here = self.losses(self.at)
        try:
            fallen = here - self.losses(place)
        except UndefinedOutputError:
            return 0.0, 0.0
        mean, error = float(fallen.mean()), float(fallen.std()) / math.sqrt(self.samples)
        if not mean > 0 or not float(here.mean()) > 0:
            return 0.0, 0.0
        return mean / float(here.mean()), mean / error if error > 0 else math.inf
