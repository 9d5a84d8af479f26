"""Record of an analysis: all its numbers as plain values, under the names that other programs read."""

import math
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from critlearn.analysis.places import Place
from critlearn.comparison import Verdict
from critlearn.comparison.ladder.distance import distance_from
from critlearn.comparison.ladder.level import explanation, shown_level
from critlearn.compositions.named.resolve import margin_composition
from critlearn.compositions.output_loss import OutputLoss
from critlearn.equilibrium import Certificate
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import Fluctuations
from critlearn.inference import PowerLawFit
from critlearn.numerics.log_sketch import LogSketch

_SCATTER: Final = 2000
"""Variables in the figure of drift against fluctuation: more points hide each other and make the record large."""


def quantity_record(
    name: str, place: Place, fluctuations: Fluctuations, fit: PowerLawFit, verdict: Verdict
) -> dict[str, Any]:
    """Record of one quantity: measurement, prediction and their agreement.

    Parameters
    ----------
    name, place, fluctuations
        The quantity, and what it was measured from.
    fit, verdict
        Its fit, and that held against what was predicted.
    """
    prediction, predicted = verdict.prediction, None
    if prediction is not None:
        predicted = {**prediction.to_dict(), "exponent_on_measured_window": verdict.predicted_exponent}
    return {
        "axis": fluctuations.axis(name),
        "layer": place.layer,
        "kind": place.kind,
        "pool": place.pool,
        "variables": fluctuations.variables[name],
        "count": fit.count,
        "zeros": fit.zeros,
        "measured": fit.to_dict(),
        "predicted": predicted,
        "not_predicted": verdict.not_predicted,
        "prediction_distance": _distance(verdict, fluctuations[name]),
        "agreement": verdict.agreement,
        "ladder": [level.to_dict() for level in verdict.levels],
        "explanation": explanation(verdict.levels) if verdict.levels else None,
        "anatomy": None if verdict.anatomy is None else verdict.anatomy.to_dict(),
        "tail": None if verdict.tail is None else {**verdict.tail.to_dict(), "summary": verdict.tail.summary()},
        "statement": verdict.statement,
        "curves": {
            "measured": fit.curve.to_dict() if fit.curve else None,
            "predicted": None if prediction is None else prediction.curve(),
        },
    }


def _distance(verdict: Verdict, measured: LogSketch) -> float | None:
    """Distance of what is shown as the prediction from what was measured."""
    if verdict.levels:
        return shown_level(verdict.levels).distance
    if verdict.prediction is None or measured.log_range is None:
        return None
    return distance_from(verdict.prediction, measured)


def equilibrium_record(certificate: Certificate, losses: Sequence[float]) -> dict[str, Any]:
    """Record of the equilibrium: certificate, losses, and drift against fluctuation of at most 2,000 variables."""
    moments = certificate.moments
    drift, fluctuation, frozen = moments.flat()
    drift, fluctuation = drift[~frozen].abs(), fluctuation[~frozen]
    every = max(1, -(-len(drift) // _SCATTER))
    # Below e^-700 the unit is no float: the figure then has its numbers in that unit.
    scale = math.exp(moments.log_unit) if moments.log_unit > -700 else 1.0
    return {
        **certificate.to_dict(),
        "losses": list(losses),
        "scatter": {
            "drift": (drift[::every] * scale).tolist(),
            "fluctuation": (fluctuation[::every] * scale).tolist(),
        },
    }


def composition_record(loss: OutputLoss) -> dict[str, Any]:
    """Record of activation and loss: the name, and the exact exponent if their error depends on one number alone."""
    try:
        kappa = margin_composition(loss).asymptotic().to_dict()
    except InvalidInputError:
        kappa = None
    return {"name": loss.name, "kappa": kappa}


def detached_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """Weights of a model, on the CPU; tied ones once under each of their names."""
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
    }
