"""Record of a run: all its numbers as plain values, under the names that other programs read."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from critlearn.comparison import Verdict
from critlearn.compositions import Composition
from critlearn.equilibrium import Approach
from critlearn.fluctuations import Fluctuations
from critlearn.inference import PowerLawFit
from critlearn.prediction import Prediction
from critlearn.results import Result, dataframe_of
from critlearn.studies.record_schema import headlines

if TYPE_CHECKING:
    import pandas as pd

_SCATTER: Final = 2000
"""Variables in the figure of drift against fluctuation: more points hide each other and make the record large."""


@dataclass(frozen=True, eq=False, repr=False)
class RunResult(Result):
    """Result of a run: its record, its sketches, and the weights of the network."""

    record: dict[str, Any]
    fluctuations: Fluctuations
    weights: dict[str, Tensor]

    def to_dict(self) -> dict[str, Any]:
        """Record of the run."""
        return self.record

    def summary(self) -> str:
        """Statements on the quantities of the run, one to a line."""
        return "\n".join(headlines(self.record["quantities"]))

    def to_dataframe(self) -> "pd.DataFrame":
        """Row for each quantity: what was measured and what was predicted."""
        kept = ("axis", "count", "zeros", "measured", "predicted", "agreement", "statement")
        return dataframe_of({n: {k: q[k] for k in kept} for n, q in self.record["quantities"].items()})


def quantity_record(axis: str, fit: PowerLawFit, prediction: Prediction | None, verdict: Verdict) -> dict[str, Any]:
    """Record of one quantity: measurement, prediction and their agreement."""
    predicted = None
    if prediction is not None:
        predicted = {**prediction.to_dict(), "exponent_on_measured_window": verdict.predicted_exponent}
    return {
        "axis": axis,
        "count": fit.count,
        "zeros": fit.zeros,
        "measured": fit.to_dict(),
        "predicted": predicted,
        "agreement": verdict.agreement,
        "statement": verdict.statement,
        "curves": {
            "measured": fit.curve.to_dict() if fit.curve else None,
            "predicted": prediction.curve() if prediction else None,
        },
    }


def equilibrium_record(approach: Approach) -> dict[str, Any]:
    """Record of the equilibrium: certificate, losses, and drift against fluctuation of at most 2,000 variables."""
    drift, fluctuation, frozen = approach.moments.flat()
    drift, fluctuation = drift[~frozen].abs(), fluctuation[~frozen]
    every = max(1, -(-len(drift) // _SCATTER))
    # Below e^-700 the unit is no float: the figure then has its numbers in that unit.
    scale = math.exp(approach.moments.log_unit) if approach.moments.log_unit > -700 else 1.0
    return {
        **approach.certificate.to_dict(),
        "losses": list(approach.losses),
        "scatter": {
            "drift": (drift[::every] * scale).tolist(),
            "fluctuation": (fluctuation[::every] * scale).tolist(),
        },
    }


def composition_record(composition: Composition) -> dict[str, Any]:
    """Record of the composition: its name and its exact exponent."""
    return {"name": composition.name, "kappa": composition.asymptotic().to_dict()}


def detached_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """Weights of a model, on the CPU."""
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
