"""Table of the catalogue: exponents of every activation with every loss that can follow it, and of softmax."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from critlearn.compositions.catalogue.activations import ACTIVATIONS, SOFTMAX
from critlearn.compositions.catalogue.losses import CROSS_ENTROPY, LOSSES, find_loss
from critlearn.compositions.composition import Composition
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.compositions.typed.coerce import ActivationLike, LossLike, as_activation, as_loss

COLUMNS: Final = ["activation", "loss", "exponent", "tail", "location", "other limits"]

SHIPPED: Final = Path(__file__).with_name("table.csv")
"""Rows of all pairs, which take 10 s to compute; docs/make_table.py writes them, and a test computes them again."""

_POWERS: Final = ("power:3", "power:4")


def catalogue_table(*, activation: ActivationLike | None = None, loss: LossLike | None = None) -> list[dict[str, Any]]:
    """Return the rows of the table, exact exponents as fractions; optionally those of one activation or loss.

    Raises
    ------
    InvalidInputError
        If a name is unknown, or an expression cannot be used.
    """
    if (activation, loss) in ((SOFTMAX, None), (None, CROSS_ENTROPY), (SOFTMAX, CROSS_ENTROPY)):
        return [_SOFTMAX_ROW]
    if activation is None and loss is None:
        with SHIPPED.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    return _computed(activation, loss)


def whole_table() -> list[dict[str, Any]]:
    """Compute the rows of all pairs, which `catalogue_table` reads from the file that comes with the package."""
    return [*_computed(None, None), _SOFTMAX_ROW]


def _computed(activation: ActivationLike | None, loss: LossLike | None) -> list[dict[str, Any]]:
    activations = ACTIVATIONS.values() if activation is None else [as_activation(activation)]
    losses = [*LOSSES.values(), *map(find_loss, _POWERS)] if loss is None else [as_loss(loss)]
    return [
        _row(Composition(one, other))
        for one in activations
        for other in losses
        if one.bounded or not other.needs_saturation
    ]


def _row(composition: Composition) -> dict[str, Any]:
    return _written(composition.activation.name, composition.loss.name, composition.all_asymptotes())


def _written(activation: str, loss: str, asymptotes: Sequence[Asymptote]) -> dict[str, Any]:
    first, others = asymptotes[0], asymptotes[1:]
    return {
        "activation": activation,
        "loss": loss,
        "exponent": _exponent(first),
        "tail": first.tail,
        "location": first.location,
        "other limits": "; ".join(f"{_exponent(other)}: {other.tail} ({other.location})" for other in others),
    }


def _exponent(asymptote: Asymptote) -> str:
    if asymptote.exponent is None:
        return "none"
    return asymptote.exact or f"{asymptote.exponent:.4g}"


_SOFTMAX_ROW: Final = _written(SOFTMAX, CROSS_ENTROPY, [Asymptote(1.0, "1", "exp(-m)", "margin -> inf, wrong classes")])
