"""Losses without a form of their own: any callable ``(y, t) -> value``, differentiated for each sample by itself."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from critlearn.errors import RAISED_BY_USER_CODE, InvalidInputError, first_line
from critlearn.network.exact_functions import exact_functions

_SAME: Final = 1e-5
"""Relative difference of losses of two samples together and apart that is rounding, also in single precision."""


_ROUNDING: Final = 1e-12
"""Difference of such losses that is rounding where they cancel, as ``1 - tanh(y)`` does."""


@dataclass(frozen=True, eq=False)
class DifferentiatedLoss:
    """Loss of a sample by a function of its output and target, each a batch of one.

    Its output errors are those of automatic differentiation in double precision: where they cancel, below the
    resolution floor, they are rounding errors.

    Parameters
    ----------
    function
        From outputs (1, ...) and targets (1, ...) to the loss; several numbers are added.
    output_shape, target_shape
        Shapes for one sample; the first dimension may differ from batch to batch, as that of sequences.
    precision
        Floating-point type in which it is differentiated; the coarser one shows where it rounds.
    arithmetic
        Context in which it is differentiated, as `DisplacedArithmetic`, which shows the same.
    """

    function: Callable[[Tensor, Tensor], Any]
    output_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    precision: torch.dtype = torch.float64
    arithmetic: Callable[[], AbstractContextManager[Any]] = nullcontext
    class_targets: bool = False

    @property
    def name(self) -> str:
        """Name of the function."""
        kind = self.function if hasattr(self.function, "__name__") else type(self.function)
        return str(getattr(kind, "__name__", kind))

    def value(self, y: Any, t: Any) -> Any:
        """Loss of each sample, shape (batch,)."""
        return torch.stack([self._one(own, target) for own, target in zip(y, t, strict=True)])

    def log_output_error(self, y: Any, t: Any) -> tuple[Any, Any]:
        """Sign of the output error and its logarithm, shape of ``y``, in double precision."""
        rows = []
        for own, target in zip(y.detach().to(self.precision), t, strict=True):
            leaf = own.clone().requires_grad_()
            with torch.enable_grad(), self.arithmetic():
                value = self._one(leaf, target.to(self.precision) if target.is_floating_point() else target)
                if not value.requires_grad:
                    raise InvalidInputError(f'the loss "{self.name}" does not depend on the output, or detaches it')
                (error,) = torch.autograd.grad(value, leaf)
            rows.append(error)
        errors = torch.stack(rows).double()
        return errors.sign(), errors.abs().log()

    def output_error(self, y: Any, t: Any) -> Any:
        """``dl/dy``, shape and dtype of ``y``."""
        sign, log_size = self.log_output_error(y, t)
        return (sign * log_size.exp()).to(y.dtype)

    def _one(self, y: Tensor, t: Tensor) -> Tensor:
        """Loss of one sample.

        Raises
        ------
        InvalidInputError
            If the function fails, or returns no number.
        """
        try:
            value = self._called(_shaped(y, self.output_shape), _shaped(t, self.target_shape))
        except RAISED_BY_USER_CODE as problem:
            raise InvalidInputError(
                f'the loss "{self.name}" cannot take an output of shape {(1, *self.output_shape)} and a target of '
                f"shape {(1, *self.target_shape)}: {first_line(problem)}; give a function (y, t) -> value of one sample"
            ) from problem
        if not isinstance(value, Tensor):
            raise InvalidInputError(f'the loss "{self.name}" must return a tensor; got {type(value).__name__}')
        return value.sum()

    def _called(self, y: Tensor, t: Tensor) -> Any:
        """What the function returns; functions of torch's that have exact forms are exact inside."""
        with exact_functions():
            return self.function(y, t)

    def check_apart(self, y: Tensor, t: Tensor) -> None:
        """Raise if the loss of some samples is neither the sum nor the mean of theirs.

        Raises
        ------
        InvalidInputError
            If the loss couples them.
        """
        samples = len(y)
        if samples < 2:
            return
        y, t = y.double(), t.double() if t.is_floating_point() else t
        with torch.no_grad():
            alone = [float(self._one(*pair)) for pair in zip(y, t, strict=True)]
            try:
                together = self._called(y.reshape(samples, *self.output_shape), t.reshape(samples, *self.target_shape))
            except RAISED_BY_USER_CODE:
                # It takes one sample at a time.
                return
        total, apart, sizes = float(together.sum()), sum(alone), sum(map(abs, alone))
        if all(abs(total - share) > _SAME * max(sizes, abs(total)) + _ROUNDING for share in (apart, apart / samples)):
            raise InvalidInputError(
                f'the loss "{self.name}" couples the samples of a batch: for {samples} samples it is {total:.6g}, and '
                f"{apart:.6g} for the sum over each alone; give a function (y, t) -> value of one sample, whose inputs "
                'batch= may put together, and reduction="sum" in place of a mean that is weighted or leaves some out'
            )


def _shaped(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Numbers of one sample in its shape, of which the first dimension may be another one."""
    return value.reshape(1, -1, *shape[1:]) if shape else value.reshape(1)


def by_function(loss: nn.Module | Callable[..., Any], output: Tensor, targets: Tensor) -> DifferentiatedLoss:
    """Loss of a module or function, with the arguments that it takes for one sample.

    Parameters
    ----------
    loss
        A loss of torch's or a function ``(y, t) -> value``. A triplet loss takes the three parts of an output
        (sample, 3, dimension); CTC log-probabilities (sample, time, class) and labels (sample, label), of which
        negative ones are padding.
    output, targets
        Those of some samples.
    """
    function: Any = loss
    if isinstance(loss, nn.TripletMarginLoss | nn.TripletMarginWithDistanceLoss):
        function = _Triplet(loss)
    elif isinstance(loss, nn.CTCLoss):
        function = _Ctc(loss)
    found = DifferentiatedLoss(function, tuple(output.shape[1:]), tuple(targets.shape[1:]))
    found.check_apart(output, targets)
    return found


@dataclass(frozen=True)
class _Triplet:
    """Triplet loss of one output (1, 3, dimension): anchor, positive and negative."""

    loss: nn.Module

    @property
    def __name__(self) -> str:
        return type(self.loss).__name__

    def __call__(self, y: Tensor, t: Tensor) -> Tensor:
        if y.dim() != 3 or y.shape[1] != 3:
            raise ValueError("outputs must be (sample, 3, dimension): anchor, positive and negative")
        return self.loss(*y.unbind(dim=1))


@dataclass(frozen=True)
class _Ctc:
    """CTC of one output (1, time, class) and its labels (1, label), negative where there is none."""

    loss: nn.CTCLoss

    @property
    def __name__(self) -> str:
        return type(self.loss).__name__

    def __call__(self, y: Tensor, t: Tensor) -> Tensor:
        total = []
        for own, labels in zip(y, t, strict=True):
            wanted = labels[labels >= 0]
            lengths = (torch.tensor([len(own)]), torch.tensor([len(wanted)]))
            total.append(self.loss(own[:, None], wanted[None], *lengths).sum())
        return torch.stack(total).sum()
