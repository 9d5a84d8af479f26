"""Back-propagated errors of single samples, scaled to unit size with the logarithm of the scale kept apart."""

import math
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from critlearn.network.backward.softmax_errors import softmax_errors_in_single
from critlearn.network.batches.model_inputs import Inputs
from critlearn.network.checks.finiteness import NonFiniteError, check_finite
from critlearn.network.system import NeuralSystem
from critlearn.numerics.log_sketch import BIN_WIDTH

_NEGLIGIBLE: Final = 1e-290
"""Size of an entry of a matrix product below which terms that have underflowed may matter to it.

In double precision errors below 2e-308 are lost; a million of them, with weights of order 1, change such an entry by
less than 1e-11 of its size.
"""


@dataclass(frozen=True, eq=False)
class ScaledErrors:
    """Errors ``values * exp(log_scale)`` of the samples of a batch.

    Parameters
    ----------
    values
        Errors in units of each sample's scale, shape (sample, ...). One that is too small for its type is kept as the
        smallest normal number, with its sign: only an exact zero is zero.
    logs
        ``ln|values|`` where they are known beyond the range of the type; None if they are not needed.
    log_scale
        Shape (sample,), double precision; ``-inf`` for a sample without any error.
    """

    values: Tensor
    logs: Tensor | None
    log_scale: Tensor

    def with_values(self, values: Tensor) -> "ScaledErrors":
        """Replace the values, in the same units."""
        return replace(self, values=values, logs=None)

    def renormalised(self, tiny: float) -> "ScaledErrors":
        """Rescale to unit size the errors outside ``[tiny, 1 / tiny]``, by powers of two, which is exact."""
        largest = self.values.detach().abs().flatten(1).amax(dim=1).double()
        outside = ((largest < tiny) | (largest > 1 / tiny)) & (largest > 0)
        if not bool(outside.any()):
            return self
        factor = torch.where(outside, torch.exp2(largest.log2().floor()), 1.0)
        shape = (-1, *[1] * (self.values.dim() - 1))
        return ScaledErrors(
            (self.values.double() / factor.reshape(shape)).to(self.values.dtype), None, self.log_scale + factor.log()
        )

    def through_activation(
        self, log_slope: Tensor, slope_sign: Tensor | float, precision: torch.dtype
    ) -> "ScaledErrors":
        """Errors at the input of an activation with slope ``exp(log_slope)``, multiplied in logarithms."""
        values = self.values.reshape(log_slope.shape)
        logs = values.double().abs().log_() if self.logs is None else self.logs.reshape(log_slope.shape)
        return from_logs(values.sign() * slope_sign, logs + log_slope, self.log_scale, precision)

    def through_softmax(self, log_probabilities: Tensor, dim: int, precision: torch.dtype) -> "ScaledErrors":
        """Errors at the input of a softmax, ``p_i sum_j p_j (e_i - e_j)``, in logarithms.

        As in `softmax_errors`, errors are taken relative to that of the largest probability, whose complement would
        cancel; logarithms hold also the probabilities that have underflowed.
        """
        place = log_probabilities.argmax(dim, keepdim=True)
        largest = torch.zeros_like(log_probabilities, dtype=torch.bool).scatter(dim, place, True)
        values = self.values.double().reshape(log_probabilities.shape)
        relative = (values - values.gather(dim, place)).masked_fill(largest, 0.0)
        terms = log_probabilities + relative.abs().log()
        unit = terms.amax(dim, keepdim=True)
        unit = torch.where(torch.isneginf(unit), 0.0, unit)
        total = (relative.sign() * (terms - unit).exp()).sum(dim, keepdim=True)
        others = relative - total * unit.exp()
        sign = torch.where(largest, -total.sign(), others.sign())
        logs = torch.where(largest, total.abs().log() + unit, others.abs().log())
        return from_logs(sign, logs + log_probabilities, self.log_scale, precision)

    def through_linear(self, weight: Tensor) -> "ScaledErrors":
        """Errors at the input of a dense layer, ``weight^T errors``.

        Sums are dominated by their largest terms, so that underflow of others does no harm; where all terms of a sum
        have underflowed, as with sparse weights, the sum is taken in logarithms.
        """
        pulled = self.with_values(self.values @ weight)
        if self.logs is None or self.logs.dim() != 2:
            return pulled.renormalised(1e-100)
        # Errors that the type cannot hold, and are no exact zeros: the product has used a clamped value for them.
        lost = self.logs < math.log(torch.finfo(self.values.dtype).tiny)
        lost &= ~torch.isneginf(self.logs)
        samples = lost.any(dim=1) & (pulled.values.abs() < _NEGLIGIBLE).any(dim=1)
        if not bool(samples.any()):
            return pulled.renormalised(1e-100)
        values, logs = pulled.values.double().clone(), pulled.values.double().abs().log_()
        log_weight, sign_weight = weight.double().abs().log(), weight.sign().double()
        for sample in samples.nonzero()[:, 0].tolist():
            small = values[sample].abs() < _NEGLIGIBLE
            terms = self.logs[sample][:, None] + log_weight[:, small]
            signs = self.values[sample].sign().double()[:, None] * sign_weight[:, small]
            greatest = terms.amax(dim=0)
            unit = torch.where(torch.isneginf(greatest), 0.0, greatest)
            total = (signs * (terms - unit).exp()).sum(dim=0)
            logs[sample, small] = total.abs().log() + unit
            values[sample, small] = total.sign()
        return from_logs(values.sign(), logs, self.log_scale, self.values.dtype)


def from_logs(sign: Tensor, logs: Tensor, log_scale: Tensor, precision: torch.dtype) -> ScaledErrors:
    """Make errors from signs and logarithms in units of ``exp(log_scale)``, rescaled to unit size.

    Raises
    ------
    NonFiniteError
        If a logarithm is NaN.
    """
    # Tested before zeros are written in: a NaN would pass for an exact zero.
    largest = logs.flatten(1).amax(dim=1)
    if bool(torch.isnan(largest).any()):
        raise NonFiniteError("the logarithm of an error", int(torch.isnan(largest).nonzero()[0, 0]))
    logs = torch.where(sign == 0, -math.inf, logs)
    sign = torch.where(torch.isneginf(logs), 0.0, sign)
    vanishing = torch.isneginf(largest)
    # Scales are whole bins of the sketch, so that counting shifts bins instead of multiplying values.
    largest = torch.where(vanishing, 0.0, (largest / BIN_WIDTH).ceil() * BIN_WIDTH)
    logs = logs - largest.reshape(-1, *[1] * (logs.dim() - 1))
    # Exact zeros have sign 0; all other values are clamped to the smallest normal number, so none becomes zero.
    values = sign * logs.clamp(min=math.log(torch.finfo(precision).tiny) + 1e-9).exp().to(precision)
    return ScaledErrors(values, logs, torch.where(vanishing, -math.inf, log_scale + largest))


@torch.no_grad()
def output_errors(system: NeuralSystem, output: Tensor, x: Inputs, t: Tensor) -> ScaledErrors:
    """Errors of the loss at the network's output, in the shape of the output."""
    y, target = system.judged(output.detach(), x, t)
    in_single = softmax_errors_in_single(system.loss, y, target)
    if in_single is not None:
        return ScaledErrors(in_single[0].reshape(output.shape), None, in_single[1])
    # In double precision also for an output in single precision, so that rounding is not added to its own.
    exact = target.double() if target.is_floating_point() and not system.loss.class_targets else target
    sign, log_size = system.loss.log_output_error(y.double(), exact)
    check_finite(
        torch.where(torch.isneginf(log_size), 0.0, log_size / BIN_WIDTH),
        f'the output error of "{system.loss.name}", or its logarithm,',
    )
    zero = torch.zeros(len(y), dtype=torch.float64, device=y.device)
    scaled = from_logs(sign.double(), log_size, zero, output.dtype)
    logs = None if scaled.logs is None else scaled.logs.reshape(output.shape)
    return ScaledErrors(scaled.values.to(output.dtype).reshape(output.shape), logs, scaled.log_scale)
