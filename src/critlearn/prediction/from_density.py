"""Prediction of the fluctuations of an output from the density of its pre-activation."""

import contextlib
import math
from typing import Any

from critlearn.compositions import Composition, SoftmaxCrossEntropy
from critlearn.compositions.named.resolve import signal_of
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


def caustics_of(
    composition: ErrorSignal | SoftmaxCrossEntropy, *, target: float = 1.0, lr: float = 1.0
) -> tuple[Caustic, ...]:
    """Find the caustics of a composition: fluctuation sizes at which the density diverges for any density of ``y``.

    These are zeros of the slope of the error signal for ``y`` between -50 and 50, or in the smaller ranges of
    `CAUSTIC_REACHES` if it oscillates too fast. A prediction has those that lie in the support of its density of ``y``.
    tanh with squared error has a fold at ``delta = 64/27`` (theory, caustics).

    Parameters
    ----------
    composition
        Activation and loss, or a designed loss; softmax with cross-entropy by the margin of the true class.
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
    channel = BiasChannel(signal_of(composition), log_rate=math.log(lr), target=target)
    for reach in CAUSTIC_REACHES[:-1]:
        with contextlib.suppress(InvalidInputError):
            return distinct(caustics_between(channel, branches_within(-reach, reach, channel)))
    return distinct(caustics_between(channel, branches_within(-CAUSTIC_REACHES[-1], CAUSTIC_REACHES[-1], channel)))


def predict_from_density(
    composition: Composition | SoftmaxCrossEntropy,
    density: Any,
    *,
    target: float = 1.0,
    lr: float = 1.0,
    tolerance: float = TOLERANCE,
) -> Prediction:
    """Predict the fluctuations of the bias of an output from the density of its pre-activation ``y``.

    The density is summed over all branches of the composition: ``p(delta) = sum p(y) / (lr |g'(y)|)`` (theory,
    one-dimensional reduction).

    Parameters
    ----------
    composition
        Activation and loss; for softmax with cross-entropy ``y`` is the margin of the true class.
    density
        Density of ``y``, in any form that `density_from` takes.
    target
        Target of the output; for an output that saturates the class, with 1 meaning that ``y`` is the margin.
    lr
        Learning rate.
    tolerance
        Largest distance of the local exponent from a constant in the window.

    Raises
    ------
    InvalidInputError
        If the density is not a density, a setting is not positive, or the fluctuation is the same everywhere.
    """
    check_settings(lr, tolerance)
    composition = signal_of(composition)
    law = density_from(density)
    channel = BiasChannel(composition, log_rate=math.log(lr), target=target)
    distribution = complete(push_forward(law, [channel], graded_grid))
    limits = limiting_exponents(composition, law, channel)
    return with_limits(distribution, limits, tolerance, f"{composition.name} with pre-activations {law}")
