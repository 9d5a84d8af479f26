"""Paragraph on methods for a paper, made of the numbers of an analysis."""

from collections.abc import Mapping
from typing import Any

from critlearn.analysis.table import outcome_of
from critlearn.comparison.agreement import Agreement
from critlearn.comparison.criteria import DISTANCE, LEVEL, MARGIN
from critlearn.numerics.notation import LAW_GRADES


def methods_of(record: Mapping[str, Any]) -> str:
    """What was done, in sentences with the numbers of a record: state, measurement, fits, predictions, versions."""
    return " ".join(
        sentence
        for sentence in (_network(record), _state(record), _measurement(record), _fits(record), _predictions(record))
        if sentence
    )


def _network(record: Mapping[str, Any]) -> str:
    right = "" if record["accuracy"] is None else f" (accuracy {record['accuracy']:.1%})"
    return f"We analysed a network with the loss {record['composition']['name']} on {record['data']}{right}."


def _state(record: Mapping[str, Any]) -> str:
    equilibrium = record["equilibrium"]
    reached = "" if equilibrium["epochs"] is None else f" after {equilibrium['epochs']} epochs"
    decided = "was certified to be" if equilibrium["certified"] else "was not certified to be"
    found = f"{equilibrium['status']}: {equilibrium['reason']}"
    samples, tolerance, frozen = (equilibrium[name] for name in ("samples", "tolerance", "frozen"))
    return (
        f"The state{reached} {decided} a local learning equilibrium ({found}). The drift of a trainable variable, the "
        f"mean of its changes over the {samples:,} samples, counts as small if it is at most {tolerance:g} of their "
        f"standard deviation; {frozen:,} variables that no sample moves were left out."
    )


def _measurement(record: Mapping[str, Any]) -> str:
    floor = record["resolution_floor"]
    below = (
        "no fluctuation was lost to rounding"
        if floor is None
        else f"those below exp({floor:.1f}), the resolution of the floating-point arithmetic, were kept out of the fits"
    )
    return (
        "The fluctuation of a variable is its change under the gradient of one sample at unit learning rate. The "
        f"fluctuations of all samples were counted by the logarithm of their size, in bins of about 1%; {below} "
        f"(reference: {record['floor_reference']})."
    )


def _fits(record: Mapping[str, Any]) -> str:
    fitted = [quantity["measured"] for quantity in record["quantities"].values()]
    found = sum(measured["exponent"] is not None for measured in fitted)
    graded = sum(measured["verdict"] in LAW_GRADES for measured in fitted)
    return (
        "Exponents k of the density p(|δq|) ~ |δq|^-k were estimated by maximum likelihood on a window between two "
        "finite ends, which was searched for; 95% intervals come from a bootstrap over groups of samples. "
        f"Of {len(fitted)} quantities, {found} have an exponent on a window, and {graded} of these were graded as "
        "power laws against lognormal, stretched exponential, mixed and drifting alternatives."
    )


def _predictions(record: Mapping[str, Any]) -> str:
    predicted = [quantity for quantity in record["quantities"].values() if quantity["predicted"] is not None]
    made_by = f"critlearn {record['versions']['critlearn']}, torch {record['versions'].get('torch', 'unknown')}"
    if not predicted:
        return f"Computed with {made_by}."
    outcomes = [outcome_of(quantity) for quantity in predicted]
    agree, differ = (outcomes.count(outcome) for outcome in (Agreement.AGREES, Agreement.DISAGREES))
    return (
        f"For {len(predicted)} quantities the density was predicted from the composition of activation and loss, the "
        "margins of the samples, and the path factors of other samples, taken to be independent. Predictions from "
        "either half of the samples were held against the other: a prediction agrees if the Kolmogorov-Smirnov "
        f"distance is at most {DISTANCE:g} and its exponent on the measured window is off by at most {MARGIN:g}, each "
        f"for certain at the level of {LEVEL:.0%}. {agree} agree, {differ} disagree, and "
        f"{len(predicted) - agree - differ} cannot be told. Computed with {made_by}."
    )
