"""Predict the fluctuations of an output from the density of its pre-activation."""

import contextlib
import math
from typing import Any

from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError
from critlearn.prediction.criteria import CAUSTIC_REACHES, TOLERANCE
from critlearn.prediction.densities.any_density import density_from
from critlearn.prediction.limiting_exponents import limiting_exponents
from critlearn.prediction.prediction import Prediction, check_settings, with_limits
from critlearn.prediction.push_forward.branches import branches_within
from critlearn.prediction.push_forward.caustics import Caustic, caustics_between, distinct
from critlearn.prediction.push_forward.channel import BiasChannel, ErrorSignal
from critlearn.prediction.push_forward.grid import graded_grid
from critlearn.prediction.push_forward.push_forward import complete, push_forward


def caustics_of(composition: ErrorSignal, *, target: float = 1.0, lr: float = 1.0) -> tuple[Caustic, ...]:
    """Sizes of fluctuations at which their density diverges, whatever the density of the pre-activation ``y``.

    Where the slope of the error signal vanishes for a ``y`` between -50 and 50; between -5 and 5, or -0.5 and 0.5,
    where it oscillates too fast. A density only has those that its ``y`` come to. For tanh with squared error the fold
    at ``delta = 64/27`` (theory, caustics).

    Parameters
    ----------
    composition
        Activation and loss, or a designed loss.
    target
        Target of the output; for an output that saturates the class, with 1 meaning that ``y`` is the margin.
    lr
        Learning rate.

    Raises
    ------
    InvalidInputError
        If the learning rate is not positive, or the error signal oscillates too fast even there.
    """
    check_settings(lr, TOLERANCE)
    channel = BiasChannel(composition, log_rate=math.log(lr), target=target)
    for reach in CAUSTIC_REACHES[:-1]:
        with contextlib.suppress(InvalidInputError):
            return distinct(caustics_between(channel, branches_within(-reach, reach, channel)))
    return distinct(caustics_between(channel, branches_within(-CAUSTIC_REACHES[-1], CAUSTIC_REACHES[-1], channel)))


def predict_from_density(
    composition: Composition, density: Any, *, target: float = 1.0, lr: float = 1.0, tolerance: float = TOLERANCE
) -> Prediction:
    """Fluctuations of the bias of an output, from the density of its pre-activation ``y``.

    All branches of the composition are followed: ``p(delta) = sum p(y) / (lr |g'(y)|)`` (theory, one-dimensional
    reduction).

    Parameters
    ----------
    composition
        Activation and loss.
    density
        Density of ``y``: whatever `density_from` takes.
    target
        Target of the output; for an output that saturates the class, with 1 meaning that ``y`` is the margin.
    lr
        Learning rate.
    tolerance
        How far the local exponent may be from a constant in the window.

    Raises
    ------
    InvalidInputError
        If the density is none, a setting is not positive, or the fluctuation is the same everywhere.
    """
    check_settings(lr, tolerance)
    law = density_from(density)
    channel = BiasChannel(composition, log_rate=math.log(lr), target=target)
    distribution = complete(push_forward(law, [channel], graded_grid))
    limits = limiting_exponents(composition, law, channel)
    return with_limits(distribution, limits, tolerance, f"{composition.name} with pre-activations {law}")
