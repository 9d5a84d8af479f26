"""Networks of the atlas: each is trained and measured, and its per-sample gradients are those of autograd."""

import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from critlearn import measure
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from critlearn.studies import NetworkConfig
from critlearn.studies.network import network_of
from critlearn.studies.sweep.study.cells import expand
from critlearn.studies.sweep.study.reading import load_studies
from critlearn.studies.sweep.study.schema import shipped_file
from shape_checker import switched_off

FAMILIES = (
    "dense",
    "convolutional",
    "residual",
    "vision_transformer",
    "graph_convolution",
    "recurrent",
    "language_model",
)


def _system(name: str, activation: str) -> NeuralSystem:
    return network_of(NetworkConfig(network=f"critlearn.studies.atlas:{name}", hidden_activation=activation)).system


@pytest.mark.parametrize("study", ["atlas", "atlas-quick"])
def test_every_network_of_the_shipped_studies_can_be_made(study: str) -> None:
    cells = [cell for part in load_studies(shipped_file(study)) for cell in expand(part)]
    families = {str(cell.settings["network"]).rpartition(":")[2] for cell in cells}
    assert families == {*FAMILIES}
    for cell in cells:
        made = network_of(cell.config)  # type: ignore[arg-type]
        assert len(made.system.parameters) >= 6


@pytest.mark.parametrize("name", FAMILIES)
def test_sizes_of_changes_are_those_of_autograd(name: str) -> None:
    whole = _system(name, "tanh")
    some = TensorDataset(*(torch.stack(part) for part in zip(*(whole.dataset[at] for at in range(3)), strict=True)))
    system = NeuralSystem(whole.model, whole.loss, some)
    with switched_off(), warnings.catch_warnings():
        # Every family has rules of its own: none falls back to gradients that are written out.
        warnings.simplefilter("error")
        measured = measure(system)
    x, t = some.tensors
    names = list(system.parameters)
    for at in (0, len(names) // 2, len(names) - 1):
        changes = []
        for sample in range(3):
            y = system.model(x[sample : sample + 1])
            if name == "dense":
                # -ln f(t y) of a sigmoid with classes -1 and +1.
                loss = torch.nn.functional.softplus(-t[sample] * y).sum()
            else:
                # Mean over the places of a sequence.
                loss = torch.nn.functional.cross_entropy(y.reshape(-1, y.shape[-1]), t[sample : sample + 1].reshape(-1))
            (gradient,) = torch.autograd.grad(loss, system.parameters[names[at]])
            changes.append(gradient.flatten())
        sizes = torch.cat(changes).abs()
        logs = sizes[sizes > 0].log().sort().values.numpy()
        sketch = measured[names[at]]
        # Sorted logarithms, each known to a bin of 1/64 octave; values far below the largest are rounding in autograd.
        middles = np.repeat(0.5 * (sketch.edges[1:] + sketch.edges[:-1]), sketch.counts)
        resolved = logs > logs.max() - 20
        np.testing.assert_allclose(middles[-resolved.sum() :], logs[resolved], atol=0.03)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="hidden activation"):
        _system("residual", "nonsense")
