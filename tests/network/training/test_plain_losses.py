"""Values and errors computed together are those of the exact forms, of the definition, and finite at any margin."""

import itertools

import mpmath
import pytest
import torch
from torch import Tensor

from critlearn.compositions import (
    ACTIVATIONS,
    LOSSES,
    Activation,
    Averaged,
    Composition,
    Huber,
    OutputLoss,
    SoftmaxCrossEntropy,
    SoftTargetCrossEntropy,
)
from critlearn.errors import InvalidInputError
from critlearn.inverse_design.margin_loss import QMarginLoss
from critlearn.network.training.plain_losses import plain_loss
from reference import mpmath_oracle

CATALOGUE = [
    Composition(activation, loss)
    for activation, loss in itertools.product(ACTIVATIONS, (*LOSSES, "power:3", "power:1.5"))
    if ACTIVATIONS[activation].bounded or not Composition("tanh", loss).loss.needs_saturation
]
NATIVE = [
    *itertools.product(("sigmoid", "tanh", "softsign", "arctan"), ("bce", "mse", "mae")),
    ("identity", "mse"),
    ("identity", "mae"),
]
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
TYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)


def margins(largest: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Outputs of both signs and targets of both classes, shape (61, 2) each."""
    y = torch.linspace(-largest, largest, 61, dtype=torch.float64).to(dtype)
    return torch.stack([y, y], dim=1), torch.ones(61, 2, dtype=dtype) * torch.tensor([1.0, -1.0])


def assert_same(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    """Relatively the same; numbers below the smallest normal one of the type count as 0."""
    tiny = torch.finfo(dtype).tiny
    torch.testing.assert_close(found.double(), expected.double(), rtol=TOLERANCE[dtype], atol=tiny)


@TYPES
@pytest.mark.parametrize("composition", CATALOGUE, ids=lambda one: one.name)
def test_catalogue_is_evaluated_as_by_its_exact_forms(composition: Composition, dtype: torch.dtype) -> None:
    for largest in (5.0, 50.0):
        y, t = margins(largest, dtype)
        value, error = plain_loss(composition)(y, t)
        assert value.shape == error.shape == y.shape
        # Of the same rounded outputs in double precision: what float32 adds is its own rounding.
        assert_same(value, composition.value(y.double(), t.double()), dtype)
        assert_same(error.to(dtype), composition.output_error(y.double(), t.double()), dtype)


@TYPES
@pytest.mark.parametrize("composition", CATALOGUE, ids=lambda one: one.name)
def test_numbers_are_finite_wherever_the_exact_ones_are(composition: Composition, dtype: torch.dtype) -> None:
    y, t = margins(700.0, dtype)
    value, error = plain_loss(composition)(y, t)
    for found, exact in ((value, composition.value(y, t)), (error.to(dtype), composition.output_error(y, t))):
        assert bool(torch.isfinite(found)[torch.isfinite(exact)].all())
    assert bool(torch.isfinite(value).all())


@pytest.mark.parametrize(("activation", "loss"), [pair for pair in NATIVE if pair[0] != "identity"])
def test_torchs_functions_are_exact_in_the_tail(activation: str, loss: str) -> None:
    y, t = (part[::6] for part in margins(50.0, torch.float64))
    _, error = plain_loss(Composition(activation, loss))(y, t)
    for m, target, found in zip(y.flatten().tolist(), t.flatten().tolist(), error.flatten().tolist(), strict=True):
        exact = mpmath_oracle.output_error(activation, loss, m, int(target))
        assert abs(mpmath.mpf(found) / exact - 1) < 1e-13


@pytest.mark.parametrize(("activation", "loss"), NATIVE)
def test_errors_are_derivatives_of_values(activation: str, loss: str) -> None:
    y, t = margins(5.3, torch.float64)
    t = t + 0.1 if activation == "identity" else t
    y.requires_grad_()
    value, error = plain_loss(Composition(activation, loss))(y, t)
    (slope,) = torch.autograd.grad(value.sum(), y)
    torch.testing.assert_close(error, slope, rtol=1e-10, atol=1e-12)


def test_targets_of_zero_are_the_lower_class_and_others_are_refused() -> None:
    y = torch.tensor([[1.0], [-2.0]])
    for loss in ("bce", "focal"):
        found = plain_loss(Composition("sigmoid", loss))
        torch.testing.assert_close(found(y, torch.zeros(2, 1)), found(y, -torch.ones(2, 1)))
        with pytest.raises(InvalidInputError, match="are the classes"):
            found(y, torch.full((2, 1), 0.5))


def test_a_users_activation_with_a_name_of_the_catalogue_keeps_its_own_forms() -> None:
    slow = ACTIVATIONS["slow-softsign"]
    named_tanh = Activation("tanh", slow.range, slow.value, slow.log_derivative, slow.log_upper_gap, slow.log_lower_gap)
    y, t = margins(5.0, torch.float64)
    value, error = plain_loss(Composition(named_tanh, "mse"))(y, t)
    torch.testing.assert_close((value, error), plain_loss(Composition(slow, "mse"))(y, t))


def other_losses() -> list[tuple[OutputLoss, Tensor]]:
    """Losses that are no compositions of the catalogue, and targets for three outputs."""
    generator = torch.Generator().manual_seed(1)
    signs = torch.randint(0, 2, (61, 3), generator=generator).double() * 2 - 1
    soft = torch.rand(61, 3, generator=generator, dtype=torch.float64)
    soft[::3] = torch.eye(3, dtype=torch.float64)[torch.arange(21) % 3]
    soft[5] = 0.0
    return [
        (Averaged(Composition("sigmoid", "bce")), signs),
        (Averaged(Composition("arctan", "welsch")), signs),
        (Averaged(Huber(0.7)), soft),
        (Huber(0.7), soft),
        (QMarginLoss(1.5), signs),
        (Composition("y/(1+y**4)**(1/4)", "mse"), signs),
        (Composition("tanh", "abs(e)**3 + e**2"), signs),
        (Composition("identity", "exp(e) - e"), soft),
        (SoftmaxCrossEntropy(), torch.randint(0, 3, (61,), generator=generator)),
        (SoftTargetCrossEntropy(), soft),
    ]


@TYPES
@pytest.mark.parametrize(("loss", "t"), other_losses(), ids=lambda one: getattr(one, "name", ""))
def test_other_losses_are_evaluated_as_by_their_exact_forms(loss: OutputLoss, t: Tensor, dtype: torch.dtype) -> None:
    y = torch.linspace(-40, 40, 61, dtype=torch.float64)[:, None] * torch.tensor([0.3, -1.0, 0.6])
    y = y.to(dtype)
    value, error = plain_loss(loss)(y, t)
    # Losses without a form for both come in the precision of the outputs.
    exact = y if value.dtype == dtype else y.double()
    assert_same(value, loss.value(exact, t), dtype)
    assert_same(error, loss.output_error(exact, t), dtype)


def test_a_subclass_with_errors_of_its_own_keeps_them() -> None:
    class Doubled(Composition):
        def output_error(self, y: Tensor, t: Tensor) -> Tensor:
            return 2 * super().output_error(y, t)

    y, t = margins(5.0, torch.float64)
    _, error = plain_loss(Doubled("tanh", "mse"))(y, t)
    torch.testing.assert_close(error, 2 * Composition("tanh", "mse").output_error(y, t))


def test_classes_are_finite_at_any_margin_and_refused_beyond_their_number() -> None:
    y = torch.tensor([[700.0, -700.0, 0.0], [-700.0, 700.0, 0.0], [0.0, 0.0, 0.0]])
    value, error = plain_loss(SoftmaxCrossEntropy())(y, torch.zeros(3, dtype=torch.int64))
    assert bool(torch.isfinite(value).all())
    assert_same(error.float(), SoftmaxCrossEntropy().output_error(y, torch.zeros(3)), torch.float32)
    for other in (3, -1):
        with pytest.raises(InvalidInputError, match=r"class indices 0\.\.2"):
            plain_loss(SoftmaxCrossEntropy())(y, torch.full((3,), other))
    stored = plain_loss(SoftmaxCrossEntropy())(y, torch.zeros(3))
    torch.testing.assert_close(stored, (value.float(), error.float()))
