"""Modes beside a larger piece of work: made where they cost little of it, and else the reason why there are none."""

from dataclasses import replace
from typing import Final

import numpy as np

from critlearn.comparison.learning_modes.reduction import modes
from critlearn.comparison.learning_modes.result import Modes
from critlearn.errors import CritlearnError
from critlearn.network import NeuralSystem

MOST_SAMPLES: Final = 10_000
"""Samples of which an analysis makes modes unasked, at 50 to 100 microseconds for each: a second at most."""

MOST_NUMBERS: Final = 3_000_000
"""Samples times trainable variables of which it does: 1.0 s for 1,377 variables and 2,000 samples, or for 337 and
10,000, of an analysis of 5 s (docs/modes.md, in a report)."""

_DRAW: Final = 0
"""Seed with which samples are drawn."""

FEWEST_DRAWN: Final = 1_000
"""Samples that are drawn from more of them, at least: halves of fewer are a distance of 0.08 apart by chance."""


def modes_or_reason(system: NeuralSystem, wanted: bool | None) -> Modes | str:
    """Make the modes of a system, or say why there are none; nothing is raised.

    Of more samples than are cheap, some are drawn, always the same ones, as `Modes.drawn_from` says.

    Parameters
    ----------
    system
        Network, loss and data set.
    wanted
        Whether to make them of all samples, however long it takes; None to make them as far as it is cheap.
    """
    if wanted is False:
        return "they were not asked for"
    every: int | None = None
    if wanted is None:
        variables = sum(value.numel() for value in system.parameters.values())
        most = min(MOST_SAMPLES, MOST_NUMBERS // variables)
        if len(system) > most and (most < FEWEST_DRAWN or not system.states.by_number):
            return (
                f"{len(system):,} samples of {variables:,} variables are more than are made unasked: {MOST_NUMBERS:,} "
                f"numbers, of {FEWEST_DRAWN:,} samples or more that have numbers; modes=True or --modes makes them"
            )
        if len(system) > most:
            drawn = np.random.default_rng(_DRAW).choice(len(system), most, replace=False)
            every, system = len(system), system.of_samples(np.sort(drawn).tolist())
    try:
        return replace(modes(system), drawn_from=every)
    except CritlearnError as problem:
        return str(problem)
    except (RuntimeError, MemoryError) as problem:
        # A decomposition that fails, or memory that runs out, must not take an analysis of minutes with it.
        return f"they could not be computed ({type(problem).__name__}: {str(problem)[:200]})"
