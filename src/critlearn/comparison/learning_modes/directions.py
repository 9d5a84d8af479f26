"""Right singular vectors of the centred changes of one half of the samples: exact if few, else randomised."""

import math
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float64
from torch import Tensor

from critlearn.comparison.learning_modes.sample_changes import BATCH, SampleChanges
from critlearn.fluctuations.principal_directions import inner_products

_FEW: Final = 1500
"""Variables up to which the triangular factor of all changes is formed, whatever the number of samples: a sample then
costs less than in the six passes over the samples that take its place."""

_HELD: Final = 1 << 26
"""Numbers (512 MiB) of a matrix of few samples and many variables that is written out."""

_DECOMPOSED: Final = 1e11
"""Its numbers times the samples: about ten seconds."""

_ROWS: Final = 4
"""Rows, in units of the variables, that are joined to the triangular factor at a time: work is then a quarter more than
for all at once."""

_FEWEST_ROWS: Final = 1024
"""The same for few variables, in rows: small decompositions take the time of their calls."""

_OVERSAMPLED: Final = 10
"""Directions beyond those wanted (Halko, Martinsson and Tropp, SIAM Review 53, 217, 2011, section 4.4)."""

_POWERS: Final = 2
"""Further products with the scatter matrix: the error of a singular value falls by the gap to the fourth for each."""

_BLOCK: Final = 1 << 14
"""Columns that are made orthonormal at a time: with 16 directions two megabytes."""

_PAIRED: Final = 16
"""Fewest samples of which all pairs are compared: their inner products take as long as as many projections."""

_PRODUCTS: Final = 1 << 24
"""Variables times samples up to which more samples are compared, a whole batch at most."""


@dataclass(frozen=True, eq=False)
class LeadingDirections:
    """Leading right singular vectors of the centred changes of some samples.

    Parameters
    ----------
    vectors
        Orthonormal directions, the one of the largest variance first.
    singular_values
        Their singular values, in units of ``exp(log_unit)``.
    sizes
        Squared length of each sample's centred change.
    fourth_powers
        Sum of the fourth powers of all singular values.
    log_unit
        Logarithm of the unit.
    exact
        Whether the whole matrix was decomposed.
    """

    vectors: Float64[Tensor, "direction variable"]
    singular_values: Float64[Tensor, " direction"]
    sizes: Float64[Tensor, " sample"]
    fourth_powers: float
    log_unit: float
    exact: bool


def leading_directions(changes: SampleChanges, number: int, *, seed: int, exact: bool | None) -> LeadingDirections:
    """Find the leading directions; fewer than wanted if the changes have no more.

    Parameters
    ----------
    changes
        Changes of the samples.
    number
        Number of directions.
    seed
        Decides the first guess of a randomised decomposition.
    exact
        Write the matrix out and decompose it; None if it is small enough.
    """
    mean, log_unit, samples = changes.mean()
    if math.isinf(log_unit):
        return LeadingDirections(mean[None, :0][:0], mean[:0], mean.new_zeros(samples), 0.0, log_unit, True)
    if exact is None:
        numbers = samples * changes.variables
        exact = changes.variables <= _FEW or (numbers <= _HELD and numbers * samples <= _DECOMPOSED)
    found = _exact(changes, mean, log_unit) if exact else _randomised(changes, number, mean, log_unit, samples, seed)
    # Of changes that are all alike, what is left of their mean is rounding.
    largest = math.hypot(float(found.singular_values[0]), math.sqrt(samples) * float(mean.norm()))
    kept = min(number, int((found.singular_values > _rounding(changes, samples) * largest).sum()))
    vectors, values = found.vectors[:kept], found.singular_values[:kept]
    return LeadingDirections(vectors, values, found.sizes, found.fourth_powers, log_unit, exact)


def _rounding(changes: SampleChanges, samples: int) -> float:
    """Part of the largest singular value below which one may be rounding."""
    precision = torch.float32 if changes.gradients.mixed else changes.gradients.precision
    return max(samples, changes.variables) * torch.finfo(precision).eps if precision == torch.float64 else 1e-5


def _exact(changes: SampleChanges, mean: Tensor, log_unit: float) -> LeadingDirections:
    """Decompose the triangular factor of the matrix of changes, which is made of its rows as they come."""
    held, sizes = [], []
    for rows in changes.rows(log_unit):
        rows -= mean
        sizes.append(torch.linalg.vector_norm(rows, dim=1).square())
        held.append(rows)
        if sum(map(len, held)) > max(_FEWEST_ROWS, (1 + _ROWS) * len(mean)):
            # Not the Gram matrix, which squares the condition number.
            held = [torch.linalg.qr(torch.cat(held), mode="r").R]
    _, values, vectors = torch.linalg.svd(torch.cat(held), full_matrices=False)
    return LeadingDirections(vectors, values, torch.cat(sizes), float((values**4).sum()), log_unit, exact=True)


def _randomised(
    changes: SampleChanges, number: int, mean: Tensor, log_unit: float, samples: int, seed: int
) -> LeadingDirections:
    """Decompose the changes within the image of a few random vectors under powers of the scatter matrix."""
    width = min(number + _OVERSAMPLED, samples, changes.variables)
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(width, changes.variables, dtype=torch.float64, generator=generator).to(mean.device)
    for _ in range(1 + _POWERS):
        basis = changes.scatter_times(basis, mean, log_unit)
        make_orthonormal(basis)
    components, sizes, fourth_powers = _within(changes, basis, mean, log_unit)
    _, values, rotation = torch.linalg.svd(components, full_matrices=False)
    total = float((values**4).sum()) + fourth_powers
    return LeadingDirections(rotation @ basis, values, sizes, total, log_unit, exact=False)


def make_orthonormal(rows: Float64[Tensor, "direction variable"]) -> None:
    """Replace rows by orthonormal ones with the same span, in place, by a QR decomposition of blocks of columns.

    Blocks that fit into the cache take a tenth of the time of the whole, and no second copy of the rows.
    """
    blocks = rows.tensor_split(max(1, rows.shape[1] // _BLOCK), dim=1)
    factors = []
    for block in blocks:
        orthonormal, factor = torch.linalg.qr(block.T)
        block.copy_(orthonormal.T)
        factors.append(factor)
    joint = torch.linalg.qr(torch.cat(factors)).Q
    for block, turned in zip(blocks, joint.split(len(rows)), strict=True):
        block.copy_(turned.T @ block)


def _within(changes: SampleChanges, basis: Tensor, mean: Tensor, log_unit: float) -> tuple[Tensor, Tensor, float]:
    """Centred components along the basis, squared lengths, and the sum of fourth powers of what is left out.

    With residual inner products r_ij, the sum is that of r_ij^2 over all pairs of samples: those within small batches
    stand for all others.
    """
    vectors = [{name: row[place] for name, place in changes.places.items()} for row in (mean, *basis)]
    centre = basis @ mean
    components, sizes, own, others, pairs = [], [], 0.0, 0.0, 0
    for x, t, _ in changes.batches(min(BATCH, max(_PAIRED, _PRODUCTS // changes.variables))):
        gram, products, unit = inner_products(changes.gradients, x, t, vectors)
        # All in the common unit; a batch of zeros has none.
        factor = math.exp(unit - log_unit) if unit > -math.inf else 0.0
        along, products = products[:, 0] * factor, products[:, 1:] * factor
        gram = gram * factor**2 - along[:, None] - along[None, :] + mean @ mean
        part = products - centre
        residual = (gram - part @ part.T).square()
        diagonal = float(residual.diagonal().sum())
        own, others, pairs = own + diagonal, others + float(residual.sum()) - diagonal, pairs + len(t) * (len(t) - 1)
        components.append(part)
        sizes.append(gram.diagonal().clamp(min=0))
    samples = sum(map(len, sizes))
    return torch.cat(components), torch.cat(sizes), own + samples * (samples - 1) * others / max(1, pairs)
