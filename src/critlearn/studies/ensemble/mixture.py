"""Prediction for the pooled fluctuations of several networks: the mean of their predicted densities."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from critlearn.numerics.log_sketch import BIN_WIDTH
from critlearn.prediction import Prediction
from critlearn.prediction.prediction import with_limits
from critlearn.prediction.push_forward.push_forward import PushForward
from critlearn.prediction.scaling_window import Limit


def mixed_prediction(quantities: Sequence[Mapping[str, Any]]) -> Prediction | str:
    """Prediction for what is pooled of one quantity, or the reason why there is none.

    The local exponent of a mixture is the mean of its parts' local exponents, weighted by their densities.

    Parameters
    ----------
    quantities
        Records of the quantity in each network, with the curves of their predictions.
    """
    for quantity in quantities:
        if quantity["predicted"] is None:
            return str(quantity["not_predicted"])
    curves = [
        {name: np.array(values, dtype=np.float64) for name, values in quantity["curves"]["predicted"].items()}
        for quantity in quantities
    ]
    ends = [curve["log_delta"] for curve in curves]
    first, stop = (round(end / BIN_WIDTH) for end in (min(map(np.min, ends)), max(map(np.max, ends))))
    edges = (first + np.arange(max(stop - first, 3) + 1)) * BIN_WIDTH
    centres = 0.5 * (edges[1:] + edges[:-1])
    zeros = [quantity["predicted"]["zeros"] for quantity in quantities]
    parts = np.stack([_mass(curve, centres) * (1 - zero) for curve, zero in zip(curves, zeros, strict=True)])
    local = np.stack([_interpolated(curve, "exponent", centres) for curve in curves])
    mass = parts.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        exponent = np.where(parts > 0, parts * local, 0.0).sum(axis=0) / parts.sum(axis=0)
    mixture = PushForward(edges, mass, exponent, (), zeros=float(np.mean(zeros)))
    exact = {(quantity["predicted"]["exponent"], quantity["predicted"]["exact"]) for quantity in quantities}
    limits = [Limit(value, text) for value, text in exact if text is not None]
    one = quantities[0]["predicted"]
    source = f"the mean of {len(quantities)} seeds, the first of them {one['source']}"
    return with_limits(mixture, limits, one["tolerance"], source)


def _interpolated(
    curve: Mapping[str, np.ndarray], name: str, centres: Float64[np.ndarray, " bin"]
) -> Float64[np.ndarray, " bin"]:
    """Values of a curve between its points, without those that are not known."""
    known = np.isfinite(curve[name])
    return (
        np.interp(centres, curve["log_delta"][known], curve[name][known])
        if known.any()
        else np.full_like(centres, np.nan)
    )


def _mass(curve: Mapping[str, np.ndarray], centres: Float64[np.ndarray, " bin"]) -> Float64[np.ndarray, " bin"]:
    """Probability of each bin by the density of a curve, which is none outside of it."""
    density = np.exp(np.where(np.isfinite(curve["log_density"]), curve["log_density"], -np.inf))
    mass = np.interp(centres, curve["log_delta"], density, left=0.0, right=0.0)
    return mass / max(mass.sum(), np.finfo(np.float64).tiny)
