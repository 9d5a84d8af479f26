"""Verdict: a measured power law held against a predicted distribution, on the window of the measurement."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from critlearn.comparison.agreement import Agreement, Bounds, standard_error
from critlearn.comparison.criteria import MARGIN
from critlearn.comparison.ladder.anatomy import Anatomy
from critlearn.comparison.ladder.factors import NO_PATH
from critlearn.comparison.ladder.ladder import Ladder
from critlearn.comparison.ladder.level import Level, explanation, shown_level
from critlearn.comparison.ladder.tail_theorem import TailTheorem
from critlearn.comparison.predicted_exponent import predicted_on
from critlearn.errors import InvalidInputError
from critlearn.inference import Grade, PowerLawFit
from critlearn.numerics.notation import estimate_text, law_text
from critlearn.prediction import Prediction
from critlearn.results import Result

if TYPE_CHECKING:
    from critlearn.equilibrium import Status


@dataclass(frozen=True, repr=False)
class Verdict(Result):
    """Verdict on a measurement and its prediction: whether they agree, and a sentence that says so.

    Parameters
    ----------
    agreement
        Outcome; None without a prediction or a window.
    predicted_exponent
        Exponent of a fit of the predicted density on the *measured* window; None without a prediction or a window.
    statement
        The verdict as a sentence.
    prediction
        What was predicted; of a ladder, by the lowest level that suffices, or else by the highest that is a prediction.
    levels
        Levels of the ladder, if there is one.
    anatomy
        Contributions to the measured exponent, if there is a ladder and an exponent.
    tail
        Tail theorem of the quantity, if there is a ladder and a tail.
    not_predicted
        Reason why there is no prediction.
    """

    bulky_fields = ("prediction",)

    agreement: Agreement | None
    predicted_exponent: float | None
    statement: str
    prediction: Prediction | None = None
    levels: tuple[Level, ...] = ()
    anatomy: Anatomy | None = None
    tail: TailTheorem | None = None
    not_predicted: str | None = None

    def summary(self) -> str:
        """Return the statement."""
        return self.statement


def compare(subject: str, fit: PowerLawFit, prediction: Prediction | None, *, state: "Status | None" = None) -> Verdict:
    """Compare a measured power law with a prediction.

    Both exponents are taken on the measured window, because a local exponent that drifts has another value on any other
    window. They agree if their difference is at most `MARGIN` for certain, that is within the error of the measurement,
    and disagree if it is larger for certain (theory, verdict). Where a power law with cut-off was measured, one is
    fitted to the prediction, too, from the same lower end on.

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
    cut_off = fit.cutoff is not None
    here = None if fit.window is None else predicted_on(prediction.distribution, fit.window, cutoff=cut_off)
    if fit.exponent is None or fit.ci95 is None or here is None:
        told = f"{measured}; predicted {prediction.summary()}; not compared."
        return Verdict(None, here, told, prediction)
    bounds = Bounds.of_error(here - fit.exponent, standard_error(fit.ci95))
    outcome = bounds.agreement(MARGIN)
    word = "cannot tell whether they agree" if outcome is Agreement.CANNOT_TELL else outcome.value
    return Verdict(outcome, here, f"{measured}; predicted {_predicted(prediction, here)}; {word}.", prediction)


def explain(subject: str, name: str, fit: PowerLawFit, ladder: Ladder, *, state: "Status | None" = None) -> Verdict:
    """Hold a measurement against the levels of a ladder; the verdict is that of the lowest one that suffices.

    Parameters
    ----------
    subject
        What fluctuates, e.g. ``the output bias``.
    name
        Name of the quantity.
    fit
        The fit to it.
    ladder
        Predictions of the network.
    state
        Status of the network's certificate, if it has one: where that is no equilibrium, the sentence begins with it.
    """
    measured = f"{_opening(state)}luctuations of {subject} {_measured(fit)}"
    try:
        levels = ladder.levels(name, fit)
        if not levels:
            return Verdict(None, None, f"{measured}.", not_predicted=NO_PATH)
        shown = shown_level(levels)
        prediction, anatomy = ladder.prediction(name, shown.level), ladder.anatomy(name, fit)
        tail = ladder.tail(name)
    except InvalidInputError as problem:
        # Of one quantity, or one half of the samples: the measurement stands without it.
        return Verdict(None, None, f"{measured}.", not_predicted=str(problem))
    here = "" if shown.exponent is None else f" ({_predicted(prediction, shown.exponent)})"
    told = f"{measured}; {explanation(levels)}{here}."
    return Verdict(shown.agreement, shown.exponent, told, prediction, levels, anatomy, tail)


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
