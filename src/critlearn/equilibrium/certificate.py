"""Certificate of local learning equilibrium: what a state of a network is, the evidence, and what to do."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from critlearn.equilibrium.coherence import Drift
from critlearn.equilibrium.criteria import HOLDING
from critlearn.equilibrium.curvature import Curvature
from critlearn.equilibrium.moments import Moments
from critlearn.equilibrium.trend import Trend
from critlearn.results import Result


class Status(StrEnum):
    """What a state of a network is; the first two are equilibria."""

    EQUILIBRIUM = "EQUILIBRIUM"
    HELD_BY_DECAY = "HELD_BY_DECAY"
    SEPARABLE = "SEPARABLE"
    SADDLE = "SADDLE"
    DRIFTING = "DRIFTING"
    NOT_STATIONARY = "NOT_STATIONARY"
    TOO_FEW = "TOO_FEW"

    @property
    def words(self) -> str:
        """The status as a sentence begins with it."""
        return _WORDS[self]

    @property
    def advice(self) -> str:
        """What to do about it."""
        return _ADVICE[self]

    @property
    def certified(self) -> bool:
        """Whether it is an equilibrium: of the loss, or of loss and weight decay together."""
        return self in (Status.EQUILIBRIUM, Status.HELD_BY_DECAY)


_WORDS: Final = {
    Status.EQUILIBRIUM: "at equilibrium",
    Status.HELD_BY_DECAY: "held by weight decay",
    Status.SEPARABLE: "separable",
    Status.SADDLE: "at a saddle",
    Status.DRIFTING: "drifting",
    Status.NOT_STATIONARY: "not stationary",
    Status.TOO_FEW: "too few samples",
}

_ADVICE: Final = {
    Status.EQUILIBRIUM: "exponents are those of a learning equilibrium",
    Status.HELD_BY_DECAY: "exponents are those of loss and decay together, and move with the decay",
    Status.SEPARABLE: "data that the network separates have no equilibrium of their own: use weight decay, or more of "
    "it (--weight-decay), and tell it, or use data that overlap",
    Status.SADDLE: "train on, or from larger initial weights",
    Status.DRIFTING: "train on, and tell the weight decay if there was any",
    Status.NOT_STATIONARY: "train on",
    Status.TOO_FEW: "certify on more samples",
}


_ALL_RIGHT: Final = "every sample is on the right side, so that the data hold no weights"


@dataclass(frozen=True, repr=False)
class Certificate(Result):
    """Certificate that a system is, or is not, at local learning equilibrium, with the evidence.

    Parameters
    ----------
    status
        What the state is.
    reason
        The same in a sentence that says why.
    fraction
        Share of variables with ``|D| <= tolerance * S`` among those that are not frozen; D includes the decay
        that was told.
    frozen
        Number of variables that no sample moves, which are excluded.
    samples
        Number of samples.
    separated
        Whether every sample is on the right side of an output that saturates.
    drift
        Drift of the loss alone, of variables and along directions.
    decayed
        Drift with the weight decay; None if there is none.
    curvature
        Curvature of the loss and what lies along it; None if it was not looked at.
    trend
        Trend of the loss; None without a history of at least 60 epochs.
    epochs, r_hat
        Epochs of the history, and split R-hat of its last losses, which decides nothing; None without a history.
    left_out
        What was not looked at: ``curvature``, ``directions``, ``trend``.
    tolerance, exceptions
        Criteria that were used.
    moments
        Drift and fluctuation of every variable.
    """

    derived_values: ClassVar[tuple[str, ...]] = ("certified",)
    bulky_fields: ClassVar[tuple[str, ...]] = ("moments",)

    status: Status
    reason: str
    fraction: float
    frozen: int
    samples: int
    separated: bool
    drift: Drift
    decayed: Drift | None
    curvature: Curvature | None
    trend: Trend | None
    epochs: int | None
    r_hat: float | None
    left_out: tuple[str, ...]
    tolerance: float
    exceptions: float
    moments: Moments

    @property
    def certified(self) -> bool:
        """Whether the system is at equilibrium, of the loss or of loss and weight decay together."""
        return self.status.certified

    def summary(self) -> str:
        """Status, reason, and what to do."""
        return f"{self.status.words}: {self.reason}; {self.status.advice}"


@dataclass(frozen=True)
class Evidence:
    """What was measured of a state, from which `judge` concludes.

    Parameters are those of `Certificate`; ``moved`` is whether any sample moves any variable, ``enough`` whether there
    are enough samples, ``decoupled`` whether the decay shrinks with the gradients.
    """

    moved: bool
    enough: bool
    samples: int
    separated: bool
    drift: Drift
    decayed: Drift | None
    curvature: Curvature | None
    trend: Trend | None
    history: bool
    decoupled: bool = False


def judge(found: Evidence) -> tuple[Status, str]:
    """Status of a state and the reason, from what was measured.

    Drift comes first: a state that drifts is none, wherever it drifts to. Where decay was told the drift of
    loss and decay together counts. Decoupled decay holds no separated data, wherever they are. Then the way down, which
    tells a saddle from a minimum, and the trend.
    Source: theory, equilibrium that cannot be fooled.
    """
    curvature, trend = found.curvature, found.trend
    if not found.moved and curvature is not None and curvature.way_down:
        return Status.SADDLE, f"no sample moves any trainable variable, but {curvature.summary()}"
    if not found.moved:
        return Status.TOO_FEW, "no sample moves any trainable variable, so that there is nothing to judge"
    if not found.enough:
        return Status.TOO_FEW, f"{found.samples} samples are too few to tell drift from chance"
    # Decay that was told is part of the drift, whether the loss alone would drift or not.
    drift = found.drift if found.decayed is None else found.decayed
    if not drift.within:
        return _drifting(found, drift)
    held = _held(found)
    if held and found.separated and found.decoupled:
        # AdamW's: the loss falls tenfold while both balance, and where it ends depends on the batch.
        return Status.SEPARABLE, f"{_ALL_RIGHT}; weight decay holds them back, but shrinks with the gradients"
    if curvature is not None and curvature.way_down:
        status = Status.SADDLE if curvature.saddle else Status.DRIFTING
        return status, f"the drift is small, but {curvature.summary()}"
    if found.history and (trend is None or not trend.stationary):
        moving = "the history of the loss is too short" if trend is None else trend.summary()
        return Status.NOT_STATIONARY, moving
    shown = [drift.summary(), *(part.summary() for part in (curvature, trend) if part is not None)]
    if held:
        shown.append("without the decay the loss would drift" + ", as the data are separable" * found.separated)
    return Status.HELD_BY_DECAY if held else Status.EQUILIBRIUM, ", ".join(shown)


def _held(found: Evidence) -> bool:
    """Whether decay balances a drift of the loss: too large a one, or half of that along a direction."""
    if found.decayed is None:
        return False
    pairs = zip(found.drift.pulls, found.decayed.pulls, strict=True)
    balanced = (
        alone.ratio > HOLDING * found.drift.tolerance and both.ratio < HOLDING * alone.ratio for alone, both in pairs
    )
    return not found.drift.within or any(balanced)


def _drifting(found: Evidence, drift: Drift) -> tuple[Status, str]:
    """Separable, if every sample is on the right side and pulls along the weights; drifting otherwise."""
    if found.separated:
        return Status.SEPARABLE, f"{_ALL_RIGHT}: {drift.reasons[-1]}"
    return Status.DRIFTING, drift.reasons[0]
