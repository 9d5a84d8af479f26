"""Approach to equilibrium: training until equilibrium is certified, the epochs end, or the data prove separable."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import torch

from critlearn.equilibrium.certificate import Certificate
from critlearn.equilibrium.certification import certificate_of, separated
from critlearn.equilibrium.criteria import EXCEPTIONS, SEPARATED_EPOCHS, TOLERANCE
from critlearn.equilibrium.decay import check_weight_decay, decay_of
from critlearn.equilibrium.moments import Moments
from critlearn.equilibrium.schedule import Schedule
from critlearn.errors import InvalidInputError, NotAtEquilibriumError
from critlearn.network import NeuralSystem
from critlearn.network.checks.finiteness import NonFiniteError
from critlearn.network.copying import copied
from critlearn.network.training.step import TrainingStep
from critlearn.numerics.validation import check_learning_rate
from critlearn.results import Result

Progress = Callable[[int, int, float, float | None], None]
"""Function called after each epoch with the epoch, the number of epochs, the loss and the last equilibrium fraction."""


_BETAS: Final = (0.9, 0.99)
"""Decay rates of Adam's means. The second one remembers a hundred steps, not a thousand: at the start gradients are
large, and with a longer memory a short training ends before their size is forgotten."""

_LARGE_BATCH: Final = 4096
"""Number of samples in one batch of a check."""

_WORTH_THREADS: Final = 4_000_000
"""Samples times variables of a step above which several threads are faster than one."""


@dataclass(frozen=True, eq=False, repr=False)
class Approach(Result):
    """Result of training to equilibrium: the trained system, its certificate, and the losses on the way.

    Parameters
    ----------
    system
        The system with trained weights; the original system is unchanged.
    certificate
        Certificate of the final state.
    losses
        Mean loss over each epoch.
    """

    system: NeuralSystem
    certificate: Certificate
    losses: tuple[float, ...]

    @property
    def moments(self) -> Moments:
        """Drift and fluctuation of each variable at the end."""
        return self.certificate.moments

    def to_dict(self) -> dict[str, Any]:
        """Certificate and losses as plain values."""
        return {"certificate": self.certificate.to_dict(), "losses": list(self.losses)}

    def summary(self) -> str:
        """The certificate in one line, with the last loss."""
        last = f"; loss {self.losses[-1]:.4g} after {len(self.losses)} epochs" if self.losses else ""
        return f"{self.certificate.summary()}{last}"


def equilibrate(
    system: NeuralSystem,
    *,
    epochs: int = 1000,
    batch_size: int = 32,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    exceptions: float = EXCEPTIONS,
    check_every: int = 10,
    stop_at_equilibrium: bool = True,
    progress: Progress | None = None,
    throw: bool = False,
) -> Approach:
    """Train a copy of the system's network until it is at local learning equilibrium.

    The optimiser is Adam; equilibrium is a property of the mean gradient and does not depend on how it is reached. Once
    the loss is stationary the learning rate falls to a hundredth over 20 epochs, so that the noise of training no
    longer counts as drift, and the state is certified; if it is no equilibrium, training goes on at the full rate. The
    last 20 epochs always are such ones. A data set that the network separates has no equilibrium if the output
    saturates; weight decay keeps the weights finite, and is part of the drift then. Decoupled decay (AdamW) gives such
    data no equilibrium either, as it shrinks with the gradients.
    Source: theory, local learning equilibrium.

    Parameters
    ----------
    system
        Network, loss and data set.
    epochs
        Largest number of passes over the data set.
    batch_size, lr
        Settings of the optimiser.
    weight_decay
        Strength of the L2 decay: ``weight_decay * |w|^2 / 2`` is added to the mean loss.
    decoupled_weight_decay
        Whether the decay acts on the weights apart from the gradient in place of that, as in AdamW.
    seed
        Seed of the order of the samples: the same seed gives the same weights, bit for bit, on one machine.
    tolerance, exceptions
        A variable is at equilibrium if its drift is at most `tolerance` times its fluctuation; `exceptions` is the
        share of variables that may drift more.
    check_every
        Epochs between two looks at the trend of the loss.
    stop_at_equilibrium
        Whether to stop at the first certified equilibrium, or once the data prove separable. Otherwise all epochs are
        trained, and the certificate is that of the final state.
    progress
        Called after every epoch.
    throw
        Whether to raise if there is no equilibrium at the end.

    Raises
    ------
    InvalidInputError
        If an argument is out of range, or the loss is no longer finite.
    NotAtEquilibriumError
        If `throw` is set and equilibrium is not certified.
    """
    _check(epochs, batch_size, lr, weight_decay, check_every)
    system.check()
    trained = system.judging(copied(system.model), system.loss)
    training = _Training(trained, batch_size, seed, _optimiser(trained, lr, weight_decay, decoupled_weight_decay))
    schedule = Schedule(epochs, check_every, stop_at_equilibrium)
    # With weight decay the weights stay finite, and training goes on.
    may_give_up = stop_at_equilibrium and weight_decay == 0
    certificate, fraction, separated_for = None, None, 0
    with _threads_worth_starting(trained, batch_size):
        for epoch in range(1, epochs + 1):
            training.epoch(schedule.rate(epoch))
            if progress is not None:
                progress(epoch, epochs, training.losses[-1], fraction)
            if may_give_up and epoch % check_every == 0:
                separated_for = separated_for + check_every if separated(trained, _LARGE_BATCH) else 0
            given_up = separated_for >= SEPARATED_EPOCHS
            if schedule.cooled(epoch) or given_up:
                certificate = training.certificate(schedule, tolerance, exceptions)
                fraction = certificate.fraction
                if given_up or (stop_at_equilibrium and certificate.certified):
                    break
            schedule.look(epoch, training.losses)
    assert certificate is not None
    if throw and not certificate.certified:
        raise NotAtEquilibriumError(certificate.summary())
    return Approach(trained, certificate, tuple(training.losses))


class _Training:
    """Training of a system by Adam, epoch by epoch."""

    def __init__(self, system: NeuralSystem, batch_size: int, seed: int, optimiser: torch.optim.Optimizer) -> None:
        self.losses: list[float] = []
        self._system, self._batch_size, self._optimiser = system, batch_size, optimiser
        self._lr = float(optimiser.defaults["lr"])
        self._generator = torch.Generator().manual_seed(seed)

    def epoch(self, rate: float) -> None:
        """Train for one epoch at a factor of the learning rate."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._lr * rate
        self.losses.append(_train_epoch(self._system, self._optimiser, self._batch_size, self._generator))
        if not math.isfinite(self.losses[-1]):
            raise InvalidInputError(
                f"the loss is not finite after epoch {len(self.losses)}: try a smaller learning rate than {self._lr:g}"
            )

    def certificate(self, schedule: Schedule, tolerance: float, exceptions: float) -> Certificate:
        """Certificate of the present state, with the losses at full rate as its history."""
        # A gradient of training is a mean over a sample's outputs, a change of the engine a sum.
        x, t = next(self._system.boundary(1))
        decay = decay_of(self._system, 0.0, self._optimiser).scaled(
            self._system.loss.value(*self._system.forward(x, t)).numel()
        )
        found = certificate_of(
            self._system,
            decay,
            losses=schedule.steady,
            check=max(1, schedule.checks),
            tolerance=tolerance,
            exceptions=exceptions,
        )
        return replace(found, epochs=len(self.losses))


def _check(epochs: int, batch_size: int, lr: float, weight_decay: float, check_every: int) -> None:
    """Raise if an argument is out of range."""
    check_learning_rate(lr)
    for name, value in (("epochs", epochs), ("batch size", batch_size), ("check_every", check_every)):
        if value < 1:
            raise InvalidInputError(f"{name} must be at least 1; got {value}")
    check_weight_decay(weight_decay)


def _optimiser(system: NeuralSystem, lr: float, weight_decay: float, decoupled: bool) -> torch.optim.Optimizer:
    """Make Adam, fused into one kernel where possible: on small networks its overhead dominates."""
    variables = list(system.parameters.values())
    fused = all(value.device.type in ("cpu", "cuda") and value.is_floating_point() for value in variables)
    return torch.optim.Adam(
        variables,
        lr=lr,
        betas=_BETAS,
        weight_decay=weight_decay,
        decoupled_weight_decay=decoupled,
        fused=fused,
    )


@contextmanager
def _threads_worth_starting(system: NeuralSystem, batch_size: int) -> Iterator[None]:
    """Run torch on one thread if the steps are small; restore the number of threads afterwards.

    Threads synchronise after every operation; on shared cores, waiting for the last one can take forty times as long as
    the work itself.
    """
    work = min(batch_size, len(system)) * sum(value.numel() for value in system.parameters.values())
    before = torch.get_num_threads()
    torch.set_num_threads(1 if work < _WORTH_THREADS else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train_epoch(
    system: NeuralSystem, optimiser: torch.optim.Optimizer, batch_size: int, generator: torch.Generator
) -> float:
    """Train for one pass over the data in random order, and return the mean loss over the samples."""
    total = torch.zeros((), dtype=torch.float64, device=next(iter(system.parameters.values())).device)
    step = TrainingStep(system)
    for x, t in system.shuffled(batch_size, generator):
        optimiser.zero_grad()
        try:
            loss = step(x, t)
        except NonFiniteError as problem:
            # The number of the sample counts within a random batch and would mislead, so it is left out.
            raise InvalidInputError(
                f"{problem.where} is not finite in a batch of the training: look at the data, or try a smaller "
                "learning rate"
            ) from None
        total += loss * len(t)
        optimiser.step()
    return float(total) / len(system)
