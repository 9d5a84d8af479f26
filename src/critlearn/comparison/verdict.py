"""Verdict: a measured power law held against a predicted distribution, on the window of the measurement."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from critlearn.comparison.criteria import LEAST_PREDICTED_SHARE, MARGIN, WIDEST_INTERVAL
from critlearn.inference import Grade, PowerLawFit, cutoff_exponent_on, exponent_on
from critlearn.numerics.notation import estimate_text, law_text
from critlearn.prediction import Prediction
from critlearn.results import Result

if TYPE_CHECKING:
    from critlearn.equilibrium import Status


@dataclass(frozen=True, repr=False)
class Verdict(Result):
    """Verdict on a measured exponent and a predicted one: whether they agree, and a sentence that says so.

    Parameters
    ----------
    agreement
        True, False, or None where the question is not decided.
    predicted_exponent
        Exponent of a fit of the predicted density on the *measured* window; None without a prediction or a window.
    statement
        The verdict as a sentence.
    """

    agreement: bool | None
    predicted_exponent: float | None
    statement: str

    def summary(self) -> str:
        """Return the statement."""
        return self.statement


def compare(subject: str, fit: PowerLawFit, prediction: Prediction | None, *, state: "Status | None" = None) -> Verdict:
    """Compare a measured power law with a prediction.

    Both exponents are taken on the measured window, because a local exponent that drifts has another value on any other
    window. They agree if they differ by at most `MARGIN` plus the half-width of the measured 95% interval. An interval
    of half-width above `WIDEST_INTERVAL` decides nothing, nor does a fit whose grade is neither a power law nor
    compatible with one (theory, verdict). Where a power law with cut-off was measured, one is fitted to the prediction,
    too, from the same lower end on.

    Parameters
    ----------
    subject
        What fluctuates, e.g. ``the output bias``.
    fit
        The measurement.
    prediction
        The prediction; None where there is none.
    state
        Status of the network's certificate, if it has one: where that is no equilibrium, the sentence begins with it.
    """
    measured = f"{_opening(state)}luctuations of {subject} {_measured(fit)}"
    if prediction is None:
        return Verdict(None, None, f"{measured}.")
    here = _predicted_on(prediction, fit)
    if fit.exponent is None or fit.ci95 is None or here is None:
        return Verdict(None, here, f"{measured}; predicted {prediction.summary()}; not decided.")
    if not (fit.established or fit.grade is Grade.COMPATIBLE):
        return Verdict(None, here, f"{measured}; predicted {_predicted(prediction, here)}; not decided.")
    # A wide interval would agree with any prediction, so it decides nothing.
    agreement, half_width = None, 0.5 * (fit.ci95[1] - fit.ci95[0])
    if half_width <= WIDEST_INTERVAL:
        agreement = abs(fit.exponent - here) <= MARGIN + half_width
    word = {True: "consistent", False: "inconsistent", None: "not decided: the interval is too wide"}[agreement]
    return Verdict(agreement, here, f"{measured}; predicted {_predicted(prediction, here)}; {word}.")


def _opening(state: "Status | None") -> str:
    """Begin the sentence: with what the state is, unless it is an equilibrium."""
    if state is None or state.certified:
        return "F"
    words = state.words
    return f"{words[0].upper()}{words[1:]}, not at equilibrium: f"


def _measured(fit: PowerLawFit) -> str:
    """Describe the measurement in words; a power law is claimed only if the fit is graded one."""
    if fit.exponent is None or fit.window is None or fit.ci95 is None:
        return f"follow no power law that could be established ({fit.grade}: {fit.reason})"
    decades = f"over {fit.window.decades:.1f} decades"
    if fit.grade is Grade.DRIFTING:
        around = f"the exponent drifts around {estimate_text(fit.exponent, fit.ci95)} {decades}"
        return f"follow no single power law: {around} ({fit.reason})"
    if fit.grade is Grade.COMPATIBLE:
        law = law_text("delta", fit.exponent, fit.ci95)
        ends = "" if fit.cutoff is None else f", with a cut-off at {fit.cutoff.scale:.3g}"
        return f"are compatible with {law} {decades}{ends} ({fit.reason})"
    if not fit.established:
        nearest = f"the nearest has the exponent {estimate_text(fit.exponent, fit.ci95)} {decades}"
        return f"follow no power law that could be established: {nearest} ({fit.grade}: {fit.reason})"
    text = f"follow {law_text('delta', fit.exponent, fit.ci95)} {decades}"
    if fit.cutoff is not None:
        text += f", with a cut-off at {fit.cutoff.scale:.3g}"
    return f"{text} (a lognormal fits the whole range better)" if fit.window_is_partial else text


def _predicted(prediction: Prediction, here: float) -> str:
    """Predicted exponent on the measured window in words, with the exact limit if it is within the margin of it."""
    if prediction.exact is not None and prediction.exponent is not None and abs(prediction.exponent - here) <= MARGIN:
        return f"{prediction.exact} ({here:.2f} on this window)"
    return f"{here:.2f} on this window"


def _predicted_on(prediction: Prediction, fit: PowerLawFit) -> float | None:
    """Fit the predicted distribution where and as the data were; None if too little probability lies there."""
    window = fit.window
    if window is None:
        return None
    # The fit of a predicted distribution takes bins of one width, as the sketches of measurements have.
    distribution = prediction.distribution.even()
    inside = (distribution.centres > window.log_lo) & (distribution.centres < window.log_hi)
    if distribution.mass[inside].sum() < LEAST_PREDICTED_SHARE or np.count_nonzero(distribution.mass[inside]) < 3:
        return None
    if fit.cutoff is not None:
        return cutoff_exponent_on(distribution.edges, distribution.mass, window.log_lo)
    return exponent_on(distribution.edges, distribution.mass, window)
