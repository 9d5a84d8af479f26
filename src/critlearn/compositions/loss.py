"""What a loss is: its value and the logarithm of its slope, as functions of logarithmic distances."""

from dataclasses import dataclass
from typing import Final

import sympy as sp

from critlearn.errors import InvalidInputError

log_residual: Final = sp.Symbol("rho", real=True)
"""``ln|f - t|``: distance of the output from its target; at a class label, the gap to saturation."""

log_opposite: Final = sp.Symbol("omega", real=True)
"""``ln`` of the distance of the output from the other class's saturation value."""

log_width: Final = sp.Symbol("width", real=True)
"""``ln(sup f - inf f)``."""


@dataclass(frozen=True)
class Loss:
    """A loss ``H(f, t)`` as SymPy expressions in `log_residual`, `log_opposite` and `log_width`.

    Parameters
    ----------
    name
        Name in the catalogue, with its parameter if it has one (``power:3``).
    value
        ``H``.
    log_derivative
        ``ln|dH/df|``. ``H`` is taken to fall as ``f`` approaches its target.

    Raises
    ------
    InvalidInputError
        If an expression has other symbols than these.
    """

    name: str
    value: sp.Expr
    log_derivative: sp.Expr

    def __post_init__(self) -> None:
        """Refuse a loss that could not be evaluated."""
        for form in (self.value, self.log_derivative):
            if not sp.sympify(form).free_symbols <= {log_residual, log_opposite, log_width}:
                raise InvalidInputError(
                    f'loss "{self.name}" may depend on log_residual, log_opposite and log_width; got {form}'
                )

    @property
    def needs_saturation(self) -> bool:
        """Whether the loss is defined only for class labels at the saturation values of the activation."""
        symbols = self.value.free_symbols | self.log_derivative.free_symbols
        return bool(symbols & {log_opposite, log_width})
