"""Conversion of names, expressions, objects and callables to an `Activation` or a `Loss`."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

import sympy as sp

from critlearn.compositions.activation import Activation
from critlearn.compositions.catalogue.activations import ACTIVATIONS, find_activation
from critlearn.compositions.catalogue.losses import LOSSES, find_loss
from critlearn.compositions.loss import Loss
from critlearn.compositions.typed.activation_from_expression import activation_from
from critlearn.compositions.typed.from_expression import FUNCTIONS, parse_activation, parse_loss
from critlearn.compositions.typed.loss_from_expression import loss_from
from critlearn.errors import InvalidInputError

ActivationLike: TypeAlias = str | Activation | sp.Expr | Callable[..., Any]
LossLike: TypeAlias = str | Loss | sp.Expr | Callable[..., Any]

_NAME: Final = re.compile(r"[A-Za-z][\w-]*(:.*)?")
_VARIABLES: Final = {"y", "e", "f", "t"}


def as_activation(value: ActivationLike) -> Activation:
    """Convert a name, an expression in ``y``, or a callable on tensors to an activation.

    Raises
    ------
    InvalidInputError
        If it cannot be converted; the message says why.
    """
    if isinstance(value, Activation):
        return value
    if isinstance(value, str):
        if value not in ACTIVATIONS and value in FUNCTIONS and FUNCTIONS[value].arguments == 1:
            # A function name that is no catalogue entry, such as relu, means relu(y).
            return _parsed_activation(f"{value}(y)")
        return find_activation(value) if _is_name(value, ACTIVATIONS) else _parsed_activation(value)
    if isinstance(value, sp.Expr):
        return activation_from(value)
    from critlearn.compositions.symbolic.traced import traced

    return activation_from(traced(value, ("y",)), name=_named(value))


def as_loss(value: LossLike) -> Loss:
    """Convert a name, an expression in ``f`` and ``t`` or ``e = f - t``, or a callable on ``(f, t)`` to a loss.

    Raises
    ------
    InvalidInputError
        If it cannot be converted; the message says why.
    """
    if isinstance(value, Loss):
        return value
    if isinstance(value, str):
        return find_loss(value) if _is_name(value, LOSSES) else _parsed_loss(value)
    if isinstance(value, sp.Expr):
        return loss_from(value)
    from critlearn.compositions.symbolic.traced import traced

    return loss_from(traced(value, ("f", "t")), name=_named(value))


def _is_name(text: str, catalogue: dict[str, Any]) -> bool:
    """Whether a text is meant as a catalogue name, such as ``pseudo-huber``, and not as an expression, ``f-t``."""
    return text in catalogue or (_NAME.fullmatch(text) is not None and not set(text.split("-")) <= _VARIABLES)


_parsed_activation = lru_cache(maxsize=64)(parse_activation)
_parsed_loss = lru_cache(maxsize=64)(parse_loss)


def _named(value: object) -> str:
    if not callable(value):
        raise InvalidInputError(
            f"an activation or loss is a name, an expression or a callable; got {type(value).__name__}"
        )
    return getattr(value, "__name__", type(value).__name__)
