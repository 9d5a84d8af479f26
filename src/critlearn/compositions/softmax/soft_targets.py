"""Softmax followed by cross-entropy with targets that are probabilities: a continuous boundary."""

from dataclasses import dataclass

import numpy as np

from critlearn.compositions.softmax.cross_entropy import array_module, log_sum_exp, without
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of
from critlearn.errors import InvalidInputError


@dataclass(frozen=True)
class SoftTargetCrossEntropy:
    """Loss ``-sum_i t_i ln p_i`` of the softmax probabilities ``p``, for targets of any weights ``t >= 0``.

    The output error is ``p_i s - t_i`` with ``s = sum_i t_i``. Where all weight is on class ``i`` the difference is
    minus the sum of the other classes' probabilities, so that one-hot targets have the exact errors of
    `SoftmaxCrossEntropy`.

    Outputs and targets have shape (batch, classes); both may be NumPy arrays or torch tensors.

    >>> SoftTargetCrossEntropy().output_error(np.array([[50.0, 0.0]]), np.array([[1.0, 0.0]])).tolist()
    [[-1.9287498479639178e-22, 1.9287498479639178e-22]]
    """

    name: str = "softmax+cross-entropy of probabilities"
    class_targets: bool = False

    def value(self, y: Array, t: Array) -> Array:
        """``-t_i ln p_i``, shape (batch, classes): they add up to the loss of the sample."""
        y, t = _checked(y, t)
        return t * (log_sum_exp(y)[:, None] - y)

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error and ``ln|p_i s - t_i|``, shape (batch, classes), in double precision."""
        return self._evaluated(y, t)[1:]

    def value_and_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Loss and output error, as `value` and `output_error`, of one evaluation in double precision."""
        value, sign, log_size = self._evaluated(y, t)
        return value, sign * array_module(log_size).exp(log_size)

    def _evaluated(self, y: Array, t: Array) -> tuple[Array, Array, Array]:
        """Loss, sign of the output error and ``ln|p_i s - t_i|``, in double precision."""
        y, t = _checked(y, t)
        library = array_module(y)
        log_all = log_sum_exp(y)[:, None]
        weight = t.sum(1)[:, None]
        # Two cases need no difference, which would cancel or underflow: all weight on class i, -t_i (1 - p_i), and
        # none, p_i s. Both are formed by logarithms.
        whole, none = t == weight, t == 0
        difference = library.exp(y - log_all) * weight - t
        sign = library.where(whole, -1.0 + 0.0 * y, library.where(none, 1.0 + 0.0 * y, library.sign(difference)))
        with np.errstate(divide="ignore"):
            direct = library.log(abs(difference))
            log_weight = library.log(weight)
        # One class at most has all the weight, so one sum over the others suffices for a sample.
        log_rest = log_sum_exp(without(whole, y))[:, None]
        log_size = library.where(whole, log_rest - log_all + log_weight, direct)
        return t * (log_all - y), sign, library.where(none & ~whole, y - log_all + log_weight, log_size)

    def output_error(self, y: Array, t: Array) -> Array:
        """``p_i s - t_i``, shape and dtype of ``y``."""
        sign, log_size = self.log_output_error(y, t)
        if library_of(y) == "torch":
            return (sign * log_size.exp()).to(y.dtype)
        return sign * np.exp(log_size)


def log_others(y: Array) -> Array:
    """``ln sum_(j != i) exp(y_j)`` for every class i, shape (batch, classes)."""
    classes = y.shape[1]
    if library_of(y) == "torch":
        import torch

        own = torch.eye(classes, dtype=torch.bool, device=y.device)
        return y[:, None, :].masked_fill(own, -np.inf).logsumexp(dim=2)
    masked = np.where(np.eye(classes, dtype=bool), -np.inf, y[:, None, :])
    top = masked.max(axis=2, keepdims=True)
    return np.log(np.exp(masked - top).sum(axis=2)) + top[:, :, 0]


def _checked(y: Array, t: Array) -> tuple[Array, Array]:
    """Outputs and targets in double precision."""
    if library_of(y) == "torch":
        y, t = y.double(), t.to(y.device).double()
    else:
        y, t = np.asarray(y, dtype=np.float64), np.asarray(t, dtype=np.float64)
    if len(y.shape) != 2 or y.shape[1] < 2 or tuple(t.shape) != tuple(y.shape):
        raise InvalidInputError(
            "softmax with probabilities as targets needs outputs and targets (batch, classes) with two classes or "
            f"more; got {tuple(y.shape)} and {tuple(t.shape)}"
        )
    if not bool(((t >= 0) & (t < np.inf)).all()):
        raise InvalidInputError("targets that are probabilities must be finite and not negative; got others")
    return y, t
