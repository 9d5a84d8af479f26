"""Text of records as HTML: exponents raised, the letter delta, and true minus signs."""

import re
from typing import Final

from markupsafe import Markup, escape

_POWER: Final = re.compile(r"delta\^(?P<minus>-?)\(?(?P<number>-?\d+(?:[./]\d+)?)\)?")
"""Power of delta as `notation.power_text` writes it."""
_MINUS: Final = re.compile(r"(?<![\w.)\-])-(?=\d)")
"""Sign of a number that stands for itself: not the one within 1e-05, digits-3v8 or 2020-13."""


def typeset(text: str) -> Markup:
    """Text with its powers of delta and its minus signs as they are printed.

    >>> print(typeset("follow delta^-1.10 [-0.2, 1.3] from 1e-05 on"))
    follow δ<sup>−1.10</sup> [−0.2, 1.3] from 1e-05 on
    >>> print(typeset("delta^-(-0.02), delta^-4/3, delta^0"))
    δ<sup>0.02</sup>, δ<sup>−4/3</sup>, δ<sup>0</sup>
    """
    raised = _POWER.sub(lambda found: f"δ<sup>{_sign(found)}</sup>", str(escape(text)))
    marked = _MINUS.sub("\N{MINUS SIGN}", raised)
    return Markup(marked)  # nosec B704  # escaped above


def _sign(found: re.Match[str]) -> str:
    """Exponent with its sign: two minus signs are none."""
    number = found["number"]
    if found["minus"]:
        number = number[1:] if number.startswith("-") else f"\N{MINUS SIGN}{number}"
    return number.replace("-", "\N{MINUS SIGN}")
