"""Per-sample gradients of some entries of each variable, drawn once, in place of those of all."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.grad_sample.protocol import GradSample, VariableGradients
from critlearn.network.batches.model_inputs import Inputs


class DrawnGradients:
    """Gradients of single samples, batch by batch, of some entries of each variable.

    Parameters
    ----------
    whole
        Gradients of all entries.
    drawn
        Flat indices of the entries, in the order in which they are wanted, by name of the variable; variables that are
        not named keep all.
    """

    def __init__(self, whole: PerSampleGradients, drawn: Mapping[str, Int64[np.ndarray, " entry"]]) -> None:
        device = next(iter(whole.system.parameters.values())).device
        self.whole = whole
        self._drawn = {name: torch.from_numpy(index).to(device) for name, index in drawn.items()}
        self.sizes: Mapping[str, int] = {
            name: len(drawn[name]) if name in drawn else size for name, size in whole.sizes.items()
        }

    @property
    def entries(self) -> dict[str, Int64[Tensor, " entry"]]:
        """Flat indices of the entries of each variable, also of those that keep all."""
        return {name: self._drawn.get(name, torch.arange(size)) for name, size in self.whole.sizes.items()}

    def batch(self, x: Inputs, t: Tensor, *, first: int = 0) -> Iterator[VariableGradients]:
        """Gradients of the entries for a batch of boundary states, of which the first has this number.

        Raises
        ------
        InvalidInputError
            As those of all entries do.
        """
        for item in self.whole.batch(x, t, first=first):
            index = self._drawn.get(item.name)
            yield item if index is None else replace(item, grad_sample=written_out(item.grad_sample, index))


def written_out(grad_sample: GradSample, index: Int64[Tensor, " entry"]) -> Materialised:
    """Gradients of the entries with these flat indices, with their logarithms where the form knows them better."""
    entries = grad_sample.entries(index)
    logs = None if entries.in_logarithms is None else entries.logs()[0]
    return Materialised(entries.values, logs)
