"""Weight decay as a part of the drift: what it adds to the mean change of every variable at unit rate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem

_COUPLED: Final = ("SGD", "Adam", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "ASGD")
"""Optimisers of torch that add ``weight_decay * w`` to the gradient (L2), if not told to decouple it."""

_DECOUPLED: Final = ("AdamW", "Adam")
"""Optimisers whose decoupled decay has a known fixed point: the mean gradient is ``-weight_decay * w * sqrt(v)``."""


@dataclass(frozen=True, eq=False)
class Decay:
    """Weight decay of a training: each variable w changes by ``-strength * w`` besides the loss, at unit rate.

    Parameters
    ----------
    strength
        By name of the trainable variable, in its shape.
    decoupled
        Whether it grows and shrinks with the gradients, as that of AdamW does.
    """

    strength: dict[str, Tensor]
    decoupled: bool = False

    @property
    def none(self) -> bool:
        """Whether no variable decays."""
        return not any(bool((part != 0).any()) for part in self.strength.values())

    def scaled(self, factor: float) -> "Decay":
        """Decay in units in which the loss is so many times larger."""
        return Decay({name: part * factor for name, part in self.strength.items()}, self.decoupled)

    def pull(self, system: NeuralSystem) -> dict[str, Tensor]:
        """Change ``-strength * w`` of every variable, in double precision."""
        return {name: -self.strength[name] * value.detach().double() for name, value in system.parameters.items()}


def check_weight_decay(weight_decay: float) -> None:
    """Raise if a weight decay is negative or not finite."""
    if not (math.isfinite(weight_decay) and weight_decay >= 0):
        raise InvalidInputError(f"weight decay must be non-negative and finite; got {weight_decay}")


def decay_of(system: NeuralSystem, weight_decay: float, optimizer: torch.optim.Optimizer | None) -> Decay:
    """Weight decay that was told, as a number (L2) or by the optimiser that trained the network.

    For AdamW at its fixed point the mean of ``gradient / (sqrt(v) + eps)`` balances ``weight_decay * w``, so that decay
    acts on the gradient as ``weight_decay * w * (sqrt(v) + eps)``, with v from the optimiser's state.
    Source: theory, equilibrium that cannot be fooled.

    Raises
    ------
    InvalidInputError
        If both are given, the number is negative, or the optimiser does not train a variable, has a decay whose effect
        is not known here, or has not made a step.
    """
    check_weight_decay(weight_decay)
    if optimizer is None:
        like = system.parameters
        return Decay({name: torch.full_like(value, weight_decay, dtype=torch.float64) for name, value in like.items()})
    if weight_decay:
        raise InvalidInputError(
            f"give weight_decay or the optimizer that has it, not both; got weight_decay={weight_decay:g} and "
            f"{type(optimizer).__name__}"
        )
    groups = {id(value): group for group in optimizer.param_groups for value in group["params"]}
    strength, decoupled = {}, False
    for name, value in system.parameters.items():
        if id(value) not in groups:
            raise InvalidInputError(
                f'the optimizer ({type(optimizer).__name__}) does not train "{name}": give the optimizer that trained '
                "the network, or freeze the variable with requires_grad_(False)"
            )
        group = groups[id(value)]
        strength[name] = _strength(optimizer, group, value, name)
        decoupled |= group.get("weight_decay", 0.0) != 0 and _is_decoupled(optimizer, group)
    return Decay(strength, decoupled)


def _is_decoupled(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> bool:
    """Whether the decay is apart from the gradient."""
    return type(optimizer).__name__ == "AdamW" or bool(group.get("decoupled_weight_decay", False))


def _strength(
    optimizer: torch.optim.Optimizer, group: Mapping[str, Any], value: torch.nn.Parameter, name: str
) -> Tensor:
    """Strength of the decay of one variable."""
    kind, decay = type(optimizer).__name__, float(group.get("weight_decay", 0.0))
    if decay == 0:
        return torch.zeros_like(value, dtype=torch.float64)
    decoupled = _is_decoupled(optimizer, group)
    if kind not in (_DECOUPLED if decoupled else _COUPLED):
        raise InvalidInputError(
            f"the effect of {kind}'s weight decay is known for {', '.join(_COUPLED)} and AdamW only: give "
            "weight_decay= as an L2 strength, or 0 to leave it out"
        )
    if not decoupled:
        return torch.full_like(value, decay, dtype=torch.float64)
    state = optimizer.state.get(value, {})
    if "exp_avg_sq" not in state:
        raise InvalidInputError(
            f'the optimizer ({kind}) has made no step for "{name}": give the one that trained the network, with its '
            "state"
        )
    squares = state.get("max_exp_avg_sq", state["exp_avg_sq"]).double()
    corrected = squares / (1 - group["betas"][1] ** float(state["step"]))
    return decay * (corrected.sqrt() + group["eps"])
