"""Differences from a constant, rewritten so that the constant cancels in SymPy and not in floating point."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np
import sympy as sp

from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import expit, y

_COMPLEMENTS: Final[dict[Any, Callable[[sp.Expr], sp.Expr]]] = {
    sp.tanh: lambda x: 1 - 2 * expit(-2 * x),
    sp.erf: lambda x: 1 - sp.erfc(x),
    sp.atan: lambda x: sp.pi / 2 - sp.acot(x),
    expit: lambda x: 1 - expit(-x),
    sp.cos: lambda x: 1 - 2 * sp.sin(x / 2) ** 2,
}


@lru_cache(maxsize=512)
def complemented(gap: sp.Expr) -> sp.Expr:
    """Rewrite ``1 - f`` in a gap as the complement of ``f``, as ``erfc`` for ``erf``, if the constants cancel."""
    best = gap
    for function, form in _COMPLEMENTS.items():
        replaced = sp.expand(
            best.replace(
                lambda part, function=function: _has_small_complement(part, function),
                lambda part, form=form: form(part.args[0]),
            )
        )
        # Kept only if no constant is left: otherwise the difference cancels as before.
        if not replaced.as_coeff_Add()[0]:
            best = replaced
    return best


def _has_small_complement(part: sp.Basic, function: Any) -> bool:
    """Whether a part is a call of the function at arguments where its complement is small, which are positive."""
    return isinstance(part, function) and (function is sp.cos or _is_positive(part.args[0]))


def _is_positive(argument: sp.Expr) -> bool:
    return bool((evaluate(argument, {y: np.array([1.0, 30.0])}) > 0).all())


@lru_cache(maxsize=256)
def difference(value: sp.Expr, target: float) -> sp.Expr:
    """Difference ``f - t`` for one target, without cancellation if possible: ``cos(y) - 1`` is ``-2 sin(y/2)^2``."""
    plain = value - sp.nsimplify(target, rational=True)
    if not plain.as_coeff_Add()[0]:
        return plain
    form = complemented(plain)
    return form if not form.as_coeff_Add()[0] else plain
