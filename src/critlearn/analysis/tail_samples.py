"""Samples that make the tail: which data points fluctuate most, in which layers, and whose labels are doubtful."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from critlearn.analysis.batches import batch_size
from critlearn.analysis.sides import margins_of, on_right_side
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import Fluctuations, Quantities
from critlearn.fluctuations.accumulation.drawn import DrawnGradients
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.grad_sample.protocol import WRITTEN_OUT, VariableGradients
from critlearn.fluctuations.grad_sample.rules.plan import layer_of
from critlearn.network import NeuralSystem
from critlearn.network.batches.model_inputs import Inputs
from critlearn.numerics.validation import check_integer

LARGEST: Final = 0.01
"""Share of a layer's fluctuations that count as its largest ones."""

DRAWN: Final = 1000
"""Entries of each variable that are looked at: a share is known to a few percent then, at the cost of a pass."""


def tail_samples(system: NeuralSystem, fluctuations: Fluctuations, number: int, *, seed: int = 0) -> pd.DataFrame:
    """Samples with the largest share of the largest fluctuations of all layers.

    Parameters
    ----------
    system
        Network, loss and data set.
    fluctuations
        What was measured of it: it says how large the largest hundredth of each layer's fluctuations is.
    number
        Number of samples.
    seed
        Decides which entries of large variables are looked at.

    Returns
    -------
    pandas.DataFrame
        Row for each sample, that with the largest share first: ``sample``, its number; ``margin``, how far it is on the
        right side, missing where there are no sides; ``loss``; ``size``, root mean square of its fluctuations;
        ``share`` of the largest hundredth of all layers' fluctuations, each layer counting the same; ``suspect``,
        whether it is on the wrong side, so that its label may be, missing where there are no sides; and the share of
        each layer, by its name.

    Raises
    ------
    InvalidInputError
        If the number is not positive, or the fluctuations are those of another network.
    """
    check_integer("number of samples", number)
    if fluctuations.over != "samples":
        raise InvalidInputError(
            'contributions of positions were measured: samples need a measurement without axis="position"'
        )
    if number < 1:
        raise InvalidInputError(f"the number of samples must be at least 1; got {number}")
    names = {name: value.numel() for name, value in system.parameters.items() if name in fluctuations}
    thresholds = _thresholds(names, fluctuations)
    if not thresholds:
        raise InvalidInputError("the fluctuations are not those of this network, or all are zero")
    drawn = Quantities(variables=DRAWN, seed=seed).drawn(names)
    gradients = DrawnGradients(PerSampleGradients(system, quiet=True, only=names), drawn)
    parts = [_of_batch(system, gradients, x, t, thresholds, names) for x, t in system.boundary(batch_size(system))]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    layers = list(dict.fromkeys(layer_of(name) for name in thresholds))
    shares = {}
    for layer in layers:
        counts = columns.pop(f"largest {layer}")
        shares[layer or "network"] = counts / max(1.0, counts.sum())
    table = pd.DataFrame({"sample": np.arange(len(columns["loss"])), **columns})
    table["share"] = np.mean(list(shares.values()), axis=0)
    suspect = table.pop("suspect")
    # Where there are no sides, nothing is known, which is not "no".
    table["suspect"] = None if suspect.isna().any() else suspect > 0
    table = pd.concat([table, pd.DataFrame(shares)], axis=1)
    return table.sort_values(["share", "loss"], ascending=False, ignore_index=True).head(number)


def _thresholds(names: Mapping[str, int], fluctuations: Fluctuations) -> dict[str, float]:
    """Logarithm of the size from which on a fluctuation of a variable is one of the largest of its layer."""
    found = {}
    for name in names:
        layer = layer_of(name)
        sketch = fluctuations[layer if layer in fluctuations else name]
        if sketch.log_range is not None:
            # The share is one of all fluctuations, of which some are zero.
            moved = (sketch.count - sketch.zeros) / sketch.count
            found[name] = sketch.quantile(max(0.0, 1.0 - LARGEST / moved))
    return found


def _of_batch(
    system: NeuralSystem,
    gradients: DrawnGradients,
    x: Inputs,
    t: Tensor,
    thresholds: Mapping[str, float],
    names: Mapping[str, int],
) -> dict[str, Float64[np.ndarray, " sample"]]:
    """Margin, loss and size of the samples of a batch, and how many of each layer's largest fluctuations are theirs."""
    with torch.no_grad():
        y, target = system.forward(x, t)
        margins, sides = margins_of(system.loss, y, target), on_right_side(system.loss, y, target)
        loss = system.loss.value(y, target).detach().double().reshape(len(t), -1).sum(dim=1)
    squares = torch.full((len(t),), -math.inf, dtype=torch.float64)
    layers = dict.fromkeys(layer_of(name) for name in thresholds)
    largest = {layer: torch.zeros(len(t), dtype=torch.float64) for layer in layers}
    for item in gradients.batch(x, t):
        # A drawn entry stands for as many as were not drawn.
        weight = names[item.name] / gradients.sizes[item.name]
        for rows, logs in _pieces(item):
            squares[rows] = torch.logaddexp(squares[rows], (2 * logs).logsumexp(dim=1) + math.log(weight))
            if item.name in thresholds:
                beyond = (logs > thresholds[item.name]).sum(dim=1).double()
                largest[layer_of(item.name)][rows] += weight * beyond
    size = (0.5 * (squares - math.log(sum(names.values())))).exp()
    missing = torch.full((len(t),), math.nan, dtype=torch.float64)
    return {
        "margin": (missing if margins is None else margins.double()).cpu().numpy(),
        "suspect": (missing if sides is None else (~sides).double()).cpu().numpy(),
        "loss": loss.cpu().numpy(),
        "size": size.numpy(),
        **{f"largest {layer}": counts.numpy() for layer, counts in largest.items()},
    }


def _pieces(item: VariableGradients) -> list[tuple[Tensor, Tensor]]:
    """Positions of samples in the batch, with the logarithms of their changes."""
    pieces = []
    for rows in item.grad_sample.runs(WRITTEN_OUT, item.log_scale.device):
        logs = item.grad_sample.select(rows).entries().logs()[0] + item.log_scale[rows][:, None]
        pieces.append(((rows + item.start).cpu(), logs.cpu()))
    return pieces
