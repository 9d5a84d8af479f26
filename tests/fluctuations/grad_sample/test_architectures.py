"""Networks of many architectures: every sample's gradients against automatic differentiation of it alone."""

import warnings

import pytest
import torch

from critlearn import NeuralSystem
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from reference.architectures import ARCHITECTURES, SAMPLES, differences, measured_rows


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_of_every_sample(name: str) -> None:
    if "LoRA" in name:
        pytest.importorskip("peft")
    architecture = ARCHITECTURES[name]
    model = architecture.made()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gradients = PerSampleGradients(
            NeuralSystem(model, architecture.loss, architecture.data, batch=architecture.batch)
        )
        found = measured_rows(gradients, SAMPLES)
    assert gradients.differentiated == set(architecture.whole)
    # Nor is any variable left to differentiation of the whole network for this batch alone.
    assert any("whole network" in str(each.message) for each in told) == bool(architecture.whole)
    assert set(found) == {key for key, value in model.named_parameters() if value.requires_grad}
    # Some models round to single precision inside, whatever the precision of their variables: to about 2e-7.
    assert max(differences(architecture, model, found).values()) <= 1e-6


# A network as people have it, in single precision, of which parts are passed in single precision.
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_of_every_sample_of_a_network_in_single_precision(name: str) -> None:
    if "LoRA" in name:
        pytest.importorskip("peft")
    architecture = ARCHITECTURES[name]
    model = architecture.made(torch.float32)
    gradients = PerSampleGradients(
        NeuralSystem(model, architecture.loss, architecture.data, batch=architecture.batch), quiet=True
    )
    found = measured_rows(gradients, SAMPLES)
    assert gradients.differentiated == set(architecture.whole)
    # The truth is that of the same numbers in double precision.
    assert max(differences(architecture, model.double(), found).values()) <= 2e-5


def test_a_wrong_gradient_would_be_seen() -> None:
    architecture = ARCHITECTURES["graph convolution"]
    model = architecture.made()
    gradients = PerSampleGradients(NeuralSystem(model, architecture.loss, architecture.data), quiet=True)
    found = measured_rows(gradients, SAMPLES)
    found["first.weight"][1] = found["first.weight"][0]
    assert differences(architecture, model, found)["first.weight"] > 1e-2
    assert torch.isfinite(found["second.weight"]).all()
