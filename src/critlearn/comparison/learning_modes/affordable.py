"""Modes beside a larger piece of work: made where they cost little of it, and else the reason why there are none."""

from typing import Final

from critlearn.comparison.learning_modes.reduction import modes
from critlearn.comparison.learning_modes.result import Modes
from critlearn.errors import CritlearnError
from critlearn.network import NeuralSystem

MOST_SAMPLES: Final = 10_000
"""Samples up to which an analysis makes modes unasked, at 50 to 100 microseconds for each: a second at most."""

MOST_NUMBERS: Final = 3_000_000
"""Samples times trainable variables up to which it does: 1.0 s for 1,377 variables and 2,000 samples, or for 337 and
10,000, of an analysis of 5 s (docs/modes.md, in a report)."""


def modes_or_reason(system: NeuralSystem, wanted: bool | None) -> Modes | str:
    """Make the modes of a system, or say why there are none; nothing is raised.

    Parameters
    ----------
    system
        Network, loss and data set.
    wanted
        Whether to make them, however long it takes; None to make them where that is cheap.
    """
    if wanted is False:
        return "they were not asked for"
    variables, samples = sum(value.numel() for value in system.parameters.values()), len(system)
    if wanted is None and (samples > MOST_SAMPLES or samples * variables > MOST_NUMBERS):
        return (
            f"{samples:,} samples of {variables:,} variables are beyond {MOST_SAMPLES:,} samples, or {MOST_NUMBERS:,} "
            "samples times variables, up to which they are made unasked; modes=True or --modes makes them"
        )
    try:
        return modes(system)
    except CritlearnError as problem:
        return str(problem)
    except (RuntimeError, MemoryError) as problem:
        # A decomposition that fails, or memory that runs out, must not take an analysis of minutes with it.
        return f"they could not be computed ({type(problem).__name__}: {str(problem)[:200]})"
