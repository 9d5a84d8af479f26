"""Descents over time: the weights have the spread of theory, and their tails are rows of tables and pages."""

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

import critlearn as cl
from critlearn.cli.main import app, exit_code
from critlearn.errors import InvalidInputError
from critlearn.studies import Study, ToyConfig, load_results
from critlearn.studies.over_time import follow_over_time
from critlearn.studies.sweep.run import sweep
from shape_checker import switched_off


def test_the_weights_spread_as_the_noise_of_gradients_says() -> None:
    torch.manual_seed(0)
    x = torch.randn(500, 1, dtype=torch.float64)
    t = torch.where(torch.rand(500) < torch.sigmoid(x[:, 0]), 1.0, -1.0)
    network = torch.nn.Linear(1, 1).double()
    inputs, decay, lr, batch = torch.cat([x, torch.ones_like(x)], dim=1), 0.1, 0.3, 4

    def loss(weights: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.softplus(-t * (inputs @ weights)).mean() + decay * (weights**2).sum() / 2

    weights = torch.zeros(2, dtype=torch.float64)
    for _ in range(20):
        hessian = torch.autograd.functional.hessian(loss, weights)
        weights = weights - torch.linalg.solve(hessian, torch.autograd.functional.jacobian(loss, weights))
    with torch.no_grad():
        network.weight.fill_(weights[0])
        network.bias.fill_(weights[1])
    system = cl.NeuralSystem(network, cl.Composition("sigmoid", "bce"), torch.utils.data.TensorDataset(x, t))
    config = ToyConfig(descent_steps=4000, descent_lr=lr, descent_batch_size=batch, weight_decay=decay)
    with switched_off():
        record, found = follow_over_time(system, config)
    values = np.concatenate(list(record.series.values.values()), axis=1)
    assert values.shape == (2001, 2)
    assert record.series.steps.tolist() == list(range(2000, 4001))
    assert found["steps"] == [2000, 4000]
    # Stationary covariance of v -> (1 - lr H) v - lr noise / batch: a discrete Lyapunov equation.
    errors = -t * torch.sigmoid(-t * (inputs @ weights))
    noise = np.cov((errors[:, None] * inputs).numpy(), rowvar=False)
    covariance = scipy.linalg.solve_discrete_lyapunov(np.eye(2) - lr * hessian.numpy(), lr**2 * noise / batch)
    # They are forgotten in some 12 steps: 2,000 are worth 160 independent ones, which know a variance to 11%.
    assert values.var(axis=0) == pytest.approx(np.diag(covariance), rel=0.45)
    # The network is left as it is.
    assert network.weight.item() == weights[0].item()
    for quantity in found["quantities"].values():
        assert quantity["count"] + quantity["zeros"] >= 4000


def test_a_descent_that_diverges_or_is_short_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 200"):
        ToyConfig(descent_steps=50)
    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(50, 1).double(), torch.randn(50).sign())
    system = cl.NeuralSystem(torch.nn.Linear(1, 1).double(), cl.Composition("identity", "power:4"), data)
    with switched_off(), pytest.raises(InvalidInputError, match="smaller descent_lr than 100"):
        follow_over_time(system, ToyConfig(descent_steps=400, descent_lr=100.0))


def test_tails_over_time_are_rows_of_a_store_and_a_section_of_a_page(tmp_path: Path) -> None:
    study = Study.model_validate(
        {
            "name": "small",
            "data": {"samples": 1000},
            "training": {"epochs": 20, "batch_size": 500, "lr": 0.05},
            "measure": {"quantities": ["bias", "time.increments"], "modes": False, "descent_steps": 400},
        }
    )
    store = tmp_path / "store"
    with switched_off():
        assert [reason for _, reason in sweep(study, str(store))] == [None]
        assert load_results(str(store))["quantity"].tolist() == ["bias", "time.increments"]
        rows = load_results(str(store), every_quantity=True)["quantity"].tolist()
        assert rows == ["bias", "weight", "time.increments", "time.iterates"]
        (cell,) = (store / "cells").iterdir()
        assert cl.load(cell).table["quantity"].tolist() == rows
        assert exit_code(app, ["report", str(cell)]) == 0
    page = (cell / "report.html").read_text()
    assert "2 variables over 201 of the 400 steps of a training (200 to 400)" in page
    assert "Fluctuations of time.increments" in page
