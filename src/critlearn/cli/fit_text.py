"""The screen of ``critlearn fit``: a fit as lines of text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from critlearn.numerics.notation import interval_text

if TYPE_CHECKING:
    from critlearn.inference import PowerLawFit


def fit_text(fit: "PowerLawFit", hints: Sequence[str] = (), plot: Path | None = None) -> str:
    """One screen: the sentence, the numbers behind it, the alternatives.

    Parameters
    ----------
    fit
        The fit.
    hints
        What one might do next.
    plot
        Where it was drawn.
    """
    lines = [
        fit.summary(),
        *estimate_lines(fit.to_dict()),
        *_numbers(fit),
        *_choices(fit),
        *_left_out(fit),
        *_rivals(fit),
    ]
    lines += [f"hint         {hint}" for hint in [*hints, *data_hints(fit.to_dict())]]
    return "\n".join(lines if plot is None else [*lines, f"plot         {plot}"])


def estimate_lines(record: Mapping[str, Any]) -> list[str]:
    """Both intervals, drift, cut-off, rivals and missing values of a fit, each in a line where it is known.

    Parameters
    ----------
    record
        The fit as `PowerLawFit.to_dict` gives it.

    >>> estimate_lines({"exponent": 1.5, "ci95": [1.48, 1.52], "ci95_total": [1.4, 1.6], "drift": 0.1, "needed": 900})
    ['estimate     1.500 [1.48, 1.52] statistical, [1.40, 1.60] with the systematic part', \
'drift        +0.1 of the exponent over the window', 'needed       some 900 values would decide']
    """
    lines = []
    exponent, total, drift = record.get("exponent"), record.get("ci95_total"), record.get("drift")
    if exponent is not None and total is not None:
        statistical = interval_text(*record["ci95"])
        text = f"{exponent:.3f} {statistical} statistical, {interval_text(*total)} with the systematic part"
        lines.append(f"estimate     {text}")
    if drift is not None:
        error = record.get("drift_stderr")
        lines.append(f"drift        {drift:+.2g}{_error(error)} of the exponent over the window")
    cutoff = record.get("cutoff")
    if cutoff is not None:
        scale = f"scale {cutoff['scale']:.4g}{_error(cutoff['scale_stderr'])}"
        lines.append(f"cut-off      {scale}, k = {cutoff['exponent']:.3f}{_error(cutoff['exponent_stderr'])}")
    if record.get("rivals"):
        lines.append(f"as good      {', '.join(record['rivals'])}")
    if record.get("needed") is not None:
        lines.append(f"needed       some {record['needed']:,} values would decide")
    return lines


def data_hints(record: Mapping[str, Any]) -> list[str]:
    """What was noticed in the data, and the options for it.

    Parameters
    ----------
    record
        The fit as `PowerLawFit.to_dict` gives it.

    >>> data_hints({"heaped_digits": 2})
    ['many values are rounded to 2 significant digits, which is taken for binning']
    """
    hints = []
    digits, neighbours = record.get("heaped_digits"), record.get("autocorrelation_time")
    if digits is not None:
        noun = "digit" if digits == 1 else "digits"
        hints.append(f"many values are rounded to {digits} significant {noun}, which is taken for binning")
    if neighbours is not None:
        hints.append(
            f"values depend on their neighbours, {neighbours:.3g} of which are worth one: errors are over blocks; "
            "--block sets their length, --cluster what belongs together"
        )
    return hints


def _error(error: float | None) -> str:
    return "" if error is None else f" +- {error:.2g}"


def _numbers(fit: "PowerLawFit") -> list[str]:
    """Window, errors and test of the fit."""
    if fit.window is None or fit.standard_error is None or fit.naive_standard_error is None:
        return []
    repeated = "search repeated" if fit.selection_repeated else "window as it is"
    return [
        f"window       {fit.window.summary()}, {fit.n} of {fit.count} values ({fit.retained:.1%} kept)",
        f"error        {fit.standard_error:.3g} (naive {fit.naive_standard_error:.3g}, "
        f"selection {fit.selection_error or 0.0:.2g}; {fit.effective_n:.0f} effective values)",
        f"KS           {fit.ks:.3g}, p = {fit.p_value:.3g} +- {fit.p_value_error:.2g} ({repeated})",
    ]


def _choices(fit: "PowerLawFit") -> list[str]:
    """Windows by the two criteria."""
    found = (("equivalence", fit.equivalence), ("significance", fit.significance))
    return [
        f"{name:<12} k = {choice.exponent:.3f} +- {choice.standard_error:.2g} on {choice.window.summary()}"
        for name, choice in found
        if choice is not None
    ]


def _left_out(fit: "PowerLawFit") -> list[str]:
    """Values that are no part of the fit, in one line if there are any."""
    left = {"exact zeros": fit.zeros, "NaN or infinite": fit.omitted, "below the floor": fit.below_floor}
    counted = ", ".join(f"{count} {name}" for name, count in left.items() if count)
    return [f"left out     {counted}"] if counted else []


def _rivals(fit: "PowerLawFit") -> list[str]:
    """Alternatives on the window, and the law of all values that does best there."""
    lines = []
    for item in fit.alternatives:
        p_value = "" if item.p_value is None else f", p = {item.p_value:.2g}"
        test = f"{item.test} {item.statistic:+.2f}{p_value}"
        lines.append(f"{item.name:<24} {test:<40} AIC gain {item.aic_gain:+.1f}  {item.preferred}")
    if fit.rival is not None:
        name = f"{fit.rival.name} of all values"
        lines.append(f"{name:<65} BIC gain {fit.rival.bic_gain:+.1f}  on the window")
    return lines
