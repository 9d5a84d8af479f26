"""A composition in TeX: its activation, its loss, and the error signal that they make."""

import math
from functools import lru_cache
from typing import Final

import sympy as sp
from sympy.core.relational import Relational

from critlearn.compositions import Activation, Composition, Loss
from critlearn.compositions.loss import log_opposite, log_residual, log_width, output
from critlearn.compositions.symbolic.functions import written_out, y
from critlearn.numerics.time_budget import Allowance

near: Final = sp.Symbol("near", positive=True)
"""Distance of the output from its target."""

far: Final = sp.Symbol("far", positive=True)
"""Distance of the output from the value of the other class."""

width: Final = sp.Symbol("width", positive=True)
"""Distance of the two classes."""

_NAMES: Final = {near: r"\left|f-t\right|", far: r"\left|f-t'\right|", width: r"\left|t-t'\right|"}
_SECONDS: Final = 0.3
"""Processor time for simplifying one form; it is shown as it is after that."""

_UPPER, _LOWER = r"y \geq 0", r"y < 0"


@lru_cache(maxsize=64)
def formulas(composition: Composition) -> tuple[str, ...]:
    r"""Activation, loss and error signal, a formula in TeX each.

    >>> print(*formulas(Composition("softsign", "mae"))[:2], sep="  ")
    f(y) = \frac{y}{y + 1},\quad y \geq 0;\quad f(-y) = -f(y)  H = \left|f-t\right|
    """
    activation, loss = composition.activation, composition.loss
    classes = r",\quad t' \text{ the other class}" if loss.needs_saturation else ""
    return (
        "f(y) = " + _value(activation),
        "H = " + _by_residual_sign([_latex(form) for form in values(loss)]) + classes,
        r"\left|\frac{dh}{dy}\right| = \left|\frac{\partial H}{\partial f}\right| \left|f'(y)\right|",
        r"\left|\frac{\partial H}{\partial f}\right| = " + _by_residual_sign([_size(form) for form in growths(loss)]),
        "f'(y) = " + _slope(activation),
    )


def half_line_forms(activation: Activation) -> list[sp.Expr]:
    """Values in ordinary functions: one that holds everywhere or by symmetry, else for ``y >= 0`` and ``y < 0``."""
    upper = written_out(activation.value)
    if activation.negative is None:
        return [upper]
    lower = written_out(activation.negative.value)
    return [upper] if _simple(lower.subs(y, -y) - upper) == 0 else [upper, lower.subs(y, -y)]


def _value(activation: Activation) -> str:
    forms = half_line_forms(activation)
    if len(forms) > 1:
        return _cases([sp.latex(form) for form in forms], (_UPPER, _LOWER))
    if _everywhere(activation):
        return str(sp.latex(forms[0]))
    total = _total(activation)
    mirrored = "-f(y)" if total == 0 else f"{sp.latex(total)} - f(y)"
    return rf"{sp.latex(forms[0])},\quad {_UPPER};\quad f(-y) = {mirrored}"


def _slope(activation: Activation) -> str:
    forms = [sp.latex(_simple(sp.diff(form, y))) for form in half_line_forms(activation)]
    if len(forms) > 1:
        return _cases(forms, (_UPPER, _LOWER))
    return forms[0] + ("" if _everywhere(activation) else rf",\quad {_UPPER}")


def _everywhere(activation: Activation) -> bool:
    """Whether the form for ``y >= 0`` holds for all ``y``, as that of tanh, and unlike that of softsign."""
    form = half_line_forms(activation)[0]
    return activation.negative is not None or _simple(form + form.subs(y, -y) - _total(activation)) == 0


def _total(activation: Activation) -> sp.Expr:
    """``f(y) + f(-y)`` of a symmetric activation."""
    return sp.nsimplify(sum(activation.range)) if all(map(math.isfinite, activation.range)) else sp.Integer(0)


def values(loss: Loss) -> list[sp.Expr]:
    """Loss by `near`, `far` and `width`, or by the output and its target; above the target too where it differs."""
    if loss.formula is not None:
        return [loss.formula]
    return [_by_distances(form) for form in ([loss.value] if loss.above is None else [loss.value, loss.above.value])]


def growths(loss: Loss) -> list[sp.Expr]:
    """Slope of the loss as the output moves away from its target, and so towards the other class."""
    if loss.formula is not None:
        return [_simple(sp.diff(loss.formula, output))]
    return [_simple(sp.diff(form, near) - sp.diff(form, far)) for form in values(loss)]


def _by_distances(form: sp.Expr) -> sp.Expr:
    logs = {log_residual: sp.log(near), log_opposite: sp.log(far), log_width: sp.log(width)}
    plain = written_out(form).subs(logs)
    return plain.replace(
        lambda part: isinstance(part, Relational) and isinstance(part.lhs, sp.log),
        lambda part: part.func(part.lhs.args[0], sp.exp(part.rhs)),
    )


def _latex(form: sp.Expr) -> str:
    return str(sp.latex(form, symbol_names=_NAMES))


def _size(form: sp.Expr) -> str:
    """Absolute value of a form, with bars only where its sign is not known."""
    return _latex(form) if form.is_nonnegative else rf"\left|{_latex(form)}\right|"


def _by_residual_sign(forms: list[str]) -> str:
    return forms[0] if len(set(forms)) == 1 else _cases(forms, ("f < t", "f > t"))


def _cases(forms: list[str], where: tuple[str, ...]) -> str:
    rows = r" \\ ".join(rf"{form} & {place}" for form, place in zip(forms, where, strict=True))
    return rf"\begin{{cases}} {rows} \end{{cases}}"


def _simple(form: sp.Expr) -> sp.Expr:
    """Form simplified, if that takes little time."""
    found = Allowance(_SECONDS).spend(lambda: sp.simplify(form))
    return form if found is None else found
