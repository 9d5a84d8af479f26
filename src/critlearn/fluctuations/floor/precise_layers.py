"""Dense layers and activations for mpmath numbers, from plain definitions."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import mpmath as mp
import sympy as sp
import torch
from torch import nn

from critlearn.compositions import ACTIVATIONS, Activation
from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import expit, log_erfc, softplus
from critlearn.compositions.symbolic.traced import traced
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.floor.precise_loss import NoPreciseFormError
from critlearn.network import ActivationModule
from critlearn.network.exact.gelu import ExactGelu
from critlearn.numerics.precision_ladder import resolved

_MOST_DIGITS: Final = 960
"""Digits up to which a formula is evaluated: 60 doubled four times."""

_AGREEMENT: Final = 1e-20
"""Relative difference below which two evaluations, one with twice the digits, count as the same value."""

_COST_OF_VALUES: Final = 100
_COST_OF_FORMULAS: Final = 200
_COST_OF_ERROR_FUNCTIONS: Final = 700
"""Time that a value and a slope take, in products of two numbers of 60 digits."""

_FEWEST_DIGITS: Final = 30
"""Digits of the comparison of a formula with its module, twice those of a double."""

_ORDINARY: Final = (-2.9, -1.3, -0.37, 0.37, 1.3, 2.9)
"""Pre-activations at which a formula is compared with its module: of both signs, where nothing cancels badly."""

_y: Final = sp.Symbol("y", real=True)


@dataclass(frozen=True, eq=False)
class Dense:
    """Dense layer for mpmath numbers.

    Parameters
    ----------
    name
        Name of the module in the network.
    weight, bias
        Its numbers, ``weight`` by rows of outputs.
    """

    name: str
    weight: list[list[float]]
    bias: list[float] | None

    def forward(self, inputs: list[Any]) -> list[Any]:
        """``W a + b``."""
        sums = [mp.fdot(zip(row, inputs, strict=True)) for row in self.weight]
        return sums if self.bias is None else [total + b for total, b in zip(sums, self.bias, strict=True)]

    def backward(self, errors: list[Any]) -> list[Any]:
        """``W^T e``."""
        return [mp.fdot(zip(column, errors, strict=True)) for column in zip(*self.weight, strict=True)]


@dataclass(frozen=True, eq=False)
class Elementwise:
    """Activation for mpmath numbers: value and slope at a number, and the time both take in products of numbers."""

    value: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    cost: int


def dense(name: str, layer: nn.Linear) -> Dense:
    """Dense layer with the numbers of torch's."""
    bias = None if layer.bias is None else layer.bias.detach().double().tolist()
    return Dense(name, layer.weight.detach().double().tolist(), bias)


def _above_zero(above: sp.Expr, otherwise: sp.Expr) -> sp.Expr:
    """Function of two branches, of which the lower one holds at 0 as in torch."""
    return sp.Piecewise((above, _y > 0), (otherwise, True))


def _number(value: float) -> sp.Expr:
    """Rational number that equals the float exactly."""
    return sp.Rational(*float(value).as_integer_ratio())


def _gelu() -> sp.Expr:
    """``y Phi(y)``; SymPy would write ``erfc(-y)`` as ``2 - erfc(y)``."""
    return _y * sp.exp(log_erfc(-_y / sp.sqrt(2))) / 2


def _tanh_gelu() -> sp.Expr:
    """Torch's approximation of GELU, with ``(1 + tanh(u)) / 2`` written so that it does not cancel."""
    return _y * expit(2 * sp.sqrt(2 / sp.pi) * (_y + _number(0.044715) * _y**3))


_CATALOGUED: Final[dict[type[nn.Module], str]] = {nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.Softsign: "softsign"}
_FORMULAS: Final[dict[type[nn.Module], Callable[[Any], sp.Expr]]] = {
    nn.ReLU: lambda _: _above_zero(_y, sp.Integer(0)),
    nn.LeakyReLU: lambda module: _above_zero(_y, _number(module.negative_slope) * _y),
    nn.ELU: lambda module: _above_zero(_y, _number(module.alpha) * (sp.exp(_y) - 1)),
    nn.SiLU: lambda _: _y * expit(_y),
    nn.LogSigmoid: lambda _: -softplus(-_y),
    nn.GELU: lambda module: _gelu() if module.approximate == "none" else _tanh_gelu(),
    ExactGelu: lambda _: _gelu(),
}
"""Torch's activations that are not in the catalogue."""


def elementwise(module: nn.Module) -> Elementwise:
    """An activation at high precision: of the catalogue, of torch's, or a user's own if it can be traced to a formula.

    Raises
    ------
    NoPreciseFormError
        If it has trainable variables, or no formula is found.
    """
    kind = type(module)
    if isinstance(module, ActivationModule):
        activation = module.activation
        if ACTIVATIONS.get(activation.name) == activation:
            return _of_catalogue(activation)
        raise NoPreciseFormError(activation.name)
    if kind in _CATALOGUED:
        return _of_catalogue(ACTIVATIONS[_CATALOGUED[kind]])
    if kind in _FORMULAS:
        return _of_formula(_FORMULAS[kind](module))
    if kind.__module__.startswith("torch.") or next(module.parameters(), None) is not None:
        # Torch's own modules have settings that a formula of their name alone would miss.
        raise NoPreciseFormError(kind.__name__)
    try:
        found = _of_formula(traced(module, (_y.name,)))
    except InvalidInputError:
        raise NoPreciseFormError(kind.__name__) from None
    if not _agrees_with(module, found):
        raise NoPreciseFormError(kind.__name__)
    return found


def _agrees_with(module: nn.Module, found: Elementwise) -> bool:
    """Whether a formula has the value and the slope of a user's module at ordinary numbers.

    They need not be: a module may have a slope of its own making, such as that of a straight-through estimator.
    """
    at = torch.tensor(_ORDINARY, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        value = module(at)
        (slope,) = torch.autograd.grad(value.sum(), at)
    with mp.workdps(_FEWEST_DIGITS):
        numbers = [mp.mpf(number) for number in _ORDINARY]
        exact = [[float(part(number)) for number in numbers] for part in (found.value, found.slope)]
    expected = torch.tensor(exact, dtype=torch.float64)
    return torch.allclose(torch.stack([value.detach(), slope]).double(), expected, rtol=1e-6, atol=1e-6)


def _of_catalogue(activation: Activation) -> Elementwise:
    """Activation from the catalogue's logarithms, which cancel nowhere."""
    return Elementwise(activation, activation.derivative, _COST_OF_VALUES)


def _of_formula(formula: sp.Expr) -> Elementwise:
    """Activation from a formula and its derivative, evaluated with as many digits as they need."""
    slope = sp.diff(formula, _y)
    slow = formula.has(sp.erf, sp.erfc, log_erfc)
    cost = _COST_OF_ERROR_FUNCTIONS if slow else _COST_OF_FORMULAS
    return Elementwise(lambda number: _resolved(formula, number), lambda number: _resolved(slope, number), cost)


def _resolved(formula: sp.Expr, number: Any) -> Any:
    """Value of a formula: digits are doubled until two values agree.

    A zero is believed at the end only: ``1 - tanh(y)**2`` is zero with any digits that do not reach its value.
    """
    at_first = evaluate(formula, {_y: number})
    if isinstance(at_first, int):
        # A branch that is a constant.
        return mp.mpf(at_first)
    first_digits = mp.mp.dps
    doublings = math.ceil(math.log2(max(1.0, _MOST_DIGITS / first_digits)))
    value, digits = resolved(
        lambda: mp.mpf(at_first if mp.mp.dps == first_digits else evaluate(formula, {_y: number})),
        [first_digits * 2**doubling for doubling in range(doublings + 1)],
        lambda rough, precise: bool(precise) and abs(precise - rough) <= _AGREEMENT * abs(precise),
    )
    if value and digits is None:
        raise NoPreciseFormError(str(formula))
    return mp.mpf(value)
