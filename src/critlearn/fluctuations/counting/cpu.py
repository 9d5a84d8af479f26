"""Counts that grow as fluctuations come in, on the CPU: the state behind a `LogSketch` under construction."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from critlearn.errors import InvalidInputError
from critlearn.fluctuations.counting import float_kernels, product_kernels
from critlearn.fluctuations.counting.dither import dither_of
from critlearn.fluctuations.counting.float_bits import double_table, edge_table, single_table
from critlearn.numerics.kernels.threads import on_threads, threads
from critlearn.numerics.log_sketch import BIN_WIDTH, BINS_PER_OCTAVE, LogSketch, check_span

_MARGIN: Final = 128
"""Bins of spare room on both sides when the range grows, so that it seldom does."""

_SMALLEST_SINGLE: Final = 1 << 23
"""Bits of the smallest normal number in single precision."""

_WIDEST: Final = 60_000
"""Errors and inputs of one row that a kernel takes at once: all may be in one bin, and 16 bits hold 65,535."""

_MOST_IN_32_BITS: Final = 2**31 - 1
"""Fluctuations counted in all up to which no bin can overflow 32 bits."""

_WORTH_SCRATCH: Final = 2048
"""Numbers in a row from which on counting them in scratch first is faster."""

_WORTH_THREADS: Final = 20_000
"""Fluctuations from which on counting on several threads is faster than on one."""


class CpuCounter:
    """Counts of ``ln|delta|`` by group and sign, on tensors that are on the CPU.

    Rows are samples, or blocks of samples. ``scale`` (row,) is a logarithm that is added to every entry of a row;
    ``sample`` (row,) is the number of its sample, which belongs to group ``sample mod groups``.

    Parameters
    ----------
    groups
        Number of groups of samples.
    exact
        Never convolve histograms: every fluctuation is counted in its own bin.
    """

    def __init__(self, groups: int, *, exact: bool = False) -> None:
        self.groups, self.exact = groups, exact
        # Threads must not share a group's counts: with few groups each is kept in several lanes.
        self._lanes = -(-threads() // groups)
        # Half the memory as long as no bin can be too full for it.
        self._counts = np.zeros((groups * self._lanes, 0, 2), dtype=np.int32)
        self._held = 0
        self._zeros = np.zeros(groups * self._lanes, dtype=np.int64)
        self._first = 0

    def add_outer(self, errors: Tensor, negative: Tensor, inputs: Tensor, scale: Tensor, sample: Tensor) -> None:
        """Count the products of ``exp(errors)`` (row, output) and ``inputs`` (row, input).

        Parameters
        ----------
        errors, negative
            ``ln|e|`` and sign of the row's output errors.
        inputs
            The row's inputs as plain numbers.
        """
        shift, fraction = _on_grid(scale)
        log_error = (errors.double() / BIN_WIDTH + fraction[:, None]).numpy()
        for outputs in range(0, log_error.shape[1], _WIDEST):
            columns = slice(outputs, outputs + _WIDEST)
            rows = (np.ascontiguousarray(log_error[:, columns]), np.ascontiguousarray(negative.numpy()[:, columns]))
            for part in inputs.split(_WIDEST, dim=1):
                width = rows[0].shape[1] * part.shape[1]
                if self.exact or width < product_kernels.CONVOLVED_FROM:
                    self._add_sums(rows, part, shift, sample)
                    continue
                values = np.ascontiguousarray(_numbers(part))
                self._reserve(*product_kernels.outer_range(rows[0], *_patterns(values), shift))
                dither = dither_of(sample).numpy()
                self._run(product_kernels.count_outer, (*rows, values, double_table(), shift, dither), sample, width)

    def _add_sums(
        self, errors: tuple[np.ndarray, np.ndarray], inputs: Tensor, shift: np.ndarray, sample: Tensor
    ) -> None:
        """Count products of errors, given by logarithms in bins and signs, and inputs, each in its own bin."""
        logs = (inputs.double().abs().log2_() * BINS_PER_OCTAVE).numpy()
        short, long = sorted((errors, (logs, (inputs < 0).numpy())), key=lambda part: part[0].shape[1])
        width = short[0].shape[1] * long[0].shape[1]
        self._reserve(*product_kernels.sum_range(short[0], long[0], shift))
        self._run(product_kernels.count_sums, (*short, *long, shift), sample, width)

    def add_logs(self, logs: Tensor, negative: Tensor, scale: Tensor, sample: Tensor) -> None:
        """Count entries given by ``ln|delta|`` and sign, shape (row, entry)."""
        shift, fraction = _on_grid(scale)
        array = (logs.double() / BIN_WIDTH + fraction[:, None]).numpy()
        self._reserve(*product_kernels.finite_range(array, shift))
        self._run(product_kernels.count_logs, (array, negative.numpy(), shift), sample, array.shape[1])

    def add_values(self, values: Tensor, scale: Tensor, sample: Tensor) -> None:
        """Count entries given as plain numbers, shape (row, entry); scales must be multiples of a bin's width."""
        array = _numbers(values)
        single = array.dtype == np.float32
        bits, mask, mantissa_bits = _patterns(array)
        low, high = float_kernels.bits_range(bits, mask)
        shift = np.rint(scale.numpy() / BIN_WIDTH).astype(np.int64)
        if high > 0:
            ends = np.array([low, high], dtype=bits.dtype).view(array.dtype).astype(np.float64)
            if not np.isfinite(ends).all():
                raise InvalidInputError("a fluctuation is not finite")
            least, greatest = np.log2(ends) * BINS_PER_OCTAVE
            self._reserve(least + shift.min(), greatest + shift.max())
        if single and array.shape[1] >= _WORTH_SCRATCH and low >= _SMALLEST_SINGLE and high > 0:
            exponents = (int(low) >> 23, int(high) >> 23)
            self._run(
                float_kernels.count_singles,
                (bits.view(np.uint32), single_table(), *exponents, shift),
                sample,
                array.shape[1],
            )
            return
        table = edge_table(mantissa_bits)
        self._run(float_kernels.count_bits, (bits, mantissa_bits, *table, shift), sample, array.shape[1])

    def add_zeros(self, number: Tensor, sample: Tensor) -> None:
        """Count exact zeros: how many in each row, shape (row,)."""
        # Rows share groups: `+=` with repeated indices would add the last of them alone.
        np.add.at(self._zeros, sample.numpy() % self.groups * self._lanes, number.numpy())

    @property
    def size(self) -> int:
        """Number of counts in memory, of all groups, bins and signs."""
        return int(self._counts.size)

    def halve_groups(self) -> None:
        """Join group ``g`` and group ``g + groups / 2``."""
        half = len(self._zeros) // 2
        self._counts = self._counts[:half] + self._counts[half:]
        self._zeros = self._zeros[:half] + self._zeros[half:]
        self.groups //= 2

    def sketch(self) -> LogSketch:
        """Sketch of what has been counted so far."""
        # Trimmed before anything is copied, and each sign taken to 64 bits at once.
        filled = np.flatnonzero((self._counts != 0).any(axis=0).any(axis=-1))
        kept = slice(int(filled[0]), int(filled[-1]) + 1) if filled.size else slice(0, 0)
        positive, negative = (self._joined(kept, sign) for sign in range(2))
        zeros = self._zeros.reshape(self.groups, self._lanes).sum(axis=1)
        return LogSketch(self._first + kept.start if filled.size else 0, positive, negative, zeros)

    def _joined(self, kept: slice, sign: int) -> Int64[np.ndarray, "group bin"]:
        """Counts of one sign in a range of bins, lanes joined."""
        counts = self._counts[:, kept, sign]
        if self._lanes == 1:
            return counts.astype(np.int64, order="C")
        return counts.reshape(self.groups, self._lanes, counts.shape[1]).sum(axis=1, dtype=np.int64)

    def _reserve(self, low: float, high: float) -> None:
        """Make room for bins from ``low`` to ``high``, and one beside, as a sum of rounded terms may be one off."""
        if not low <= high:
            return
        first, stop = math.floor(low) - 2, math.floor(high) + 3
        bins = self._counts.shape[1]
        if bins and self._first <= first and stop <= self._first + bins:
            return
        if bins:
            first, stop = min(first, self._first), max(stop, self._first + bins)
        first, stop = first - _MARGIN, stop + _MARGIN
        check_span(stop - first, self.groups)
        grown = np.zeros((len(self._zeros), stop - first, 2), dtype=self._counts.dtype)
        if bins:
            grown[:, self._first - first : self._first - first + bins] = self._counts
        self._counts, self._first = grown, first

    def _run(
        self, kernel: Callable[..., None], arrays: tuple[Any, ...], sample: Tensor, width: int, *more: Any
    ) -> None:
        """Count all rows, on as many threads as are worth it, no two of which share a group."""
        self._held += len(sample) * width
        if self._held > _MOST_IN_32_BITS and self._counts.dtype == np.int32:
            self._counts = self._counts.astype(np.int64)
        slot = sample.numpy() % self.groups * self._lanes
        parts = threads() if len(slot) * width > _WORTH_THREADS else 1
        if parts > 1:
            slot = slot + np.arange(len(slot)) % self._lanes
        order = np.argsort(slot, kind="stable")
        cuts = [0, *(_cut(slot[order], len(slot) * k // parts) for k in range(1, parts)), len(slot)]
        state = (*arrays, slot, *more, self._counts, self._zeros, self._first, order)
        on_threads(kernel, [(*state, start, stop) for start, stop in pairwise(cuts) if stop > start])


def _cut(sorted_slots: np.ndarray, near: int) -> int:
    """First row of the slot that the row ``near`` belongs to: a cut between threads that splits no slot."""
    return int(np.searchsorted(sorted_slots, sorted_slots[near])) if near < len(sorted_slots) else len(sorted_slots)


def _numbers(values: Tensor) -> np.ndarray:
    """Numbers of single precision as they are, others in double precision."""
    return values.numpy() if values.dtype == torch.float32 else values.double().numpy()


def _patterns(array: np.ndarray) -> tuple[np.ndarray, np.integer[Any], int]:
    """Bit patterns of floating-point numbers, the mask that leaves out the sign, and the bits of a mantissa."""
    if array.dtype == np.float32:
        return array.view(np.int32), np.int32(2**31 - 1), 23
    return array.view(np.int64), np.int64(2**63 - 1), 52


def _on_grid(scale: Tensor) -> tuple[np.ndarray, Tensor]:
    """Whole bins and remainder of each scale; those of a row without any error (-inf) are 0."""
    bins = torch.nan_to_num(scale.double() / BIN_WIDTH, nan=0.0, neginf=0.0)
    whole = bins.floor()
    return whole.long().numpy(), bins - whole
