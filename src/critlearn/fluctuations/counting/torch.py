"""Counts that grow as fluctuations come in, by torch operations alone: for tensors on any device."""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from critlearn.errors import InvalidInputError
from critlearn.numerics.log_sketch import BIN_WIDTH, BINS_PER_OCTAVE, LogSketch

_HELD: Final = 1 << 24
"""Products that are held at a time: 128 MiB of logarithms."""

_MARGIN: Final = 512
"""Bins of spare room when the range grows, eight octaves, so that it seldom does."""


class TensorCounter:
    """Counts of ``ln|delta|`` by group and sign, every fluctuation in its own bin.

    Parameters
    ----------
    groups
        Number of groups of samples.
    device
        Where the tensors are, and the counts.
    """

    def __init__(self, groups: int, device: torch.device | str) -> None:
        self.groups, self.device = groups, torch.device(device)
        self._counts = torch.zeros(groups, 0, 2, dtype=torch.int64, device=self.device)
        self._zeros = torch.zeros(groups, dtype=torch.int64, device=self.device)
        self._first = 0

    def add_outer(self, errors: Tensor, negative: Tensor, inputs: Tensor, scale: Tensor, sample: Tensor) -> None:
        """Count the products of ``exp(errors)`` (row, output), with signs, and ``inputs`` (row, input)."""
        shift, fraction = _on_grid(scale)
        log_error = errors.double() / BIN_WIDTH + fraction[:, None]
        # To base 2: powers of two, which lie on edges of bins, have exact logarithms.
        log_input = inputs.double().abs().log2() * BINS_PER_OCTAVE
        step = max(1, _HELD // (errors.shape[1] * inputs.shape[1]))
        for start in range(0, len(errors), step):
            rows = slice(start, start + step)
            logs = log_error[rows, :, None] + log_input[rows, None, :]
            signs = negative[rows, :, None] ^ (inputs[rows, None, :] < 0)
            self._add(logs.flatten(1), signs.flatten(1), shift[rows], sample[rows] % self.groups)

    def add_logs(self, logs: Tensor, negative: Tensor, scale: Tensor, sample: Tensor) -> None:
        """Count entries given by ``ln|delta|`` and sign, shape (row, entry)."""
        shift, fraction = _on_grid(scale)
        self._add(logs.double() / BIN_WIDTH + fraction[:, None], negative, shift, sample % self.groups)

    def add_values(self, values: Tensor, scale: Tensor, sample: Tensor) -> None:
        """Count entries given as plain numbers, shape (row, entry); scales must be multiples of a bin's width."""
        shift = (torch.nan_to_num(scale.double(), neginf=0.0) / BIN_WIDTH).round().long()
        self._add(values.double().abs().log2() * BINS_PER_OCTAVE, values < 0, shift, sample % self.groups)

    def add_zeros(self, number: Tensor, sample: Tensor) -> None:
        """Count exact zeros: how many in each row, shape (row,)."""
        self._zeros.index_add_(0, sample % self.groups, number)

    @property
    def size(self) -> int:
        """Number of counts in memory, of all groups, bins and signs."""
        return self._counts.numel()

    def halve_groups(self) -> None:
        """Join group ``g`` and group ``g + groups / 2``."""
        half = self.groups // 2
        self._counts = self._counts[:half] + self._counts[half:]
        self._zeros = self._zeros[:half] + self._zeros[half:]
        self.groups = half

    def sketch(self) -> LogSketch:
        """Sketch of what has been counted so far."""
        counts = self._counts.cpu().numpy()
        filled = np.flatnonzero(counts.any(axis=(0, 2)))
        kept = slice(int(filled[0]), int(filled[-1]) + 1) if filled.size else slice(0, 0)
        first = self._first + kept.start if filled.size else 0
        return LogSketch(first, counts[:, kept, 0].copy(), counts[:, kept, 1].copy(), self._zeros.cpu().numpy().copy())

    def _add(self, logs: Tensor, negative: Tensor, shift: Tensor, group: Tensor) -> None:
        """Count logarithms in bins, shape (row, entry)."""
        zero = torch.isneginf(logs)
        if not bool((zero | torch.isfinite(logs)).all()):
            raise InvalidInputError("a fluctuation is not finite")
        self._zeros.index_add_(0, group, zero.sum(dim=1))
        if bool(zero.all()):
            return
        # Zeros have no bin: they get some index here and are taken out below.
        index = torch.where(zero, 0.0, logs).floor().long() + shift[:, None]
        shown = index[~zero]
        self._reserve(int(shown.min()), int(shown.max()))
        bins = self._counts.shape[1]
        # One number for group, bin and sign, so that a single call counts everything.
        flat = ((group[:, None] * bins + index - self._first) * 2 + negative.long())[~zero]
        self._counts.view(-1).add_(torch.bincount(flat, minlength=self.groups * bins * 2))

    def _reserve(self, low: int, high: int) -> None:
        """Make room for bins from ``low`` to ``high``."""
        bins = self._counts.shape[1]
        if bins and self._first <= low and high < self._first + bins:
            return
        first = (min(low, self._first) if bins else low) - _MARGIN
        stop = (max(high + 1, self._first + bins) if bins else high + 1) + _MARGIN
        grown = torch.zeros(self.groups, stop - first, 2, dtype=torch.int64, device=self.device)
        grown[:, self._first - first : self._first - first + bins] = self._counts
        self._counts, self._first = grown, first


def _on_grid(scale: Tensor) -> tuple[Tensor, Tensor]:
    """Whole bins and remainder of each scale; those of a row without any error (-inf) are 0."""
    bins = torch.where(torch.isneginf(scale), 0.0, scale.double() / BIN_WIDTH)
    whole = bins.floor()
    return whole.long(), bins - whole
