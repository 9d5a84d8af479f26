"""Audit of per-sample gradients: which variables a layer rule gets wrong, found before and during a measurement.

A rule is wrong for a variable that a function outside its layer uses too, and in a layer whose first dimension is not
that of the samples. Modules of a user's own may treat some samples in another way than the few that are looked at
beforehand: there sums over some batches are held against automatic differentiation too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Final

import torch
from torch import Tensor, nn

from critlearn.errors import InvalidInputError
from critlearn.fluctuations.criteria import FIRST_AUDITED
from critlearn.fluctuations.grad_sample.autograd_reference import (
    BatchSums,
    unreached,
)
from critlearn.fluctuations.grad_sample.layer_gradients import LayerGradients
from critlearn.fluctuations.grad_sample.protocol import VariableGradients
from critlearn.fluctuations.grad_sample.sparse_rows import exact_zeros
from critlearn.network.backward.layer_use import LayerUse
from critlearn.network.backward.scaled_errors import ScaledErrors, output_errors
from critlearn.network.batches.model_inputs import Inputs, in_type
from critlearn.network.checks.finiteness import NonFiniteError
from critlearn.network.checks.independence import PROBED, check_independence, same_to_rounding

_OUTSIDE: Final = "used by a function outside its layer"
_ELSEWHERE: Final = "used elsewhere too, or its layer's first dimension is not that of the samples"
"""Why a rule can be wrong, in the words of the warning."""

_SUMMED: Final = 128
"""Samples of the first batches whose sum is compared: what one sample in forty does is nearly always among it."""

_SUMMED_GRADIENTS: Final = 1 << 25
"""Gradients of single samples behind these sums: of large networks fewer samples are summed, but `PROBED`, so that the
comparison stays a small part of a measurement of 64 samples."""


def wrong_variables(source: LayerGradients) -> set[str]:
    """Variables whose gradients by layer rules are not those of automatic differentiation, on a few samples.

    Output errors are drawn at random: those of the loss may vanish. What the rules give for them in one pass is
    compared twice: the weighted sum of all, passed in reverse order, and the last sample alone. Outputs are compared as
    well: that of a sample must be the same in both orders and alone.

    Raises
    ------
    InvalidInputError
        If a trainable variable gets no gradient whatever the output errors, or the output for a sample depends on other
        samples or on chance.
    """
    learning_pass, system = source.learning_pass, source.system
    x, numbers = system.spread(PROBED), system.scattered(PROBED)
    if len(x) == 1 or not learning_pass.foreign:
        # Two are enough where nothing can depend on the sample; with many weights each of them takes its time.
        x, numbers = x[[0, -1]], [numbers[0], numbers[-1]]
    # Passes of a network that draws random numbers, which is refused, leave the generator as it was.
    with torch.random.fork_rng(devices=[]):
        uses, output, errors = _pass_for_random_errors(source, in_type(x, learning_pass.precision), numbers)
        # As the pass was taken: what underflows in single precision has been left to double precision.
        precision = learning_pass.coarsest if _coarsest(uses) == torch.float32 else learning_pass.precision
        model, x = learning_pass.whole(precision), in_type(x, precision)
        references = []
        for part in (slice(None), slice(-1, None)):
            own = errors[part]
            sums = BatchSums(model, source.trainable, x[part], partial(_of_unit_size_like, own))
            if not _same_outputs(output[part], sums.output):
                check_independence(model, x)
            references.append(sums)
    apart: set[str] = set()
    try:
        gradients = {item.name: item for item in source.by_rules(uses, apart)}
    except NonFiniteError as problem:
        raise NonFiniteError(problem.where, numbers[problem.sample]) from None
    _compare(source, references, gradients, apart)
    _refuse_unreached(source, model, references[0].reached | references[1].reached)
    return apart


def _pass_for_random_errors(
    source: LayerGradients, x: Inputs, numbers: list[int]
) -> tuple[list[LayerUse], Tensor, Tensor]:
    """Uses of the layers for random output errors, the output and these errors; ``numbers`` name the samples."""
    met: list[Tensor] = []

    def errors(output: Tensor) -> ScaledErrors:
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(output.shape, generator=generator, dtype=output.dtype).to(output)
        met[:] = [output, drawn]
        return _of_unit_size(drawn)

    try:
        uses = source.uses_for_errors(x, errors)
    except NonFiniteError as problem:
        raise NonFiniteError(problem.where, numbers[problem.sample]) from None
    output, drawn = met
    return uses, output, drawn


def _same_outputs(output: Tensor, other: Tensor) -> bool:
    """Whether two passes gave the same outputs but for the rounding of the coarser one."""
    kind = output.dtype if torch.finfo(output.dtype).bits < torch.finfo(other.dtype).bits else other.dtype
    return same_to_rounding(output.to(kind), other.to(kind))


def _compare(
    source: LayerGradients,
    references: list[BatchSums],
    gradients: Mapping[str, VariableGradients],
    apart: set[str],
) -> None:
    """Compare gradients with sums over all samples and over the last alone; variables that differ go to ``apart``."""
    sums, alone = references
    reached = sums.reached | alone.reached
    for name in source.trainable:
        if name in apart or name not in reached:
            continue
        item = gradients.get(name)
        if item is None:
            source.give_up({name}, apart, name, _OUTSIDE)
            continue
        try:
            agrees = sums.agrees(item) and alone.agrees(_rows(item, [item.grad_sample.samples - 1]))
        except Exception as problem:
            # Gradients of a rule are products that are formed only here, where shapes may turn out not to fit.
            source.give_up_failed({name}, apart, name, problem)
            continue
        if not agrees:
            source.give_up({name}, apart, name, _ELSEWHERE)


def _rows(item: VariableGradients, rows: list[int]) -> VariableGradients:
    """Gradients of some samples."""
    chosen = torch.tensor(rows, device=item.log_scale.device)
    return replace(item, grad_sample=item.grad_sample.select(chosen), log_scale=item.log_scale[chosen])


def _refuse_unreached(source: LayerGradients, model: nn.Module, reached: set[str]) -> None:
    """Raise if the output does not depend on a trainable variable.

    A module of a user's own may need it for samples other than those that were looked at: all are passed then.
    """
    missing = [name for name in source.trainable if name not in reached]
    if missing and source.learning_pass.foreign:
        batches = (in_type(x, source.learning_pass.coarsest) for x, _ in source.system.boundary(256))
        missing = unreached(model, missing, batches)
    if missing:
        raise InvalidInputError(
            f'the trainable variable "{missing[0]}" gets no gradient: the output does not depend on it, or only '
            "through torch.no_grad() or detach(); freeze it with requires_grad_(False)"
        )


@dataclass
class Audits:
    """What the audits of batches have found so far.

    Parameters
    ----------
    left
        Number of samples that are still to be compared whatever their numbers: the first ones that are met.
    failed
        Variables that a rule got wrong in some batch: they are differentiated from there on.
    """

    left: int = 0
    failed: set[str] = field(default_factory=set)

    def compared(self, first: int, samples: int) -> list[int]:
        """Places of the samples of a batch whose sum is compared: of the first batches, and of few later ones."""
        most = samples if is_audited(first, samples) else min(samples, self.left)
        self.left -= min(most, self.left)
        return [place * (samples - 1) // max(1, most - 1) for place in range(most)]


def new_audits(source: LayerGradients) -> Audits:
    """Audits that have compared no batch yet."""
    variables = sum(value.numel() for value in source.trainable.values())
    return Audits(min(_SUMMED, max(PROBED, _SUMMED_GRADIENTS // variables)))


def audited(
    source: LayerGradients, uses: list[LayerUse], x: Inputs, t: Tensor, apart: set[str], first: int, audits: Audits
) -> Iterator[VariableGradients]:
    """Gradients of a batch by layer rules; in some batches their sum is compared with automatic differentiation.

    Variables that fail are put ``apart``, from this batch on. Others are the same whichever batches are compared: a
    measurement in parts is the whole.
    """

    def sums_of(rows: list[int] | slice) -> BatchSums:
        precision = _coarsest(uses)
        model, inputs, targets = source.learning_pass.whole(precision), in_type(x[rows], precision), t[rows]
        return BatchSums(model, source.trainable, inputs, lambda y: output_errors(source.system, y, inputs, targets))

    rows = audits.compared(first, len(x))
    every = len(rows) in (0, len(x))
    sums = cache(lambda: sums_of(slice(None)))
    some = sums if every else cache(lambda: sums_of(rows))
    met = set()
    for item in source.by_rules(uses, apart):
        met.add(item.name)
        whole = item.grad_sample.samples == len(x)
        if whole and (not rows or some().agrees(item if every else _rows(item, rows))):
            yield item
        else:
            audits.failed.add(item.name)
            source.give_up({item.name}, apart, item.name, _ELSEWHERE)
    for name, value in source.trainable.items():
        if name in met or name in apart:
            continue
        if sums().vanishes(name):
            # As an expert to whom none of these samples was sent.
            yield VariableGradients(name, *exact_zeros(value.numel(), sums().log_scale))
        else:
            audits.failed.add(name)
            source.give_up({name}, apart, name, _OUTSIDE)


def is_audited(first: int, samples: int) -> bool:
    """Whether a batch is compared: if it has sample 1,024, 2,048, 4,096 and so on, ever more rarely."""
    number = FIRST_AUDITED
    while number < first:
        number *= 2
    return number < first + samples


def _coarsest(uses: list[LayerUse]) -> torch.dtype:
    """Floating-point type of a pass, the coarser one if it has two."""
    single = any(error.dtype == torch.float32 for use in uses for error in use.errors)
    return torch.float32 if single else torch.float64


def _of_unit_size_like(errors: Tensor, output: Tensor) -> ScaledErrors:
    """Output errors whose unit is 1 for each sample, in floating-point type and shape of the output."""
    # The output for one sample may be a number.
    return _of_unit_size(errors.reshape(output.shape or (1,)).to(output))


def _of_unit_size(errors: Tensor) -> ScaledErrors:
    """Output errors whose unit is 1 for each sample."""
    return ScaledErrors(errors, None, torch.zeros(len(errors), dtype=torch.float64, device=errors.device))
