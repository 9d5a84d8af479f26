"""What a trained network does over time: tails of its iterates and increments under plain gradient descent."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch

from critlearn.comparison import compare
from critlearn.dynamics import fit_tail, own_units, sketch_in_time
from critlearn.errors import InvalidInputError
from critlearn.inference import PowerLawFit
from critlearn.monitoring import Monitor, MonitorRecord
from critlearn.network import NeuralSystem
from critlearn.network.copying import copied
from critlearn.network.training.step import TrainingStep
from critlearn.studies.config import INCREMENTS, ITERATES, RunConfig

_SETTLING: Final = 0.5
"""Share of the steps that is left out: where they are few, noise has not yet spread the weights as far as it will."""

_UNKNOWN: Final = "no theory tells the exponent of a network's weights over time"


def follow_over_time(system: NeuralSystem, config: RunConfig) -> tuple[MonitorRecord, dict[str, Any]]:
    """Go on from a trained state by plain stochastic gradient descent, and fit the tails of what it does over time.

    A monitor follows 64 weights. Each is taken in units of its own root mean square deviation, and the first half of
    the steps is left out.

    Parameters
    ----------
    system
        Trained system, which is left as it is.
    config
        ``descent_steps``, ``descent_lr`` and ``descent_batch_size``, the weight decay, and the seed.

    Raises
    ------
    InvalidInputError
        If the loss is no longer finite, or no weight moves.
    """
    followed = system.judging(copied(system.model), system.loss)
    optimizer = torch.optim.SGD(
        list(followed.parameters.values()), lr=config.descent_lr, weight_decay=config.weight_decay
    )
    # Measured before the first step and after the last only: the series has every step.
    with Monitor(followed, optimizer, every=config.descent_steps, seed=config.seed) as monitor:
        losses = []
        for loss in _descent(followed, optimizer, config):
            monitor.step()
            losses.append(loss)
    record, first = monitor.record, int(_SETTLING * config.descent_steps)
    series = record.series
    kept = {name: values[first:] for name, values in series.values.items()}
    record = replace(record, series=replace(series, values=kept, steps=series.steps[first:]))
    values = np.concatenate(list(kept.values()), axis=1)
    found = {INCREMENTS: np.diff(values, axis=0), ITERATES: values}
    return record, {
        "steps": [first, config.descent_steps],
        "mean_loss": float(np.mean(losses[first:])),
        "quantities": {name: _quantity(name, part, config.seed) for name, part in found.items()},
    }


def _descent(system: NeuralSystem, optimizer: torch.optim.Optimizer, config: RunConfig) -> Iterator[float]:
    """Steps of plain descent by batches that are drawn anew each time, with their losses."""
    step, generator = TrainingStep(system), torch.Generator().manual_seed(config.seed)
    for number in range(1, config.descent_steps + 1):
        chosen = torch.randint(len(system), (config.descent_batch_size,), generator=generator)
        optimizer.zero_grad()
        loss = float(step(*system.chosen(chosen.tolist())))
        if not np.isfinite(loss):
            raise InvalidInputError(
                f"the loss is not finite in step {number} of the descent: try a smaller descent_lr than "
                f"{config.descent_lr:g}"
            )
        optimizer.step()
        yield loss


def _quantity(name: str, values: np.ndarray, seed: int) -> Mapping[str, Any]:
    """Record of the tail of a series of weights."""
    scaled = own_units(values)
    fit = fit_tail(sketch_in_time(scaled), seed)
    assert isinstance(fit, PowerLawFit)
    return {
        "axis": "time x variables",
        "pool": True,
        "variables": scaled.shape[1],
        "count": fit.count,
        "zeros": fit.zeros,
        "measured": fit.to_dict(),
        "predicted": None,
        "not_predicted": _UNKNOWN,
        "agreement": None,
        "statement": compare(name, fit, None).statement,
        "curves": {"measured": fit.curve.to_dict() if fit.curve else None, "predicted": None},
    }
