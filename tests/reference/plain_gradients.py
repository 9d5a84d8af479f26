"""Per-sample gradients by plain automatic differentiation, one sample after the other, and their plain histogram."""

import numpy as np
import torch
from torch import Tensor, nn

from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch


def plain_gradients(model: nn.Module, loss: nn.Module, x: Tensor, t: Tensor) -> dict[str, np.ndarray]:
    """Gradients of torch's loss of each sample alone: name -> (sample, variable)."""
    rows: dict[str, list[Tensor]] = {}
    for sample in range(len(x)):
        model.zero_grad()
        loss(model(x[sample : sample + 1]), t[sample : sample + 1]).backward()
        for name, value in model.named_parameters():
            if value.requires_grad:
                gradient = torch.zeros_like(value) if value.grad is None else value.grad
                rows.setdefault(name, []).append(gradient.detach().flatten().clone())
    model.zero_grad()
    return {name: torch.stack(row).numpy() for name, row in rows.items()}


def assert_same_counts(sketch: LogSketch, values: np.ndarray, groups: int) -> None:
    """Every count of a sketch, by group and sign, is that of ``-values`` (sample, variable), sample i in group i mod n.

    Entries within 1e-7 of an edge may be on either side of it: rounding decides there.
    """
    changes = -values
    assert sketch.count == changes.size
    for group in range(groups):
        mine = changes[group::groups]
        assert sketch.group_zeros[group] == (mine == 0).sum()
        for counts, chosen in ((sketch.group_positive, mine > 0), (sketch.group_negative, mine < 0)):
            place = np.log(np.abs(mine[chosen])) / BIN_WIDTH - sketch.first_bin
            expected = np.bincount(np.floor(place).astype(int), minlength=sketch.bins)
            near = np.abs(place - np.rint(place)) < 1e-7
            edges = np.rint(place[near]).astype(int)
            open_bins = {*edges.tolist(), *(edges - 1).tolist()}
            differing = np.flatnonzero(counts[group] != expected[: sketch.bins])
            assert set(differing.tolist()) <= open_bins
            assert counts[group].sum() == chosen.sum()
