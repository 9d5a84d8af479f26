"""The sentences that a run comes down to: the page and the program tell the same ones."""

from collections.abc import Mapping
from typing import Any


def headlines(quantities: Mapping[str, Any]) -> list[str]:
    """Statements of all quantities with a prediction; that of the first one if none has any.

    Parameters
    ----------
    quantities
        Entry ``quantities`` of the record of a run.
    """
    told = [quantity["statement"] for quantity in quantities.values() if quantity["predicted"] is not None]
    return told or [next(iter(quantities.values()))["statement"]]
