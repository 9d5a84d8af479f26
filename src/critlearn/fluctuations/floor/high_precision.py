"""Gradients of a few samples at 60 digits: the reference of a measured tail, where the network's layers allow it.

A sequence of dense layers and of activations that have a formula is passed with mpmath, from plain definitions: nothing
is scaled, no logarithm is kept apart, and a formula that cancels is evaluated with more digits until it does not.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import mpmath as mp
import numpy as np
from torch import Tensor, nn

from critlearn.fluctuations.floor.precise_layers import Dense, Elementwise, dense, elementwise
from critlearn.fluctuations.floor.precise_loss import NoPreciseFormError, has_precise_errors, precise_output_errors
from critlearn.network import NeuralSystem
from critlearn.network.checks.hooks import hooked

DIGITS: Final = 60
"""Digits of the reference: 44 more than a double has, for what sums over a network's layers lose."""

_COST: Final = 300_000
"""Products of numbers that may be formed in all: about half a second."""

_SECONDS: Final = 3.0
"""Processor time in seconds after which a pass is abandoned: formulas may need many digits."""

_IDENTITIES: Final = (nn.Identity, nn.Dropout)
"""Modules that leave a sample's numbers and their order as they are; dropout in train mode is refused beforehand."""


@dataclass(frozen=True, eq=False)
class PreciseNetwork:
    """A network of dense layers and activations that have a formula.

    Parameters
    ----------
    system
        Network, loss and data set.
    steps
        Its layers in order.
    samples
        Number of samples that are passed, as the cost allows.
    """

    system: NeuralSystem
    steps: tuple[Dense | Elementwise, ...]
    samples: int

    def log_gradients(self, x: Tensor, t: Tensor, entries: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """``ln|gradient|`` of chosen entries of each variable.

        Parameters
        ----------
        x, t
            Boundary states, as many as `samples`.
        entries
            Flat indices by name of the variable.

        Returns
        -------
        dict
            By name, shape (sample, entry).

        Raises
        ------
        NoPreciseFormError
            If a value is not found with any number of digits.
        """
        found: dict[str, list[np.ndarray]] = {name: [] for name in entries}
        inputs, targets = x.double().flatten(1).tolist(), t.double().reshape(len(t), -1).tolist()
        clock = _Clock()
        with mp.workdps(DIGITS):
            for sample, target in zip(inputs, targets, strict=True):
                states = self._forward([mp.mpf(number) for number in sample], clock)
                errors = precise_output_errors(self.system.loss, states[-1], target)
                for step, activities, received in self._backward(states, errors, clock):
                    for name, row in _of_layer(step, activities, received, entries):
                        found[name].append(row)
        return {name: np.stack(rows) for name, rows in found.items()}

    def _forward(self, inputs: list[Any], clock: "_Clock") -> list[list[Any]]:
        """Inputs of each step, and the outputs."""
        states = [inputs]
        for step in self.steps:
            last = states[-1]
            if isinstance(step, Dense):
                states.append(step.forward(last))
            else:
                states.append([step.value(number) for number in clock.checked(last)])
        return states

    def _backward(
        self, states: list[list[Any]], errors: list[Any], clock: "_Clock"
    ) -> Iterator[tuple[Dense, list[Any], list[Any]]]:
        """Every dense layer, with its inputs and the errors at its outputs; last ones first."""
        # Below the first dense layer nothing is trainable, and no error is needed.
        first = next((at for at, step in enumerate(self.steps) if isinstance(step, Dense)), 0)
        for at in range(len(self.steps) - 1, first - 1, -1):
            step, inputs = self.steps[at], states[at]
            if isinstance(step, Dense):
                yield step, inputs, errors
                if at > first:
                    errors = step.backward(errors)
            else:
                pairs = zip(clock.checked(inputs), errors, strict=True)
                errors = [error * step.slope(number) if error else error for number, error in pairs]


class _Clock:
    """Limit of the processor time that a user's own formulas may take: some need many digits at every unit."""

    def __init__(self) -> None:
        self._deadline = time.thread_time() + _SECONDS

    def checked(self, numbers: list[Any]) -> Iterator[Any]:
        """Yield the numbers one by one, as long as there is time.

        Raises
        ------
        NoPreciseFormError
            If there is none.
        """
        for number in numbers:
            if time.thread_time() > self._deadline:
                raise NoPreciseFormError("out of time")
            yield number


def _of_layer(
    layer: Dense, inputs: list[Any], errors: list[Any], entries: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    """``ln|gradient|`` of the chosen entries of a layer's variables."""
    prefix = f"{layer.name}." if layer.name else ""
    if f"{prefix}weight" in entries:
        unit, place = np.divmod(entries[f"{prefix}weight"], len(inputs))
        yield f"{prefix}weight", _logs(errors)[unit] + _logs(inputs)[place]
    if f"{prefix}bias" in entries:
        yield f"{prefix}bias", _logs(errors)[entries[f"{prefix}bias"]]


def precise_network(system: NeuralSystem, layers: Sequence[tuple[str, nn.Module]], most: int) -> PreciseNetwork | None:
    """The network at high precision, for `most` samples or as many as cost half a second; None if it has no such form.

    It has none if a layer is neither dense nor an activation with a formula, if a dense layer is used over a sequence
    or several times, if the loss has none, or if one sample would already cost too much.

    Parameters
    ----------
    system
        Network, loss and data set.
    layers
        The network's modules in order, with their names, in double precision.
    most
        Samples that are wanted.
    """
    model, modules = system.model, [layer for _, layer in layers]
    shared = len(list(model.named_parameters(remove_duplicate=False))) > len(list(model.parameters()))
    weights = [id(layer) for layer in modules if type(layer) is nn.Linear]
    if shared or len(set(weights)) < len(weights) or not has_precise_errors(system.loss):
        return None
    x = next(system.boundary(1))[0]
    if not isinstance(x, Tensor):
        return None
    try:
        steps, cost = _steps(layers, x)
    except NoPreciseFormError:
        return None
    samples = min(most, len(system.scattered(most)), _COST // cost)
    if not samples:
        return None
    # Weights are read only here, once the cost is known to be small enough.
    return PreciseNetwork(system, tuple(dense(*step) if isinstance(step, tuple) else step for step in steps), samples)


def _steps(layers: Sequence[tuple[str, nn.Module]], x: Tensor) -> tuple[list[tuple[str, nn.Linear] | Elementwise], int]:
    """Dense layers with their names, and activations; and the products that one sample takes.

    Raises
    ------
    NoPreciseFormError
        If a layer does not act on a sample's numbers as one vector, or has no form.
    """
    steps: list[tuple[str, nn.Linear] | Elementwise] = []
    width, flat, cost = x.numel(), x.dim() == 2, 1
    for name, layer in layers:
        if hooked(layer):
            raise NoPreciseFormError("hooks")
        if type(layer) is nn.Linear:
            if not flat or layer.in_features != width:
                raise NoPreciseFormError("Linear")
            # Forward and backward.
            cost += 2 * layer.weight.numel()
            width = layer.out_features
            steps.append((name, layer))
        elif type(layer) is nn.Flatten:
            if (layer.start_dim, layer.end_dim) != (1, -1):
                raise NoPreciseFormError("Flatten")
            flat = True
        elif type(layer) not in _IDENTITIES:
            activation = elementwise(layer)
            cost += activation.cost * width
            steps.append(activation)
    return steps, cost


def _logs(numbers: list[Any]) -> np.ndarray:
    """``ln|number|`` in double precision; ``-inf`` for zero."""
    return np.array([float(mp.log(abs(number))) if number else -np.inf for number in numbers])
