"""Certify a state of any network, however it was trained: measure its drift, curvature and trend, and judge them."""

from collections.abc import Collection, Sequence
from typing import Final

import torch

from critlearn.compositions import TokenCrossEntropy
from critlearn.equilibrium.certificate import Certificate, Evidence, judge
from critlearn.equilibrium.coherence import Drift, drift_of, unit_weights
from critlearn.equilibrium.criteria import DIRECTIONS, EXCEPTIONS, FEWEST_SAMPLES, MODE_SAMPLES, ROUNDING, TOLERANCE
from critlearn.equilibrium.curvature import curvature
from critlearn.equilibrium.decay import Decay, decay_of
from critlearn.equilibrium.moments import Moments, common_unit
from critlearn.equilibrium.trend import loss_r_hat, loss_trend
from critlearn.errors import InvalidInputError, unknown_name
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.moments.running_moments import running_moments
from critlearn.fluctuations.principal_directions import principal_directions
from critlearn.network import NeuralSystem, is_exact
from critlearn.network.checks.finiteness import UndefinedOutputError

EVIDENCE: Final = ("curvature", "directions")
"""Evidence that may be left out, by name."""


def certify(
    system: NeuralSystem,
    *,
    weight_decay: float = 0.0,
    optimizer: torch.optim.Optimizer | None = None,
    losses: Sequence[float] | None = None,
    leave_out: Collection[str] = (),
    tolerance: float = TOLERANCE,
    exceptions: float = EXCEPTIONS,
    batch_size: int = 1024,
    seed: int = 0,
) -> Certificate:
    """Certify whether a network is at local learning equilibrium on its data set, however it was trained.

    One pass over the data takes drift, fluctuation and coherence of every variable and along each layer's weights; 256
    samples give the leading principal directions; at most 1,000 the lowest curvature of the loss, by 20 products with
    the Hessian, from where a short descent looks for a way down. Source: theory, local learning equilibrium, and
    equilibrium that cannot be fooled.

    Parameters
    ----------
    system
        Network, loss and data set.
    weight_decay
        Strength of the L2 decay with which it was trained: ``weight_decay * |w|^2 / 2`` is part of a sample's loss,
        which for several outputs is the sum of theirs unless the loss is torch's with its mean.
    optimizer
        In its place the optimiser that trained the network, for decay that is decoupled from the gradient (AdamW).
    losses
        Mean loss of each epoch so far, if it is known: with it the loss must be stationary, too.
    leave_out
        Evidence that is not looked at, for networks too large for it: ``"curvature"``, which holds 20 vectors of the
        network's size in double precision, and ``"directions"``.
    tolerance, exceptions
        A variable is at equilibrium if its drift is at most `tolerance` times its fluctuation; `exceptions` is the
        share of variables that may drift more.
    batch_size
        Samples passed at once.
    seed
        Seed of the first vector of the search for the lowest curvature.

    Raises
    ------
    InvalidInputError
        If an argument is out of range, or the decay of the optimiser is not known.

    Examples
    --------
    >>> from critlearn import Composition, NeuralSystem
    >>> from torch.utils.data import TensorDataset
    >>> x, t = torch.linspace(-2, 2, 400)[:, None], torch.tensor([-1.0, 1.0]).repeat(200)[:, None]
    >>> model = torch.nn.Linear(1, 1)
    >>> _ = [torch.nn.init.zeros_(value) for value in model.parameters()]
    >>> certify(NeuralSystem(model, Composition("sigmoid", "bce"), TensorDataset(x, t))).status
    <Status.EQUILIBRIUM: 'EQUILIBRIUM'>
    """
    left_out = (leave_out,) if isinstance(leave_out, str) else tuple(dict.fromkeys(leave_out))
    for name in left_out:
        if name not in EVIDENCE:
            raise unknown_name("evidence", str(name), EVIDENCE)
    for what, share in (("tolerance", tolerance), ("share of exceptions", exceptions)):
        if not 0 <= share <= 1:
            raise InvalidInputError(f"the {what} must be between 0 and 1; got {share}")
    if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
        raise InvalidInputError(f"the optimizer must be one of torch's; got {type(optimizer).__name__}")
    decay = decay_of(system, weight_decay, optimizer)
    return certificate_of(
        system, decay, losses=losses, leave_out=left_out, tolerance=tolerance, exceptions=exceptions,
        batch_size=batch_size, seed=seed,
    )  # fmt: skip


def certificate_of(
    system: NeuralSystem,
    decay: Decay,
    *,
    losses: Sequence[float] | None,
    leave_out: Collection[str] = (),
    tolerance: float = TOLERANCE,
    exceptions: float = EXCEPTIONS,
    batch_size: int = 1024,
    check: int = 1,
    seed: int = 0,
) -> Certificate:
    """Certify a state whose decay is known; ``check`` is the number of this check of one training."""
    moments, drift, decayed = _drifts(system, decay, "directions" not in leave_out, tolerance, exceptions, batch_size)
    counted = drift if decayed is None else decayed
    moved = moments.frozen_count < sum(part.numel() for part in moments.frozen.values())
    # A state that drifts is none, whatever its curvature.
    looked = (counted.within or not moved) and "curvature" not in leave_out and len(system) >= FEWEST_SAMPLES
    lowest = None
    if looked:
        try:
            lowest = curvature(system, decay, fluctuation=moments.typical(), seed=seed)
        except UndefinedOutputError:
            # There is no curvature at the edge of where the network has an output.
            leave_out = (*leave_out, "curvature")
    found = Evidence(
        moved=moved,
        enough=len(system) >= FEWEST_SAMPLES,
        samples=len(system),
        separated=separated(system, batch_size),
        drift=drift,
        decayed=decayed,
        curvature=lowest,
        trend=None if losses is None else loss_trend(losses, check=check),
        history=losses is not None,
        decoupled=decay.decoupled,
    )
    status, reason = judge(found)
    skipped = tuple(name for name in EVIDENCE if name in leave_out) + (() if losses is not None else ("trend",))
    return Certificate(
        status=status,
        reason=reason + _not_looked_at(leave_out),
        fraction=counted.fraction,
        frozen=moments.frozen_count,
        samples=len(system),
        separated=found.separated,
        drift=drift,
        decayed=decayed,
        curvature=found.curvature,
        trend=found.trend,
        epochs=None if losses is None else len(losses),
        r_hat=None if losses is None else loss_r_hat(losses),
        left_out=skipped,
        tolerance=tolerance,
        exceptions=exceptions,
        moments=moments,
    )


def _not_looked_at(leave_out: Collection[str]) -> str:
    """What the certificate does not know, in words."""
    return f" (not looked at: {', '.join(sorted(leave_out))})" if leave_out else ""


def _drifts(
    system: NeuralSystem, decay: Decay, with_directions: bool, tolerance: float, exceptions: float, batch_size: int
) -> tuple[Moments, Drift, Drift | None]:
    """Moments, drift of the loss alone, and drift with the decay, if there is any."""
    gradients = PerSampleGradients(system, quiet=True, for_sums=True)
    weights = unit_weights(system.parameters)
    gathered = running_moments(gradients, system.boundary(batch_size), weights)
    moments = common_unit(gathered.entries, {name: value.shape for name, value in system.parameters.items()})
    pull = decay.pull(system)
    directions = None
    if with_directions and len(system) >= FEWEST_SAMPLES:
        number = min(DIRECTIONS, len(system) // 4)
        samples = min(batch_size, MODE_SAMPLES)
        directions = principal_directions(gradients, [moments.drift, pull], number=number, samples=samples)
    shared = (moments, gathered.along, directions)
    unit = torch.finfo(torch.float32 if gradients.last_in_single else torch.float64).eps
    criteria = (tolerance, exceptions, 0.0 if is_exact(system.model) else ROUNDING * unit)
    alone = drift_of(*shared, None, weights, *criteria)
    return moments, alone, None if decay.none else drift_of(*shared, pull, weights, *criteria)


@torch.no_grad()
def separated(system: NeuralSystem, batch_size: int) -> bool:
    """Whether every sample is classified correctly: positive margin of a saturating output, or largest output."""
    if not system.loss.class_targets and not getattr(getattr(system.loss, "activation", None), "bounded", False):
        return False
    for x, t in system.boundary(batch_size):
        y, target = system.forward(x, t)
        if isinstance(system.loss, TokenCrossEntropy):
            right = system.loss.all_right(y, target)
        elif system.loss.class_targets:
            right = y.argmax(dim=1) == target
        else:
            right = torch.where(target > 0, 1.0, -1.0) * y > 0
        if not bool(right.all()):
            return False
    return True
