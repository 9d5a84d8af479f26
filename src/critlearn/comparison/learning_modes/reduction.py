"""Modes of learning of a network: directions from one half of the samples, held against the other half."""

import math
from typing import Final

import numpy as np

from critlearn.comparison.learning_modes.coupling import coupling, r_squared
from critlearn.comparison.learning_modes.directions import LeadingDirections, leading_directions
from critlearn.comparison.learning_modes.forms import distances
from critlearn.comparison.learning_modes.jackknife import Groups, sample_groups
from critlearn.comparison.learning_modes.result import Mode, Modes
from critlearn.comparison.learning_modes.sample_changes import SampleChanges
from critlearn.comparison.learning_modes.sample_sizes import SampleSizes, sample_sizes
from critlearn.comparison.learning_modes.variances import Variances
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.network import NeuralSystem
from critlearn.numerics.validation import check_count

_FEWEST: Final = 16
"""Fewest samples: of eight in each half, the noise between the halves is already a distance of 0.4."""


def modes(system: NeuralSystem, k: int = 6, *, seed: int = 0, exact: bool | None = None) -> Modes:
    """Reduce learning to its leading modes, each a problem of one dimension, and hold each against other samples.

    The modes are right singular vectors v of the centred changes of single samples, made from half A, one of every two
    successive samples. Along each, a sample changes by ``z = -e c``, with its output error e and its path factor c, the
    derivative of the output along v. Three predictions of the distribution of ``ln|z|`` are made from half A and held
    against half B. What is left of ``ln|z|`` when the output error is divided out, which all modes share, tells how
    strongly they are coupled (theory, modes).

    No matrix of samples x variables is formed, unless it is small: the vectors come from a randomised decomposition
    (Halko, Martinsson and Tropp 2011), which takes the samples batch by batch, six times, and holds about ``3 (k +
    10)`` vectors of the variables.

    Parameters
    ----------
    system
        Network, loss and data set. Modes need no equilibrium, but say what they say of this state.
    k
        Number of modes; there are fewer if the changes have no more directions.
    seed
        Decides the first guess of a randomised decomposition.
    exact
        Decompose the whole matrix of changes: True or False, or None for whichever is cheap.

    Raises
    ------
    InvalidInputError
        If it is no `NeuralSystem`, there are fewer than 16 samples, or all samples change the network in the same way
        or not at all.
    """
    if not isinstance(system, NeuralSystem):
        raise InvalidInputError(
            f"modes are those of a NeuralSystem; got {type(system).__name__}: give NeuralSystem(model, loss, data)"
        )
    check_count("the number of modes k", k)
    if system.states.by_number and len(system) < _FEWEST:
        raise InvalidInputError(_too_few(len(system)))
    gradients = PerSampleGradients(system, quiet=True)
    half, other = SampleChanges(gradients, 0), SampleChanges(gradients, 1)
    found = leading_directions(half, k, seed=seed, exact=exact)
    if len(found.sizes) < _FEWEST // 2:
        raise InvalidInputError(_too_few(len(found.sizes)))
    if not len(found.vectors):
        raise InvalidInputError(
            "there are no modes: all samples change the network in the same way, or not at all; give more samples, or "
            "a state that has not learned all of them exactly"
        )
    return _modes(found, sample_sizes(half, found.vectors), sample_sizes(other, found.vectors))


def _too_few(samples: int) -> str:
    return f"modes need at least {_FEWEST} samples, of which one half is held against the other; got {samples}"


def _modes(found: LeadingDirections, made: SampleSizes, held: SampleSizes) -> Modes:
    """Numbers of all modes, from the sizes of half A, of which they are made, and of half B."""
    group, held_group = sample_groups(len(made.log_error)), sample_groups(len(held.log_error))
    variances = Variances.of(found, made, group)
    correlations, shared = coupling(held.log_factor, held_group)
    ratio = variances.participation_ratio()
    return Modes(
        modes=tuple(_mode(at, variances, made, held, held_group) for at in range(len(found.vectors))),
        participation_ratio=ratio.value,
        participation_ratio_error=ratio.error,
        coupling=shared.value,
        coupling_error=shared.error,
        # Of independent variables in n samples, the correlation is normal with the standard deviation 1 / sqrt(n).
        coupling_floor=math.sqrt(2 / (math.pi * len(held.log_error))),
        correlations=correlations,
        samples=(len(made.log_error), len(held.log_error)),
        variables=found.vectors.shape[1],
        exact=found.exact,
    )


def _mode(at: int, variances: Variances, made: SampleSizes, held: SampleSizes, held_group: Groups) -> Mode:
    """Numbers of one mode."""
    measured = held.log_change[:, at]
    estimates = {
        "share": variances.share(at),
        "variance_ratio": variances.ratio(at, held, held_group),
        "r_squared": r_squared(measured, held.log_error, held_group),
        **distances(made, at, variances.group, measured, held_group),
    }
    numbers = {name: estimate.value for name, estimate in estimates.items()}
    errors = {f"{name}_error": estimate.error for name, estimate in estimates.items()}
    return Mode(zeros=float(np.isneginf(measured).mean()), **numbers, **errors)
