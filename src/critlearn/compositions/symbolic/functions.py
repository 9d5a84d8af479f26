"""SymPy functions for forms that would overflow or cancel if they were written out, such as ``ln erfc``."""

from typing import Any, Final, TypeAlias

import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

Array: TypeAlias = Any
"""A NumPy array, a torch tensor or an mpmath number: functions return the kind that they are called with."""

y: Final = sp.Symbol("y", nonnegative=True)
"""Size of the pre-activation; catalogue forms hold for ``y >= 0``, the rest follows by symmetry."""

s: Final = sp.Symbol("s", positive=True)
"""The variable that tends to infinity, in expressions whose growth is determined."""


class _RealFunction(sp.Function):
    """Function that is real for real arguments, which SymPy has to know to differentiate absolute values."""

    def _eval_is_real(self) -> bool | None:
        return self.args[0].is_real


class log_erfc(_RealFunction):  # noqa: N801 - named like the SymPy functions beside which it stands
    """``ln erfc(y)``, kept whole because ``erfc`` itself underflows from y = 27 on."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Derivative ``-2 exp(-y^2) / (sqrt(pi) erfc(y))`` as one exponential: numerator and denominator underflow."""
        argument = self.args[0]
        return -2 / sp.sqrt(sp.pi) * sp.exp(-(argument**2) - self)


class expit(_RealFunction):  # noqa: N801 - SciPy's name for the logistic function
    """``1 / (1 + exp(-x))``, kept whole so that each library evaluates it in its own stable way."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Derivative as the product ``expit(x) expit(-x)``, which does not cancel as ``p (1 - p)`` does."""
        return expit(self.args[0]) * expit(-self.args[0])

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return (1 / (1 + sp.exp(-self.args[0])))._eval_evalf(prec)


class softplus(_RealFunction):  # noqa: N801
    """``ln(1 + exp(x))``, which overflows if it is written out."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Derivative: the logistic function."""
        return expit(self.args[0])

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return sp.log(1 + sp.exp(self.args[0]))._eval_evalf(prec)


class erf_step(_RealFunction):  # noqa: N801
    """``erf(a + h) - erf(a)`` for a small ``h``, which cancels if it is written out; only mpmath evaluates it."""

    nargs = 2


class log_magnitude(sp.Function):  # noqa: N801
    """``log_magnitude(Lambda(s, E), k, x)``: k-th derivative of ``ln|E(x)|``, evaluated exactly in the tail.

    For expressions that were not written with care: where their floating-point value cancels, a table made at high
    precision takes over (module `magnitude`).
    """

    nargs = 3

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Derivative: the same function with k + 1."""
        return log_magnitude(self.args[0], self.args[1] + 1, self.args[2])

    def written(self) -> sp.Expr:
        """Rewrite in ordinary functions, with ``ln|E|`` as ``ln(E^2)/2``: SymPy is slow to find the sign of ``E``."""
        (variable,), body = self.args[0].variables, self.args[0].expr
        order = int(self.args[1])
        form = sp.log(body**2) / 2 if order == 0 else sp.diff(sp.diff(body, variable) / body, variable, order - 1)
        return form.xreplace({variable: self.args[2]})


def written_out(expression: sp.Expr) -> sp.Expr:
    """Rewrite an expression in functions of which SymPy can take limits."""
    expression = expression.replace(lambda part: isinstance(part, log_magnitude), lambda part: part.written())
    forms = {
        log1p: lambda x: sp.log(1 + x),
        expm1: lambda x: sp.exp(x) - 1,
        expit: lambda x: 1 / (1 + sp.exp(-x)),
        softplus: lambda x: sp.log(1 + sp.exp(x)),
        log_erfc: lambda x: sp.log(sp.erfc(x)),
    }
    for function, form in forms.items():
        expression = expression.replace(function, form)
    return expression


def plain(form: sp.Expr) -> sp.Expr:
    """Rewrite a form in ordinary functions, with ``ln|E|`` as ``ln(E^2)/2``, whose derivative is ``E'/E``."""
    form = form.replace(lambda part: isinstance(part, log_magnitude), lambda part: part.written())
    return form.replace(
        lambda part: isinstance(part, sp.log) and isinstance(part.args[0], sp.Abs),
        lambda part: sp.log(part.args[0].args[0] ** 2) / 2,
    )
