"""Torch's functions as SymPy expressions, called with torch's own arguments."""

from collections.abc import Callable
from typing import Any, Final

import sympy as sp

from critlearn.compositions.symbolic.functions import expit, softplus

_ONE: Final = sp.Integer(1)
# The constants of torch's own documentation of SELU.
_SELU_ALPHA: Final = sp.Rational("1.6732632423543772848170429916717")
_SELU_SCALE: Final = sp.Rational("1.0507009873554804934193349852946")


def _gelu(x: sp.Expr, approximate: str = "none") -> sp.Expr:
    if str(approximate) == "tanh":
        return x * (1 + sp.tanh(sp.sqrt(2 / sp.pi) * (x + sp.Rational(44715, 10**6) * x**3))) / 2
    return x * (1 + sp.erf(x / sp.sqrt(2))) / 2


def _clamp(x: sp.Expr, min: sp.Expr | None = None, max: sp.Expr | None = None) -> sp.Expr:
    raised = x if min is None else sp.Max(x, min)
    return raised if max is None else sp.Min(raised, max)


def _leaky_relu(x: sp.Expr, negative_slope: sp.Expr = _ONE / 100) -> sp.Expr:
    return sp.Max(x, 0) + negative_slope * sp.Min(x, 0)


def _elu(x: sp.Expr, alpha: sp.Expr = _ONE) -> sp.Expr:
    return sp.Max(x, 0) + alpha * (sp.exp(sp.Min(x, 0)) - 1)


def _softplus(x: sp.Expr, beta: sp.Expr = _ONE, threshold: sp.Expr | None = None) -> sp.Expr:
    """Softplus without the threshold above which torch returns the argument itself."""
    return softplus(beta * x) / beta


def _hardtanh(x: sp.Expr, min_val: sp.Expr = -_ONE, max_val: sp.Expr = _ONE) -> sp.Expr:
    return sp.Min(sp.Max(x, min_val), max_val)


def _where(condition: Any, x: sp.Expr, y: sp.Expr) -> sp.Expr:
    return sp.Piecewise((x, condition), (y, True))


COUNTERPARTS: Final[dict[str, Callable[..., Any]]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "truediv": lambda x, y: x / y,
    "true_divide": lambda x, y: x / y,
    "pow": lambda x, y: x**y,
    "neg": lambda x: -x,
    "abs": sp.Abs,
    "absolute": sp.Abs,
    "square": lambda x: x**2,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / sp.sqrt(x),
    "arctan": sp.atan,
    "arcsinh": sp.asinh,
    "log1p": lambda x: sp.log(1 + x),
    "expm1": lambda x: sp.exp(x) - 1,
    "sigmoid": expit,
    "expit": expit,
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + sp.Abs(x)),
    "silu": lambda x: x * expit(x),
    "mish": lambda x: x * sp.tanh(softplus(x)),
    "gelu": _gelu,
    "logsigmoid": lambda x: -softplus(-x),
    "log_sigmoid": lambda x: -softplus(-x),
    "relu": lambda x: sp.Max(x, 0),
    "relu6": lambda x: sp.Min(sp.Max(x, 0), 6),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
    "celu": lambda x, alpha=_ONE: sp.Max(x, 0) + alpha * (sp.exp(sp.Min(x, 0) / alpha) - 1),
    "hardtanh": _hardtanh,
    "hardsigmoid": lambda x: sp.Min(sp.Max(x / 6 + _ONE / 2, 0), 1),
    "hardswish": lambda x: x * sp.Min(sp.Max(x / 6 + _ONE / 2, 0), 1),
    "tanhshrink": lambda x: x - sp.tanh(x),
    "clamp": _clamp,
    "clip": _clamp,
    "where": _where,
    "maximum": sp.Max,
    "minimum": sp.Min,
    "identity": lambda x: x,
    "gt": sp.Gt,
    "ge": sp.Ge,
    "lt": sp.Lt,
    "le": sp.Le,
    **{name: getattr(sp, name) for name in ("exp", "log", "sqrt", "tanh", "sinh", "cosh", "sin", "cos", "atan")},
    **{name: getattr(sp, name) for name in ("asinh", "erf", "erfc", "sign")},
}
"""SymPy counterparts, by torch's name of the function or of the tensor's method."""
