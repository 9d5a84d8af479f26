"""Alignment of labels and positions: causal language models shift labels by one, in their own loss and so here."""

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from critlearn.errors import InvalidInputError
from critlearn.network.batches.adapted_model import outputs_of
from critlearn.network.batches.model_inputs import IGNORED, ModelInputs, own_copy
from critlearn.network.batches.reading import BatchReader, accepts, names, next_labels

_SAME_LOSS: Final = {torch.float64: 1e-6, torch.float32: 1e-6}
"""Relative difference of two mean losses that is rounding, as models take their loss in single precision; a wrong
alignment changes a mean by its spread over tokens, 1e-2."""

_COARSE: Final = 1e-2
"""The same in half precision, which has three digits."""


@torch.no_grad()
def aligned(reader: BatchReader, x: Any, t: Tensor) -> BatchReader:
    """Reader with labels shifted by one position where this gives the model's own loss.

    Parameters
    ----------
    reader
        Reader without a shift.
    x, t
        First batch as it reads them, as the network takes them.

    Raises
    ------
    InvalidInputError
        If the model's own loss is the mean token loss neither with labels in place nor with labels shifted, or if it
        has none and the labels are the tokens of the input.
    """
    if reader.function is not None or t.is_floating_point() or t.dim() != 2 or t.shape[1] < 2:
        return reader
    model = reader.model
    own = _own_loss(model, x, t)
    tokens = x.keywords.get("input_ids") if isinstance(x, ModelInputs) else x
    if own is None:
        counted = t != IGNORED
        if isinstance(tokens, Tensor) and tokens.shape == t.shape and bool((tokens == t)[counted].all()):
            raise InvalidInputError(
                "labels are the tokens of the input itself, and the model returns no loss that would tell whether they "
                "are to be shifted by one: give batch= a function that returns (inputs, labels of each position)"
            )
        return reader
    loss, logits = own
    if not bool((t != IGNORED).any()):
        raise InvalidInputError(
            f"the first samples have no labels but {IGNORED}, so that nothing tells how they are aligned: leave such "
            "samples out, or give batch= a function of a batch that returns (arguments, targets in place)"
        )
    if logits.dim() != 3 or logits.shape[:2] != t.shape:
        return reader
    found = []
    for labels in (t, next_labels(t)):
        mean = functional.cross_entropy(logits.double().flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        found.append(float(mean))
    allowed = _SAME_LOSS.get(logits.dtype, _COARSE) * max(1.0, abs(loss))
    if abs(found[0] - loss) <= allowed:
        return reader
    if abs(found[1] - loss) <= allowed:
        return BatchReader(model, None, shifted=True)
    raise InvalidInputError(
        f"the model's own loss of the first batch is {loss:.6g}, and the mean over its tokens {found[0]:.6g}, or "
        f"{found[1]:.6g} with labels shifted by one: give batch= a function of a batch that returns (arguments, "
        "targets in place)"
    )


def _own_loss(model: nn.Module, x: Any, t: Tensor) -> tuple[float, Tensor] | None:
    """Loss and logits that a model returns if it is given the labels; None if it takes none or returns no loss."""
    if not (names(model, "labels") and accepts(model, "labels")):
        return None
    x = own_copy(x)
    positional, keywords = (x.positional, dict(x.keywords)) if isinstance(x, ModelInputs) else ((x,), {})
    returned = model(*positional, **keywords, labels=t.clone())
    loss, logits = getattr(returned, "loss", None), outputs_of(returned)
    if not isinstance(loss, Tensor) or loss.dim() or not isinstance(logits, Tensor):
        return None
    return float(loss), logits
