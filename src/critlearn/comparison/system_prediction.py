"""Predictions of every quantity of a trained network, from its composition, its margins and its path factors."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from jaxtyping import Float64

from critlearn.comparison.aimed_design import AimedDesign, aim
from critlearn.comparison.equilibrium_scale import equilibrium_scale
from critlearn.comparison.ladder.error_values import OutputState, output_state
from critlearn.comparison.ladder.factors import NO_PATH, Factors
from critlearn.comparison.ladder.ladder import Ladder
from critlearn.comparison.ladder.level import COMPOSITION, JOINT, MARGINS
from critlearn.compositions import SoftmaxCrossEntropy
from critlearn.compositions.named.resolve import composition_of, margin_composition
from critlearn.compositions.typed.coerce import ActivationLike, LossLike
from critlearn.errors import InvalidInputError, unknown_name
from critlearn.fluctuations import Fluctuations, Quantities, measure
from critlearn.fluctuations.counting.dither import dither_of
from critlearn.fluctuations.measure import measure_rescaled
from critlearn.inference import fit_power_law
from critlearn.network import NeuralSystem
from critlearn.numerics.log_sketch import BIN_WIDTH
from critlearn.numerics.validation import check_integer, check_learning_rate
from critlearn.numerics.window import Window
from critlearn.prediction import Prediction
from critlearn.results import Result, dataframe_of

if TYPE_CHECKING:
    import pandas as pd

_DISPLACED: Final = 0
"""Seed of the displacements of the joint level, which only check the sampling."""


KEPT: Final = "with margins and path factors {}: another loss moves them when the network is trained with it"
"""What predictions under another composition keep, in words."""


@dataclass(frozen=True, eq=False, repr=False)
class SystemPrediction(Result, Mapping[str, Prediction]):
    """Predictions of one level of the ladder, by name of the quantity.

    A fluctuation is the size of the output error times a path factor ``|dy/dq|``, which knows nothing of composition
    or loss. The levels differ in what they take of the margins; path factors are those of other samples: `ladder`
    measures how far it matters that the two are taken to be independent.

    Parameters
    ----------
    steps
        Ladder of all quantities.
    level
        Level of the predictions: 0 for the composition alone, 1 for Gaussian margins, 2 for margins as they are.
    unpredicted
        Reason in words, by name of each quantity that nothing predicts.
    other
        Factors under another composition, if the predictions are those of one: of `with_composition`.
    """

    steps: Ladder
    level: int
    unpredicted: Mapping[str, str] = field(default_factory=dict)
    other: Factors | None = None

    bulky_fields = ("steps", "other")

    @cached_property
    def _names(self) -> list[str]:
        return [name for name in self.steps.measured if name not in self.unpredicted]

    def __getitem__(self, name: str) -> Prediction:
        """Prediction of a quantity; KeyError with the nearest names if there is none."""
        if name in self.unpredicted:
            raise KeyError(f'"{name}" is not predicted: {self.unpredicted[name]}')
        if name not in self._names:
            raise KeyError(str(unknown_name("quantity", name, self._names)))
        return self.factors.prediction(name, self.level)

    def __iter__(self) -> Iterator[str]:
        """Names of the quantities that are predicted."""
        return iter(self._names)

    def __len__(self) -> int:
        """Number of quantities that are predicted."""
        return len(self._names)

    @property
    def factors(self) -> Factors:
        """What the predictions are made of."""
        return self.steps.factors if self.other is None else self.other

    @property
    def fluctuations(self) -> Fluctuations:
        """What was measured in the same pass, under the composition that the network was trained with."""
        return self.steps.measured

    @property
    def _is_softmax(self) -> bool:
        """Whether margins are those of the true class of softmax."""
        return self.steps.factors.values.name == SoftmaxCrossEntropy().name

    def with_composition(self, activation: ActivationLike, loss: LossLike) -> "SystemPrediction":
        """Predictions of the same level for another activation of the output, or another loss.

        Margins ``m = t y`` and path factors stay as they are, so that nothing is computed a second time. That is the
        network as it is, held against another loss; trained with it, it would have other margins and path factors.
        The margin of the true class of softmax is taken for the output: for a loss of that margin.

        Parameters
        ----------
        activation, loss
            Names, expressions, objects or callables, as `Composition` takes.

        Raises
        ------
        InvalidInputError
            If the errors of the network depend on no margin, or the composition cannot be used with it.
        """
        composition = composition_of(activation, loss)
        if isinstance(composition, SoftmaxCrossEntropy) and not self._is_softmax:
            raise InvalidInputError(
                f"{composition.name} needs an output for each class, which {self.steps.factors.values.name} has not: "
                "of one margin it is sigmoid+bce"
            )
        return replace(self, other=self.steps.factors.under(margin_composition(composition)))

    def design(self, exponent: float, quantity: str, *, window: Window | None = None) -> AimedDesign:
        """Design a loss under which a quantity of this network has a chosen exponent.

        The loss is one of the margin, with a q-exponential error signal, as of `critlearn.design`; its q is the one
        for which a prediction of this level, at these margins and path factors, has the exponent. A network that is
        trained with it has other margins.

        Parameters
        ----------
        exponent
            Wanted exponent, e.g. 1.2.
        quantity
            Name of the quantity, e.g. ``hidden1.bias``.
        window
            Where it is wanted; by default from the 2% to the 50% quantile of its fluctuations under the loss.

        Raises
        ------
        InvalidInputError
            If no such loss has the exponent, or there are no margins; the message says which can be had.
        """
        if window is not None and not isinstance(window, Window):
            raise InvalidInputError(f"a window is a critlearn.Window(low, high); got {window!r}")
        if quantity not in self:
            raise InvalidInputError(
                self.unpredicted.get(quantity) or str(unknown_name("quantity", quantity, self._names))
            )
        if self.level == COMPOSITION:
            raise InvalidInputError(
                "the composition alone has the exponent of the loss, critlearn.design(exponent); to aim at a layer "
                "take predict(system, level=1) or level=2"
            )
        if self._is_softmax:
            raise InvalidInputError(
                "designs that aim at a layer are losses of one output; this network has one for each class: "
                "critlearn.design(exponent, classes=...) aims at the outputs"
            )
        return aim(self.steps.factors, self._names, self.level, exponent, quantity, window)

    def at_equilibrium_scale(self) -> "SystemPrediction":
        """Predictions under another composition for the network with its output times one factor.

        The factor is the one at which the mean loss is lowest: the first thing that training with the other loss
        changes, as the outputs of tanh and of a sigmoid, or of losses of other tails, settle at other sizes. What else
        it changes is left out.

        Raises
        ------
        InvalidInputError
            If the predictions are those of the network's own composition, or the mean loss has no lowest value.
        """
        if self.other is None:
            raise InvalidInputError("the network's own loss set the scale of its output: take with_composition first")
        values = self.other.values
        composition: Any = getattr(values.channels[0], "composition", None)
        assert values.targets is not None
        scale = equilibrium_scale(composition, values.outputs, values.targets)
        return replace(self, other=self.other.scaled(scale))

    @cached_property
    def ladder(self) -> "pd.DataFrame":
        """Row for each level of each quantity: exponents on the measured window, distances and outcomes.

        Raises
        ------
        InvalidInputError
            If the predictions are those of another composition, under which nothing was measured.
        """
        import pandas as pd

        if self.other is not None:
            raise InvalidInputError(
                f"nothing was measured under {self.other.values.name}: train the network with it and predict that one; "
                f"the ladder of {self.other.trained_with} is that of the prediction before with_composition"
            )
        rows = []
        for name in self._names:
            fit = fit_power_law(self.fluctuations[name], log_floor=self.fluctuations.log_floor)
            for level in self.steps.levels(name, fit):
                rows.append({"quantity": name, "measured": fit.exponent, **level.to_dict()})
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Predictions as plain values."""
        return {
            "level": self.level,
            "composition": self.factors.values.name,
            "trained_with": self.factors.trained_with,
            "scale": self.factors.scale,
            "predictions": {name: prediction.to_dict() for name, prediction in self.items()},
            "unpredicted": dict(self.unpredicted),
        }

    def to_dataframe(self) -> "pd.DataFrame":
        """Row for each quantity."""
        return dataframe_of({name: prediction.to_dict() for name, prediction in self.items()})

    def summary(self) -> str:
        """One line for each quantity; of another composition, what was kept goes before."""
        lines = [f"{name}: {prediction.summary()}" for name, prediction in self.items()]
        if self.other is not None:
            scale = "as they are" if self.other.scale == 1 else f"times {self.other.scale:.3g}"
            lines.insert(0, f"{self.other.values.name} in place of {self.other.trained_with}, {KEPT.format(scale)}")
        return "\n".join(lines)


def predict(system: NeuralSystem, *, level: int = MARGINS, lr: float = 1.0, batch_size: int = 256) -> SystemPrediction:
    """Predict the fluctuations of every trainable variable of a network from the network's own state.

    Level 1 takes of the data the mean and the standard deviation of the margins in each class, level 2 the density of
    the margins, level 0 nothing: margins are uniform. Margins are pushed through the composition and multiplied by the
    path factors of other samples, of any layer (theory, ladder). Losses whose errors are not those of one number have
    no level 0; their errors take the place of margins.

    Parameters
    ----------
    system
        Network of any kind, loss and data set, whose samples come in the same order in every pass.
    level
        0, 1 or 2.
    lr
        Learning rate.
    batch_size
        Samples in one pass.

    Raises
    ------
    InvalidInputError
        If a setting is out of range, there are too few samples, all errors are the same, or the data set is a stream.
    """
    check_integer("the level", level)
    if level not in range(JOINT):
        raise InvalidInputError(f"levels of predictions are 0, 1 and 2; got {level}")
    check_learning_rate(lr)
    _, steps = measure_with_ladder(system, lr=lr, batch_size=batch_size, joint=True)
    if isinstance(steps, str):
        raise InvalidInputError(steps)
    if level not in steps.levels_known:
        raise InvalidInputError(
            f"errors of {system.loss.name} are not those of one margin: composition and data are told together; "
            "take level=1 or level=2"
        )
    missing = {name: NO_PATH for name in steps.measured if steps.paths[name].log_range is None}
    return SystemPrediction(steps, level, missing)


def measure_with_ladder(
    system: NeuralSystem,
    *,
    lr: float = 1.0,
    batch_size: int = 256,
    quantities: Quantities | None = None,
    joint: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Fluctuations, Ladder | str]:
    """Measure a network and, in the same learning pass, what its ladder needs; or say why there is no ladder.

    Parameters
    ----------
    system
        Network, loss and data set.
    lr, batch_size, quantities, progress
        As for `measure`.
    joint
        Count the joint level, too, which only checks the sampling and takes half the time of a measurement.

    Raises
    ------
    CritlearnError
        If something cannot be measured.
    """
    wanted = Quantities() if quantities is None else quantities
    try:
        _check_predictable(system, wanted)
        state = output_state(system, batch_size=batch_size, lr=lr)
        state.values.check()
        factors = _log_factors(state, lr, joint=joint)
    except InvalidInputError as problem:
        plain = measure(system, batch_size=batch_size, lr=lr, quantities=wanted, progress=progress)
        return plain, str(problem)
    measured, beside = measure_rescaled(
        system, factors, batch_size=batch_size, lr=lr, quantities=wanted, progress=progress
    )
    try:
        return measured, Ladder(state, measured, beside["paths"], beside.get("joint"))
    except InvalidInputError as problem:
        return measured, str(problem)


def _check_predictable(system: NeuralSystem, quantities: Quantities) -> None:
    """Raise if what is measured is no product of one sample's error and path factor, or samples have no order."""
    if quantities.mini_batch > 1 or quantities.without_drift:
        raise InvalidInputError("means of several samples, or changes without drift, are no products with one error")
    if not system.states.by_number:
        raise InvalidInputError(
            "predictions take two passes over samples in the same order: give a data set whose samples have numbers "
            "(torch.utils.data.Dataset with __getitem__), not a stream"
        )


def _log_factors(state: OutputState, lr: float, *, joint: bool) -> dict[str, Float64[np.ndarray, " sample"]]:
    """Factors that make of each sample's error one of size 1 and, for the joint level, one of a displaced margin."""
    values, log_rate = state.values, math.log(lr)
    # A sample without any error stays without; a margin that is displaced to where there is none stays in its place.
    own = np.where(np.isfinite(state.log_error), state.log_error, 0.0)
    # A path factor of one lies on the very edge of a bin, where rounding would decide: half a bin to either side, the
    # mean over the samples is right.
    dither = dither_of(torch.arange(own.size)).numpy() - 0.5
    factors = {"paths": -own - log_rate + dither * BIN_WIDTH}
    if not joint:
        return factors
    with np.errstate(all="ignore"):
        displaced = values.log_fluctuations(values.jittered(np.random.default_rng(_DISPLACED))) - log_rate
    displaced = np.where(np.isfinite(displaced) & np.isfinite(state.log_error), displaced, own)
    return {**factors, "joint": displaced - own}
