"""What users hand over: tensors of every layout, labels of every type, pairs as windows, lists as histograms."""

from typing import Any

import numpy as np
import pytest
import torch

from critlearn.errors import InvalidInputError
from critlearn.inference import Criteria, Histogram, fit_power_law
from critlearn.inference.counts.raw_values import as_values, as_window, cluster_index
from critlearn.numerics.window import Window
from reference.power_law_samples import power_law

NUMBERS = [0.5, 0.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(NUMBERS).to_sparse(),
        torch.tensor(NUMBERS),
        torch.complex(torch.zeros(4), -torch.tensor(NUMBERS)).conj().imag,
        torch.tensor(NUMBERS, requires_grad=True),
    ],
    ids=["sparse", "strided", "negative", "gradient"],
)
def test_tensors_of_every_layout(tensor: torch.Tensor) -> None:
    assert as_values(tensor)[0].tolist() == NUMBERS


@pytest.mark.parametrize(
    "data", [torch.zeros(3, device="meta"), torch.zeros(3, dtype=torch.complex64), [[1.0], [1.0, 2.0]]]
)
def test_what_is_no_array_of_numbers_is_refused(data: Any, without_shape_checker: None) -> None:
    with pytest.raises(InvalidInputError):
        as_values(data)


def test_labels_of_several_types() -> None:
    labels = np.array(["a", 1, "a", 2.5, 1, ("x", 1)], dtype=object)
    index, distinct = cluster_index(labels, 6)
    assert distinct == 4
    assert index[0] == index[2]
    assert index[1] == index[4]
    assert len(set(index.tolist())) == 4


@pytest.mark.parametrize("labels", [[1.0, np.nan, 2.0], np.array(["a", None, "b"], dtype=object)])
def test_missing_labels_are_refused(labels: Any) -> None:
    with pytest.raises(InvalidInputError, match="1 of 3 cluster labels are missing"):
        cluster_index(labels, 3)


def test_pairs_are_windows(without_shape_checker: None) -> None:
    assert as_window((1e-3, 1)) == as_window([1e-3, 1.0]) == Window(1e-3, 1.0)
    for wrong in ((1.0,), (2, 1), ("a", "b"), 3.0):
        with pytest.raises(InvalidInputError, match="two numbers"):
            as_window(wrong)  # type: ignore[arg-type]


def test_histograms_take_lists() -> None:
    assert Histogram([1, 2], [1, 2, 4]).counts.tolist() == [1.0, 2.0]
    with pytest.raises(InvalidInputError, match="must be numbers"):
        Histogram(["a"], [1, 2])


def test_the_log_likelihood_is_that_of_the_values_however_they_are_binned() -> None:
    values, window = power_law(1.5, 1e-3, 1.0, 20_000, 0), Window(1e-3, 1.0)
    edges = [np.geomspace(1e-3, 1.0, bins + 1) for bins in (128, 1024)]
    fits = [fit_power_law(values, window, criteria=Criteria(replicates=10))]
    fits += [fit_power_law(Histogram(np.histogram(values, at)[0], at), window) for at in edges]
    for fit, bins in zip(fits, (256, 128, 1024), strict=True):
        assert fit.exponent is not None
        assert fit.log_likelihood is not None
        theta, u = 1 - fit.exponent, np.log(values)
        exact = float(np.sum(theta * u - np.log((1 - 1e-3**theta) / theta)))
        # Values are spread in a cell with variance width^2 / 12.
        spread = abs(theta) * np.log(1e3) / bins * (values.size / 12) ** 0.5
        assert abs(fit.log_likelihood - exact) < 5 * spread + 0.1
        assert {item.power_log_likelihood for item in fit.alternatives} == {fit.log_likelihood}
