"""The catalogue as a table: every activation with every loss that can follow it, and the classes' losses."""

from typing import Any, Final

from critlearn.compositions.catalogue.activations import ACTIVATIONS, find_activation
from critlearn.compositions.catalogue.losses import LOSSES, find_loss
from critlearn.compositions.composition import Composition
from critlearn.compositions.tails.asymptote import Asymptote

COLUMNS: Final = ["activation", "loss", "exponent", "tail", "location", "other limits"]

_POWERS: Final = ("power:3", "power:4")


def catalogue_table(*, activation: str | None = None, loss: str | None = None) -> list[dict[str, Any]]:
    """Rows of the table, exact exponents as fractions; optionally only those of one activation or loss.

    Raises
    ------
    InvalidInputError
        If a name is unknown.
    """
    activations = list(ACTIVATIONS) if activation is None else [find_activation(activation).name]
    losses = [*LOSSES, *_POWERS] if loss is None else [find_loss(loss).name]
    rows = [
        _row(Composition(one, other))
        for one in activations
        for other in losses
        if ACTIVATIONS[one].bounded or not find_loss(other).needs_saturation
    ]
    if activation is None and loss in (None, "cross-entropy"):
        rows.append(
            _written("softmax", "cross-entropy", [Asymptote(1.0, "1", "exp(-m)", "margin -> inf, wrong classes")])
        )
    return rows


def _row(composition: Composition) -> dict[str, Any]:
    return _written(composition.activation.name, composition.loss.name, list(composition.all_asymptotes()))


def _written(activation: str, loss: str, asymptotes: list[Asymptote]) -> dict[str, Any]:
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
