"""Formulas on the page say what the composition computes by another road: in logarithms."""

import numpy as np
import pytest
import sympy as sp

from critlearn.compositions import ACTIVATIONS, LOSSES, Composition
from critlearn.compositions.symbolic.functions import y
from critlearn.explorer.formulas import far, formulas, growths, half_line_forms, near, width

POINTS = np.array([0.2, 0.9, 2.5])
OWN = ["y/(1+abs(y)**3)**(1/3)", "relu(y)", "sin(y)"]


@pytest.mark.parametrize("name", [*ACTIVATIONS, *OWN])
def test_activations_are_those_that_are_computed(name: str) -> None:
    activation = Composition(name, "mse").activation
    forms = half_line_forms(activation)
    upper = [float(forms[0].subs(y, point)) for point in POINTS]
    np.testing.assert_allclose(upper, activation(POINTS), rtol=1e-10)
    if activation.negative is not None:
        lower = [float(forms[-1].subs(y, -point)) for point in POINTS]
        np.testing.assert_allclose(lower, activation(-POINTS), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", [*LOSSES, "abs(e)**3"])
def test_error_signals_are_those_that_are_computed(name: str) -> None:
    composition = Composition("tanh", name)
    (growth,) = growths(composition.loss)
    output = np.tanh(POINTS)
    size = [abs(float(growth.subs({near: 1 - f, far: 1 + f, width: 2}))) for f in output]
    np.testing.assert_allclose(size * (1 - output**2), np.exp(composition.log_error_signal(POINTS)), rtol=1e-8)


def test_every_composition_has_its_formulas_in_tex() -> None:
    for composition in (Composition("tanh", "bce"), Composition("max(y,0.1*y)", "log(1+exp(-t*f))")):
        activation, loss, signal, growth, slope = formulas(composition)
        assert activation.startswith("f(y) = ")
        assert loss.startswith("H = ")
        assert r"\frac{dh}{dy}" in signal
        assert growth.startswith(r"\left|\frac{\partial H}{\partial f}\right| = ")
        assert slope.startswith("f'(y) = ")
    assert sp.latex(sp.log(1 + sp.exp(-sp.Symbol("f") * sp.Symbol("t")))) in loss
