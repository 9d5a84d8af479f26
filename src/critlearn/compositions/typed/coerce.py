"""Whatever a user may give as an activation or a loss, as a value of the catalogue's kind."""

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


def as_activation(given: ActivationLike) -> Activation:
    """Activation from a name, an expression in ``y``, or a callable on tensors.

    Raises
    ------
    InvalidInputError
        If it cannot be made one, saying why.
    """
    if isinstance(given, Activation):
        return given
    if isinstance(given, str):
        if given not in ACTIVATIONS and given in FUNCTIONS and FUNCTIONS[given].arguments == 1:
            # A function of the expressions alone, as relu, is that function of y.
            return _parsed_activation(f"{given}(y)")
        return find_activation(given) if _is_name(given, ACTIVATIONS) else _parsed_activation(given)
    if isinstance(given, sp.Expr):
        return activation_from(given)
    from critlearn.compositions.symbolic.traced import traced

    return activation_from(traced(given, ("y",)), name=_named(given))


def as_loss(given: LossLike) -> Loss:
    """Loss from a name, an expression in ``f`` and ``t`` or ``e = f - t``, or a callable on tensors ``(f, t)``.

    Raises
    ------
    InvalidInputError
        If it cannot be made one, saying why.
    """
    if isinstance(given, Loss):
        return given
    if isinstance(given, str):
        return find_loss(given) if _is_name(given, LOSSES) else _parsed_loss(given)
    if isinstance(given, sp.Expr):
        return loss_from(given)
    from critlearn.compositions.symbolic.traced import traced

    return loss_from(traced(given, ("f", "t")), name=_named(given))


def _is_name(text: str, catalogue: dict[str, Any]) -> bool:
    """Whether a text is meant as a name of the catalogue: words, as against an expression such as ``f-t``."""
    return text in catalogue or (_NAME.fullmatch(text) is not None and not set(text.split("-")) <= _VARIABLES)


_parsed_activation = lru_cache(maxsize=64)(parse_activation)
_parsed_loss = lru_cache(maxsize=64)(parse_loss)


def _named(given: object) -> str:
    if not callable(given):
        raise InvalidInputError(
            f"an activation or loss is a name, an expression or a callable; got {type(given).__name__}"
        )
    return getattr(given, "__name__", type(given).__name__)
