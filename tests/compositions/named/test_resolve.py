"""The resolver of compositions: names, expressions and softmax, whose error is that of one margin."""

import itertools

import mpmath
import numpy as np
import pytest

from critlearn.compositions import ACTIVATIONS, LOSSES, Composition, SoftmaxCrossEntropy
from critlearn.compositions.named.resolve import composition_of, margin_composition
from critlearn.compositions.torch_losses.averaged import Huber
from critlearn.errors import InvalidInputError


def test_all_names_that_fit_are_compositions() -> None:
    for activation, loss in itertools.product(ACTIVATIONS.values(), LOSSES.values()):
        if activation.bounded or not loss.needs_saturation:
            assert composition_of(activation.name, loss.name) == Composition(activation, loss)


def test_expressions_mix_with_names() -> None:
    assert composition_of("y/(1+abs(y))", "mse").exact_exponent() == composition_of("softsign", "e**2").exact_exponent()


@pytest.mark.parametrize(("activation", "loss"), [("softmax", "mse"), ("tanh", "cross-entropy"), ("softmax", "e**2")])
def test_softmax_and_cross_entropy_go_together_only(activation: str, loss: str) -> None:
    with pytest.raises(InvalidInputError, match="acts on all classes at once"):
        composition_of(activation, loss)


@pytest.mark.parametrize(
    ("activation", "loss", "near"),
    [("sofmax", "cross-entropy", "softmax"), ("softmax", "crossentropy", "softmax"), ("tanh", "cros-entropy", "cross")],
)
def test_the_nearest_name_is_told(activation: str, loss: str, near: str) -> None:
    with pytest.raises(InvalidInputError, match=f'did you mean "{near}|goes with'):
        composition_of(activation, loss)


def test_the_error_of_the_true_class_is_that_of_the_margin() -> None:
    loss = composition_of("softmax", "cross-entropy")
    assert loss == SoftmaxCrossEntropy()
    y = np.array([[300.0, -2.0, 1.0], [0.5, 40.0, -3.0], [-600.0, 90.0, 89.0], [1.0, 1.0, 1.0]])
    t = np.array([0, 1, 0, 2])
    margins = loss.margins(y, t)  # type: ignore[union-attr]
    predicted = margin_composition(loss).log_error_signal(margins)
    with mpmath.workdps(400):
        for row, true, log_error in zip(y, t, np.asarray(predicted), strict=True):
            sizes = [mpmath.exp(value) for value in row.tolist()]
            wrong = sum(sizes) - sizes[true]
            assert log_error == pytest.approx(float(mpmath.log(wrong / sum(sizes))), rel=1e-12)


def test_a_loss_of_several_numbers_has_no_margin() -> None:
    with pytest.raises(InvalidInputError, match="not those of one number"):
        margin_composition(Huber(1.0))
