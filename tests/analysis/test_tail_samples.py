"""Samples that make the tail, held against gradients written out one by one, and against labels known to be wrong."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

import critlearn
from critlearn.analysis import Analysis
from critlearn.errors import InvalidInputError


def test_sizes_and_shares_are_those_of_gradients_written_out(two_class: Analysis) -> None:
    system = two_class.system
    assert system is not None
    table = two_class.samples(len(system)).set_index("sample").sort_index()
    gradients: dict[str, list[np.ndarray]] = {"output": [], "hidden1": []}
    norms, losses, margins = [], [], []
    for x, t in system.boundary(1):
        y = system.model(x)
        loss = nn.functional.softplus(-y * t).sum()
        parts = dict(zip(system.parameters, torch.autograd.grad(loss, list(system.parameters.values())), strict=True))
        for layer, found in gradients.items():
            found.append(torch.cat([parts[f"{layer}.{kind}"].flatten() for kind in ("weight", "bias")]).abs().numpy())
        every = torch.cat([part.flatten() for part in parts.values()])
        norms.append(float(every.square().mean().sqrt()))
        losses.append(float(loss.detach()))
        margins.append(float((y * t).detach()))
    assert table["size"].to_numpy() == pytest.approx(norms, rel=1e-9)
    assert table["loss"].to_numpy() == pytest.approx(losses, rel=1e-9)
    assert table["margin"].to_numpy() == pytest.approx(margins, rel=1e-9)
    for layer, found in gradients.items():
        values = np.array(found)
        # The largest hundredth, up to the values within a bin of its end.
        low, high = (np.sort(values.ravel())[::-1][round(values.size * share)] for share in (0.011, 0.009))
        least, most = ((values > end).sum(axis=1) for end in (high, low))
        counted = table[layer].to_numpy() * round(0.01 * values.size)
        assert np.all(counted >= 0.85 * least)
        assert np.all(counted <= 1.15 * most + 1e-9)
        assert table[layer].sum() == pytest.approx(1.0)


@pytest.mark.parametrize("seed", [0, 1])
def test_wrong_labels_are_found_as_well_as_by_the_loss(seed: int) -> None:
    bunch = load_digits()
    x, labels = torch.from_numpy(bunch.data / 16.0), torch.from_numpy(bunch.target)
    generator = torch.Generator().manual_seed(seed)
    wrong = torch.randperm(len(labels), generator=generator)[: len(labels) // 20]
    labels = labels.clone()
    labels[wrong] = (labels[wrong] + torch.randint(1, 10, (len(wrong),), generator=generator)) % 10
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)).double()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-3)
    for _ in range(150):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        optimiser.step()
    quantities = critlearn.Quantities(only=("*",))
    analysis = critlearn.analyze(
        model, nn.CrossEntropyLoss(), TensorDataset(x, labels), quantities=quantities, progress=False
    )
    table, known = analysis.samples(len(labels)), set(wrong.tolist())

    def found(column: str) -> float:
        first = table.sort_values(column, ascending=False)["sample"].head(len(wrong))
        return len(known & set(first)) / len(wrong)

    # Of those drawn at random, 5% would be wrong ones.
    assert found("share") > 0.8
    assert found("share") >= found("loss") - 0.05
    assert found("share") >= found("size")
    suspects = set(table.loc[table["suspect"], "sample"])
    assert len(known & suspects) > 0.9 * len(wrong)


def test_a_stored_analysis_says_that_it_has_no_data(two_class: Analysis) -> None:
    stored = Analysis(two_class.record, two_class.fluctuations)
    with pytest.raises(InvalidInputError, match="has no data"):
        stored.samples()
    with pytest.raises(InvalidInputError, match="at least 1"):
        two_class.samples(0)
