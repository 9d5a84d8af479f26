"""Settings of a run, checked before anything is computed."""

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any, Final, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from critlearn.compositions import Activation, Composition, Loss, SoftmaxCrossEntropy
from critlearn.compositions.catalogue.activations import SOFTMAX
from critlearn.compositions.catalogue.losses import CROSS_ENTROPY
from critlearn.compositions.named.resolve import composition_of
from critlearn.compositions.typed.coerce import ActivationLike, LossLike
from critlearn.dynamics.criteria import FEWEST_STEPS
from critlearn.errors import InvalidInputError
from critlearn.reading.validation_errors import first_error
from critlearn.studies.import_paths import import_object, is_import_path, made

Positive = Annotated[int, Field(ge=1, le=10**9)]
Width = Annotated[int, Field(ge=1, le=10**6)]


_DEEPEST: Final = 100
"""Hidden layers of a dense network: gradients vanish in plain layers long before, and thousands take hours."""

OWN: Final = "own"
"""Activation or loss of a user's network that is the one its function gives."""

FEWEST_DESCENT: Final = 2 * FEWEST_STEPS
"""Steps of a descent, half of which is left out."""

_LARGE_BATCH: Final = 2000
"""Samples in a step where there are enough: with 500 a training on 60,000 takes five times as long to settle."""


INCREMENTS: Final = "time.increments"
ITERATES: Final = "time.iterates"
"""Names of what a run measures over time, where it has steps of plain descent: changes of weights, and weights."""


class RunConfig(BaseModel, ABC):
    """Settings that every run has.

    ``activation`` and ``loss`` are names, expressions, or import paths; ``target``, ``columns`` and ``drop`` choose the
    columns of a table: the class, the features (all if empty), and what is left out; ``lr``, ``batch_size``,
    ``epochs`` and ``weight_decay`` are those of the training that approaches equilibrium; the decay is L2, or that of
    AdamW if ``decoupled_weight_decay``. It ends when equilibrium is certified, unless ``stop_at_equilibrium`` is false:
    then all epochs are trained. ``modes`` says whether the modes of learning are made; None for where that is cheap.
    From the state that is reached go ``descent_steps`` of plain stochastic gradient descent, at the rate ``descent_lr``
    and by batches of ``descent_batch_size``, of which the tails over time are measured; none if 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    activation: str = "sigmoid"
    loss: str = "bce"
    data: str | None = None
    target: str | None = None
    columns: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    epochs: Positive = 1000
    batch_size: Positive | None = None
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    decoupled_weight_decay: bool = False
    stop_at_equilibrium: bool = True
    modes: bool | None = None
    descent_steps: Annotated[int, Field(ge=0, le=10**8)] = 0
    descent_lr: Annotated[float, Field(gt=0)] = 0.1
    descent_batch_size: Positive = 16
    device: str = "cpu"

    def composition(self) -> Composition | SoftmaxCrossEntropy:
        """Output activation and loss.

        Raises
        ------
        InvalidInputError
            If a name is unknown, an expression cannot be used, an import fails, or the two do not fit.
        """
        return composition_of(activation_of(self.activation), loss_of(self.loss))

    def samples_in_step(self, samples: int) -> int:
        """Samples in a step of the training on so many: what is set, or else a large batch, but four or more an epoch.

        Large ones bring 60,000 samples to equilibrium in fewer steps, and steps of all samples at once have no noise
        that leads away from saddles.
        """
        return self.batch_size or max(1, min(_LARGE_BATCH, samples // 4))

    @field_validator("descent_steps")
    @classmethod
    def _enough(cls, steps: int, known: Any) -> int:
        if 0 < steps < FEWEST_DESCENT:
            raise ValueError(f"must be 0, or at least {FEWEST_DESCENT}, the second half of which is a series")
        if steps and known.data.get("weight_decay") and known.data.get("decoupled_weight_decay"):
            raise ValueError("must be 0 with decoupled decay: plain descent has L2 decay, with another equilibrium")
        return steps

    @property
    def over_time(self) -> tuple[str, ...]:
        """Names of the quantities over time."""
        return (INCREMENTS, ITERATES) if self.descent_steps else ()

    @property
    def title(self) -> str:
        """What names the run's folder."""
        return self.composition().name

    @abstractmethod
    def quantities(self) -> tuple[str, ...] | None:
        """Names of the quantities that such a run measures; None if they are not known before the network is made."""


class ToyConfig(RunConfig):
    """Settings of the two-neuron model.

    ``inputs`` is the density of ``x`` for the class +1, mirrored for the class -1; ``data`` a set with one feature
    instead of it.
    """

    epochs: Positive = 200
    batch_size: Positive = 10_000
    lr: Annotated[float, Field(gt=0)] = 0.02
    inputs: str = "uniform(-0.3,2.3)"
    samples: Annotated[int, Field(ge=1000, le=10**8)] = 2_000_000

    @field_validator("activation")
    @classmethod
    def _of_one_output(cls, activation: str) -> str:
        if activation == SOFTMAX:
            raise ValueError("of the two-neuron model cannot be softmax, which needs an output for each class")
        return activation

    def quantities(self) -> tuple[str, ...]:
        """Bias and weight."""
        return ("bias", "weight")


class DenseConfig(RunConfig):
    """Settings of a dense network on a data set of classes.

    The weight decay is decoupled (AdamW); data that the network separates have no equilibrium without one. With
    ``weight_variance`` the initial weights are normal, with that variance over the number of inputs, and biases 0;
    otherwise they are drawn as torch does by default.
    """

    data: str
    lr: Annotated[float, Field(gt=0)] = 0.01
    hidden: Annotated[tuple[Width, ...], Field(max_length=_DEEPEST)] = (32, 32)
    hidden_activation: str = "tanh"
    weight_variance: Annotated[float, Field(gt=0, le=1e6)] | None = None

    def quantities(self) -> tuple[str, ...]:
        """Biases and weights of each layer; of several layers, also pools of each, of each kind, and of all."""
        layers = ["output", *(f"hidden{depth}" for depth in range(len(self.hidden), 0, -1))]
        variables = tuple(f"{layer}.{kind}" for layer in layers for kind in ("bias", "weight"))
        return (*variables, *layers, "all.bias", "all.weight", "all") if self.hidden else variables


class TwoClassConfig(DenseConfig):
    """Settings of a dense network on data of two classes: one output, or with softmax two."""

    data: str = "flights"


class ClassesConfig(DenseConfig):
    """Settings of a dense network on data of two classes or more: softmax with an output for each."""

    activation: str = SOFTMAX
    loss: str = CROSS_ENTROPY
    data: str = "flights:3"

    @field_validator("activation")
    @classmethod
    def _of_all_outputs(cls, activation: str) -> str:
        if activation != SOFTMAX:
            raise ValueError(f"must be {SOFTMAX}, which has an output for each class; for two `run two-class` has all")
        return activation


class NetworkConfig(RunConfig):
    """Settings of a network of the user's own.

    ``network`` is ``package.module:name`` or ``file.py:name`` of a function that returns a network, or network, loss
    and data. ``activation`` and ``loss`` are those that it returns, unless they are named; so is ``data``. Where the
    function has a parameter ``hidden_activation`` or ``seed``, it is called with that setting.
    """

    network: str
    activation: str = OWN
    loss: str = OWN
    hidden_activation: str | None = None

    @field_validator("network")
    @classmethod
    def _of_a_function(cls, network: str) -> str:
        if not is_import_path(network):
            raise ValueError("must be file.py:name or package.module:name of a function that makes a network")
        return network

    @property
    def title(self) -> str:
        """Name of the function, and of what was put in place of what it gives."""
        named = [name for name in (self.hidden_activation, self.activation, self.loss) if name not in (None, OWN)]
        return "-".join([self.network.rpartition(":")[2], *(str(name) for name in named)])

    def arguments(self) -> dict[str, Any]:
        """Arguments for those of the function's parameters that have these names, but for what is not set."""
        chosen = {} if self.hidden_activation is None else {"hidden_activation": self.hidden_activation}
        return {"seed": self.seed, **chosen}

    def quantities(self) -> None:
        """Those of the network, which only the function knows."""
        return


Config = TypeVar("Config", bound=RunConfig)


def checked(kind: type[Config], settings: dict[str, Any]) -> Config:
    """Settings as a value of their kind.

    Raises
    ------
    InvalidInputError
        If one is unknown, of the wrong type or out of range, in one line.
    """
    try:
        return kind(**settings)
    except ValidationError as problem:
        location, message = first_error(problem, settings)
        name = str(location[0])
        raise InvalidInputError(f"--{name.replace('_', '-')} {message}") from None


def parse_widths(text: str) -> tuple[int, ...]:
    """Widths of hidden layers as written on the command line, ``32,32``; nothing for none.

    Raises
    ------
    InvalidInputError
        If they are no positive whole numbers.
    """
    if not text.strip():
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InvalidInputError(f'--hidden needs widths as in 32,32; got "{text}"')
    return tuple(int(part) for part in parts)


def parse_names(text: str, option: str) -> tuple[str, ...]:
    """Names of columns as written on the command line, ``id,age``; a name with a comma stands in double quotes.

    Raises
    ------
    InvalidInputError
        If they cannot be read, or one of them is empty.
    """
    try:
        names = tuple(next(csv.reader([text], skipinitialspace=True, strict=True), []))
    except csv.Error:
        names = ("",)
    if not all(names):
        raise InvalidInputError(f'{option} needs names of columns as in id,age; got "{text}"')
    return names


def written_list(values: Iterable[Any]) -> str:
    """Widths or names as `parse_widths` and `parse_names` read them."""
    return ",".join(_quoted(str(value)) for value in values)


def _quoted(name: str) -> str:
    """Name in double quotes where it needs them."""
    plain = name and not name[0].isspace() and not any(character in name for character in ',"\r\n')
    return name if plain else '"' + name.replace('"', '""') + '"'


def checked_device(name: str) -> torch.device:
    """Device of that name, if there is one here.

    Raises
    ------
    InvalidInputError
        If there is none.
    """
    available = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in available or (device.type == "cpu" and device.index):
        raise InvalidInputError(f'device "{name}" is not available; available: {", ".join(available)}')
    return device


def activation_of(text: str) -> ActivationLike:
    """Activation of the user's own that an import path names; what the catalogue or the grammar reads stays text.

    Raises
    ------
    InvalidInputError
        If the import fails.
    """
    return _imported(text, "activation", Activation) if is_import_path(text) else text


def loss_of(text: str) -> LossLike:
    """Loss of the user's own that an import path names; what the catalogue or the grammar reads stays text.

    Raises
    ------
    InvalidInputError
        If the import fails.
    """
    return _imported(text, "loss", Loss) if is_import_path(text) else text


def _imported(path: str, kind: str, wanted: type[Any]) -> Any:
    """The object of the right type that an import path names, or makes when it is called without arguments."""
    found = import_object(path, kind)
    # Activations are callable too, on pre-activations.
    if not isinstance(found, (Activation, Loss)) and callable(found):
        found = made(found, path, kind)
    if not isinstance(found, wanted):
        raise InvalidInputError(f'{kind} "{path}" is a {type(found).__name__}, not a critlearn {wanted.__name__}')
    return found
