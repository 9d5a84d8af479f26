"""Outcome of a power-law fit, as a value."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from critlearn.inference.alternatives import Lognormal
from critlearn.inference.local_exponent import LocalExponentCurve
from critlearn.numerics.window import Window


class FitVerdict(StrEnum):
    """What the data say, by stated rules.

    ``power law``: on a window of a decade or more, either the local exponent is constant within the tolerance (basis
    equivalence), or the Kolmogorov-Smirnov test does not reject and no lognormal whose exponent drifts by more than
    twice the tolerance is preferred (basis significance). ``drifting exponent``: such a lognormal is preferred.
    ``rejected``: no window is acceptable, or the given one is not. ``not resolved``: too few fluctuations, less than a
    decade, or an interval wider than 0.25 to each side.
    """

    POWER_LAW = "power law"
    DRIFTING = "drifting exponent"
    REJECTED = "rejected"
    NOT_RESOLVED = "not resolved"


class Basis(StrEnum):
    """What the window rests on."""

    EQUIVALENCE = "equivalence"
    SIGNIFICANCE = "significance"
    GIVEN = "given"
    NONE = "none"


@dataclass(frozen=True)
class PowerLawFit:
    """Power law ``p(delta) ~ delta^-k`` on a window; what does not exist is None.

    Parameters
    ----------
    exponent
        ``k``.
    standard_error, ci95
        By bootstrap over groups of samples.
    naive_standard_error
        By Fisher information, as if all fluctuations were independent.
    window
        Where it was fitted.
    n, retained
        Non-zero fluctuations on the window, and their share of all non-zero ones.
    count, zeros
        All fluctuations, and the exact zeros among them.
    ks, p_value, p_value_error
        Kolmogorov-Smirnov distance, its p-value for the window as if given, and the Monte-Carlo error of that.
    verdict, basis, reason
        Outcome, what the window rests on, and why.
    lognormal, lognormal_whole
        Test against a lognormal on the window, and on the central 99% of all fluctuations.
    curve
        Local exponent over the whole range.
    """

    exponent: float | None
    standard_error: float | None
    naive_standard_error: float | None
    ci95: tuple[float, float] | None
    window: Window | None
    n: int
    retained: float | None
    count: int
    zeros: int
    ks: float | None
    p_value: float | None
    p_value_error: float | None
    verdict: FitVerdict
    basis: Basis
    reason: str
    lognormal: Lognormal | None
    lognormal_whole: Lognormal | None
    curve: LocalExponentCurve | None

    @classmethod
    def without_exponent(
        cls,
        verdict: FitVerdict,
        reason: str,
        whole: Lognormal | None,
        curve: LocalExponentCurve | None,
        *,
        count: int,
        zeros: int,
    ) -> "PowerLawFit":
        """Outcome that has no window, and so no exponent."""
        return cls(
            exponent=None,
            standard_error=None,
            naive_standard_error=None,
            ci95=None,
            window=None,
            n=0,
            retained=None,
            count=count,
            zeros=zeros,
            ks=None,
            p_value=None,
            p_value_error=None,
            verdict=verdict,
            basis=Basis.NONE,
            reason=reason,
            lognormal=None,
            lognormal_whole=whole,
            curve=curve,
        )

    @classmethod
    def unresolved(cls, reason: str, *, count: int, zeros: int) -> "PowerLawFit":
        """Outcome for too little data."""
        return cls.without_exponent(FitVerdict.NOT_RESOLVED, reason, None, None, count=count, zeros=zeros)

    @property
    def window_is_partial(self) -> bool:
        """Whether a lognormal fits the whole range better, and the window leaves out over a tenth of it."""
        whole = self.lognormal_whole
        return whole is not None and whole.preferred and (self.retained or 0.0) < 0.9

    def to_dict(self) -> dict[str, Any]:
        """Plain values, by the names that other programs read."""
        return {
            "exponent": self.exponent,
            "stderr": self.standard_error,
            "naive_stderr": self.naive_standard_error,
            "ci95": list(self.ci95) if self.ci95 else None,
            "window": [self.window.lo, self.window.hi] if self.window else None,
            "log_window": [self.window.log_lo, self.window.log_hi] if self.window else None,
            "decades": self.window.decades if self.window else None,
            "n": self.n,
            "retained": self.retained,
            "ks": self.ks,
            "p_value": self.p_value,
            "p_value_error": self.p_value_error,
            "verdict": str(self.verdict),
            "basis": str(self.basis),
            "reason": self.reason,
            "lognormal": self.lognormal.to_dict() if self.lognormal else None,
            "lognormal_whole": self.lognormal_whole.to_dict() if self.lognormal_whole else None,
        }

    def summary(self) -> str:
        """One line, e.g. ``delta^-1.01 [0.99, 1.03] over 4.2 decades (power law: ...)``."""
        if self.exponent is None or self.window is None or self.ci95 is None:
            return f"{self.verdict}: {self.reason}"
        low, high = self.ci95
        value = f"delta^-{self.exponent:.2f} [{low:.2f}, {high:.2f}] over {self.window.decades:.1f} decades"
        return f"{value} ({self.verdict}: {self.reason})"
