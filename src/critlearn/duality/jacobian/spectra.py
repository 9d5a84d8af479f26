"""Spectra of batches of samples: singular values of stacks, small ones by an algorithm of high relative accuracy."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor

from critlearn.duality.jacobian.dense_stack import DenseStack
from critlearn.duality.jacobian.spectrum import Spectrum
from critlearn.numerics.accurate_svd import accurate_singular_values

_TRUSTED: Final = 1e-10
"""Ratio of smallest to largest singular value down to which the usual algorithm has six correct digits.

Its absolute error is of the order of 1e-16 of the largest.
"""


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: matrices of a few hundred columns gain nothing from more, and lose on busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def stack_spectra(stack: DenseStack, variables: int, boundary: int, log_rate: float) -> list[Spectrum]:
    """Spectrum of every sample of a stack."""
    rows, unit = stack.together()
    logs = log_singular_values(rows) + (unit + log_rate)[:, None]
    untouched = (stack.log_untouched + log_rate)[:, None].expand(-1, stack.basis.untouched)
    null = logs.new_full((len(logs), stack.basis.null), -math.inf)
    return from_logs(torch.cat([logs, untouched, null], dim=1), variables, boundary)


def from_logs(logs: Tensor, variables: int, boundary: int) -> list[Spectrum]:
    """Spectra of samples from unsorted logarithms of singular values, shape (sample, value)."""
    ordered = logs.sort(dim=1, descending=True).values[:, : min(variables, boundary)]
    return [Spectrum(row, variables, boundary) for row in ordered]


def log_singular_values(rows: Tensor) -> Tensor:
    """Logarithms of the singular values of matrices (sample, row, column), one for every column, descending."""
    samples, height, columns = rows.shape
    reduced = torch.linalg.qr(rows, mode="r").R if height > 2 * columns > 0 else rows
    values = rows.new_zeros(samples, columns)
    found = torch.linalg.svdvals(reduced)
    values[:, : found.shape[1]] = found
    if columns:
        small = (values[:, -1] < _TRUSTED * values[:, 0]) & (values[:, 0] > 0)
        for sample in small.nonzero()[:, 0].tolist():
            # From the rows themselves: QR without pivoting would mix rows of very different size.
            exact = torch.from_numpy(accurate_singular_values(rows[sample].cpu().numpy()))
            values[sample, : len(exact)] = exact
    return values.log()


def layer_spectra(
    stack: DenseStack, sizes: dict[str, int], boundary: int, log_rate: float
) -> Sequence[dict[str, Spectrum]]:
    """Spectrum of each layer's part of the Jacobian, for every sample.

    Parameters
    ----------
    sizes
        Number of trainable variables of each layer, by name.
    """
    found: list[dict[str, Spectrum]] = [{} for _ in stack.log_untouched]
    for block in stack.blocks:
        logs = log_singular_values(block.rows) + (block.log_unit + log_rate)[:, None]
        first = block is stack.blocks[-1]
        untouched = (stack.log_untouched + log_rate)[:, None].expand(-1, stack.basis.untouched)
        rest = untouched if first else torch.full_like(untouched, -math.inf)
        null = logs.new_full((len(logs), stack.basis.null), -math.inf)
        for row, spectrum in zip(
            found, from_logs(torch.cat([logs, rest, null], dim=1), sizes[block.layer], boundary), strict=True
        ):
            row[block.layer] = spectrum
    return found
