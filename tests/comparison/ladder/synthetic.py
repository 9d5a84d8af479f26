"""Ladders of made-up networks, whose margins and path factors are drawn as a test says."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64

from critlearn.comparison.ladder.error_values import OutputState
from critlearn.comparison.ladder.ladder import Ladder
from critlearn.compositions import Composition
from critlearn.fluctuations import Fluctuations
from critlearn.numerics.log_sketch import LogSketch
from critlearn.prediction.error_values import values_of_margins

GROUPS = 64
LOGISTIC = Composition("sigmoid", "bce")

Draw = Callable[[np.random.Generator, Int64[np.ndarray, " sample"]], Float64[np.ndarray, " sample"]]


def counted(logs: Float64[np.ndarray, "sample variable"]) -> LogSketch:
    """Sketch of ``ln|delta|``, minus infinity for an exact zero; sample i belongs to group i mod 64."""
    samples, variables = logs.shape
    return LogSketch.from_logs(logs.ravel(), None, np.repeat(np.arange(samples) % GROUPS, variables), GROUPS)


def gaussian(generator: np.random.Generator, classes: Int64[np.ndarray, " sample"]) -> Float64[np.ndarray, " sample"]:
    """Margins of a mean and a deviation for each class."""
    return generator.normal(np.where(classes == 1, 1.0, 2.0), np.where(classes == 1, 1.5, 1.0))


def heavy(generator: np.random.Generator, classes: Int64[np.ndarray, " sample"]) -> Float64[np.ndarray, " sample"]:
    """Margins with the same means and deviations and tails of Student's t with 3 degrees of freedom."""
    unit = generator.standard_t(3, classes.size) / np.sqrt(3)
    return np.where(classes == 1, 1.0, 2.0) + np.where(classes == 1, 1.5, 1.0) * unit


def skew(generator: np.random.Generator, classes: Int64[np.ndarray, " sample"]) -> Float64[np.ndarray, " sample"]:
    """Margins with a gamma density."""
    return np.where(classes == 1, 0.0, 1.0) + generator.gamma(2.0, 1.0, classes.size)


def ladder(
    samples: int,
    seed: int,
    *,
    margins: Draw = gaussian,
    dependence: float = 0.0,
    told: Composition = LOGISTIC,
    variables: int = 8,
    spread: float = 0.8,
    turns: int = 0,
    zeros: float = 0.0,
) -> Ladder:
    """Ladder of a quantity ``q`` whose path factors have a part that all variables of a sample share.

    Parameters
    ----------
    samples, seed
        Number of samples, and seed of all draws.
    margins
        Draws margins, given classes.
    dependence
        Change of ``ln c`` for each standard deviation of the margin.
    told
        Composition that the prediction is told; the logistic one makes the fluctuations.
    variables
        Number of variables.
    spread
        Standard deviation of ``ln c`` between variables and, nearly, between samples; 0 for one path factor of all.
    turns
        Period with which classes take turns; 0 if they are drawn.
    zeros
        Share of the variables that a sample does not reach.
    """
    generator = np.random.default_rng([11, seed])
    classes = (generator.random(samples) < 0.4).astype(np.int64)
    if turns:
        classes = (np.arange(samples) % turns < turns // 2).astype(np.int64)
    margin = margins(generator, classes)
    shared = generator.normal(size=(samples, 1)) * 0.9 * spread
    own = generator.normal(size=(samples, variables)) - 0.4 * generator.exponential(size=(samples, variables))
    path = shared + spread * own + dependence * ((margin - margin.mean()) / margin.std())[:, None]
    path = np.where(generator.random(path.shape) < zeros, -np.inf, path)
    log_error = LOGISTIC.log_error_signal(margin)
    counts = {"q": counted(log_error[:, None] + path)}, {"q": counted(path)}
    measured, paths = (Fluctuations(part, {"q": variables}, samples) for part in counts)
    return Ladder(OutputState(log_error, values_of_margins(told, margin, classes)), measured, paths)
