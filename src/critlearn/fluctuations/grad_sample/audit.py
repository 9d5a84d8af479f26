"""Audit of per-sample gradients: which variables a layer rule gets wrong, found before and during a measurement.

A rule is wrong for a variable that a function outside its layer uses too, and in a layer whose first dimension is not
that of the samples. Modules of a user's own may treat some samples in another way than the few that are looked at
beforehand: there sums over some batches are held against automatic differentiation too.
"""

from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Final

import torch
from torch import Tensor, nn

from critlearn.errors import InvalidInputError
from critlearn.fluctuations.criteria import FIRST_AUDITED
from critlearn.fluctuations.grad_sample.autograd_reference import (
    BatchSums,
    agrees_for_sample,
    largest_by_layer,
    plain_gradients,
    unreached,
)
from critlearn.fluctuations.grad_sample.layer_gradients import LayerGradients
from critlearn.fluctuations.grad_sample.protocol import VariableGradients
from critlearn.fluctuations.grad_sample.rules.plan import layer_of
from critlearn.fluctuations.grad_sample.sparse_rows import exact_zeros
from critlearn.network.backward.layer_use import LayerUse
from critlearn.network.backward.scaled_errors import ScaledErrors, output_errors
from critlearn.network.batches.model_inputs import Inputs, in_type
from critlearn.network.checks.finiteness import NonFiniteError
from critlearn.network.checks.independence import PROBED, check_independence

_OUTSIDE: Final = "used by a function outside its layer"
_ELSEWHERE: Final = "used elsewhere too, or its layer's first dimension is not that of the samples"
"""Why a rule can be wrong, in the words of the warning."""

_SUMMED: Final = 32
"""Samples of which a sum is compared when a measurement starts, in one backward pass."""

_SUMMED_GRADIENTS: Final = 1 << 25
"""Gradients of single samples behind such a sum: of large networks fewer samples are summed, but `PROBED`, so that what
is looked at beforehand stays a small part of a measurement of 64 samples."""

_ALONE: Final = 2
"""Samples that are compared one by one, beside the sum: the first and the last."""


def wrong_variables(source: LayerGradients) -> set[str]:
    """Variables whose gradients by layer rules are not those of automatic differentiation, on a few samples.

    Output errors are drawn at random: those of the loss may vanish. What the rules give for them in one pass is
    compared twice: some samples one by one, and the weighted sum of all where modules of a user's own may treat some
    samples unlike others.

    Raises
    ------
    InvalidInputError
        If a trainable variable gets no gradient whatever the output errors, or the output for a sample depends on other
        samples or on chance.
    """
    learning_pass, system = source.learning_pass, source.system
    x, numbers = system.spread(_summed(source)), system.scattered(_summed(source))
    few = in_type(x[_evenly(PROBED, len(x))], learning_pass.coarsest)
    check_independence(learning_pass.whole(learning_pass.coarsest), few)
    if len(x) == 1 or not learning_pass.foreign:
        # Two are enough where nothing can depend on the sample; with many weights each of them takes its time.
        x, numbers = x[[0, -1]], [numbers[0], numbers[-1]]
    alone = _evenly(_ALONE, len(x))
    apart: set[str] = set()
    errors, gradients = _for_random_errors(source, in_type(x, learning_pass.precision), numbers, apart)
    # As the pass was taken: what underflows in single precision has been left to double precision.
    single = any(item.grad_sample.precision == torch.float32 for item in gradients)
    precision = learning_pass.coarsest if single else learning_pass.precision
    model, x = learning_pass.whole(precision), in_type(x, precision)
    _compare_samples(source, model, x, alone, errors, {item.name: item for item in gradients}, apart)
    if len(x) > len(alone):
        _compare_sum(source, model, x, errors, gradients, apart)
    return apart


def _evenly(number: int, samples: int) -> list[int]:
    """Places of so many samples, or of all if there are fewer, spread over all."""
    return [place * (samples - 1) // (number - 1) for place in range(number)] if samples > number else [*range(samples)]


def _summed(source: LayerGradients) -> int:
    """Number of samples that are looked at when a measurement starts."""
    if not source.learning_pass.foreign:
        return PROBED
    variables = sum(value.numel() for value in source.trainable.values())
    return min(_SUMMED, max(PROBED, _SUMMED_GRADIENTS // variables))


def _for_random_errors(
    source: LayerGradients, x: Inputs, numbers: list[int], apart: set[str]
) -> tuple[Tensor, list[VariableGradients]]:
    """Draw random output errors of unit size and compute the gradients for them; ``numbers`` name the samples."""
    drawn = []

    def errors(output: Tensor) -> ScaledErrors:
        generator = torch.Generator().manual_seed(0)
        drawn.append(torch.randn(output.shape, generator=generator, dtype=output.dtype).to(output))
        return _of_unit_size(drawn[-1])

    try:
        uses = source.uses_for_errors(x, errors)
        return drawn[-1], list(source.by_rules(uses, apart))
    except NonFiniteError as problem:
        raise NonFiniteError(problem.where, numbers[problem.sample]) from None


def _compare_samples(
    source: LayerGradients,
    model: nn.Module,
    x: Inputs,
    alone: list[int],
    errors: Tensor,
    gradients: Mapping[str, VariableGradients],
    apart: set[str],
) -> None:
    """Compare gradients with automatic differentiation for some samples; variables that differ go to ``apart``."""
    generator = torch.Generator().manual_seed(0)
    unlike: dict[str, str] = {}
    reached = set()
    for sample in alone:
        one = slice(sample, sample + 1)
        reference = plain_gradients(model, source.trainable, x[one], partial(_like_output, errors[one]))
        largest = largest_by_layer(reference)
        for name, expected in reference.items():
            if expected is None:
                continue
            reached.add(name)
            if name in apart or name in unlike:
                continue
            item = gradients.get(name)
            if item is None:
                unlike[name] = _OUTSIDE
                continue
            try:
                agrees = item.grad_sample.samples == len(x) and agrees_for_sample(
                    item, sample, expected.flatten(), generator, largest[layer_of(name)]
                )
            except Exception as problem:
                # Gradients of a rule are products that are formed only here, where shapes may turn out not to fit.
                source.give_up_failed({name}, apart, name, problem)
                continue
            if not agrees:
                unlike[name] = _ELSEWHERE
    _refuse_unreached(source, model, reached)
    for name, reason in unlike.items():
        source.give_up({name}, apart, name, reason)


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


def _compare_sum(
    source: LayerGradients,
    model: nn.Module,
    x: Inputs,
    errors: Tensor,
    gradients: list[VariableGradients],
    apart: set[str],
) -> None:
    """Put variables ``apart`` whose sum over all samples is not that of automatic differentiation."""
    sums = BatchSums(model, source.trainable, x, lambda y: _of_unit_size(_like_output(errors, y)))
    for item in gradients:
        if item.name not in apart and not sums.agrees(item):
            source.give_up({item.name}, apart, item.name, _ELSEWHERE)


def audited(
    source: LayerGradients, uses: list[LayerUse], x: Inputs, t: Tensor, apart: set[str], first: int
) -> Iterator[VariableGradients]:
    """Gradients of a batch by layer rules; in some batches their sum is compared with automatic differentiation.

    Variables that fail are put ``apart``. Which batches are compared depends on the numbers of their samples alone: a
    measurement in parts is the whole.
    """

    @cache
    def sums() -> BatchSums:
        precision = _coarsest(uses)
        model, inputs = source.learning_pass.whole(precision), in_type(x, precision)
        return BatchSums(model, source.trainable, inputs, lambda y: output_errors(source.system, y, inputs, t))

    compared, met = is_audited(first, len(x)), set()
    for item in source.by_rules(uses, apart):
        met.add(item.name)
        if item.grad_sample.samples == len(x) and (not compared or sums().agrees(item)):
            yield item
        else:
            source.give_up({item.name}, apart, item.name, _ELSEWHERE)
    for name, value in source.trainable.items():
        if name in met or name in apart:
            continue
        if sums().vanishes(name):
            # As an expert to whom none of these samples was sent.
            yield VariableGradients(name, *exact_zeros(value.numel(), sums().log_scale))
        else:
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


def _like_output(errors: Tensor, output: Tensor) -> Tensor:
    """Errors in shape and floating-point type of the output."""
    return errors.reshape(output.shape).to(output)


def _of_unit_size(errors: Tensor) -> ScaledErrors:
    """Output errors whose unit is 1 for each sample."""
    return ScaledErrors(errors, None, torch.zeros(len(errors), dtype=torch.float64, device=errors.device))
