"""Designed losses of many classes by the names that they have."""

from typing import Final

from critlearn.errors import InvalidInputError
from critlearn.inverse_design.bi_tempered import BiTemperedLogistic
from critlearn.inverse_design.tempered_softmax import TemperedSoftmax

_KINDS: Final[dict[str, tuple[type[TemperedSoftmax] | type[BiTemperedLogistic], int, str]]] = {
    "tempered-softmax": (TemperedSoftmax, 1, "tempered-softmax:1.5"),
    "bi-tempered": (BiTemperedLogistic, 2, "bi-tempered:0.8,1.3"),
}
"""Losses, how many temperatures each has, and an example."""


def tempered_loss(name: str) -> TemperedSoftmax | BiTemperedLogistic | None:
    """Return the tempered loss of a name such as ``bi-tempered:0.8,1.3``; None for names of other losses.

    Raises
    ------
    InvalidInputError
        If its temperatures are not as many numbers as it has, or out of range.

    >>> tempered_loss("tempered-softmax:1.5"), tempered_loss("mse")
    (TemperedSoftmax(temperature=1.5), None)
    """
    kind, _, text = name.partition(":")
    if kind not in _KINDS:
        return None
    loss, number, example = _KINDS[kind]
    try:
        temperatures = [float(part) for part in text.split(",")]
    except ValueError:
        temperatures = []
    if len(temperatures) != number:
        raise InvalidInputError(f'"{kind}" is given with its temperatures, such as {example}; got "{name}"')
    return loss(*temperatures)
