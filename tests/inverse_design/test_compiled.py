"""Designed losses under torch.compile, several in one process: values and gradients are those without it."""

import itertools

import pytest
import torch

from critlearn.inverse_design import BiTemperedLogistic, design
from critlearn.inverse_design.modules import DesignedLoss

MODULES = [
    *(design(q).loss_module() for q in (1.5, 0.5, 1.0, 2.0, 0.0, 1.5)),
    *(design(q, classes=3).loss_module() for q in (0.7, 1.5)),
    design(1.5, loss="mse").loss_module(),
    DesignedLoss(BiTemperedLogistic(0.8, 1.3), ""),
    DesignedLoss(BiTemperedLogistic(0.3, 0.7), ""),
]


@pytest.mark.slow
def test_compiled_designs_in_any_order() -> None:
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(40, 4, generator=generator)
    for module in itertools.chain(MODULES, MODULES[::-1]):
        classes = module.loss.class_targets
        model = torch.nn.Linear(4, 3 if classes else 1)
        t = torch.randint(0, 3, (40,), generator=generator) if classes else torch.where(x[:, :1] > 0, 1.0, -1.0)

        def loss_of(x: torch.Tensor, t: torch.Tensor, model=model, module=module) -> torch.Tensor:  # type: ignore[no-untyped-def]
            return module(model(x), t)

        plain, compiled = (
            (value, *torch.autograd.grad(value, list(model.parameters())))
            for value in (loss_of(x, t), torch.compile(loss_of, backend="aot_eager")(x, t))
        )
        for one, other in zip(plain, compiled, strict=True):
            assert bool(torch.isfinite(other).all())
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
