"""Analysis of a network that was trained elsewhere, in one call."""

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import nn
from torch.utils.data import TensorDataset

from critlearn.analysis.analysis import Analysis
from critlearn.analysis.batches import batch_size
from critlearn.analysis.road import ANALYSIS, MODES, Heading, Interrupted, Progress, walk
from critlearn.analysis.stages import stage_bar
from critlearn.equilibrium import Certificate, certify
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import Quantities
from critlearn.network import NeuralSystem

_CURVATURE: Final = 10_000_000
"""Trainable variables up to which curvature is looked at: its 20 vectors take 1.6 GB then."""

_CERTIFIED: Final = 1024
"""Samples passed at once for the certificate, unless the network is large."""


def analyze(
    model: nn.Module | NeuralSystem,
    loss: Any = None,
    data: Any = None,
    *,
    batch: Callable[[Any], Any] | None = None,
    losses: Sequence[float] = (),
    weight_decay: float = 0.0,
    optimizer: torch.optim.Optimizer | None = None,
    certificate: Certificate | None = None,
    quantities: Quantities | None = None,
    modes: bool | None = None,
    source: str | None = None,
    seed: int = 0,
    progress: Progress | bool = True,
) -> Analysis:
    """Say which layers of a trained network fluctuate scale-free, over what range, with what exponent, as predicted.

    The state is certified, the fluctuations of every trainable variable are measured, and their power laws are fitted
    and held against predictions. Nothing is trained, and the network is left as it is. Ctrl-C during fits and modes
    returns what is finished, with a warning; the record names what is ``unfinished``.

    Parameters
    ----------
    model
        Trained network; or a `NeuralSystem`, which has loss and data already.
    loss, data, batch
        As for `NeuralSystem`; data may also be a pair of tensors, inputs and targets.
    losses
        Mean loss of each epoch of the training, if it is known: with it, the loss must be stationary for a certificate.
    weight_decay, optimizer
        Weight decay of the training, as for `certify`.
    certificate
        Certificate of this state, where it was made before.
    quantities
        What is measured, such as ``Quantities(only=["blocks.3.*"], variables=1000)`` of a large network; every variable
        by default.
    modes
        Whether the modes of learning are made, as by `critlearn.modes`: by default where that is cheap, of up to 10,000
        samples and 3,000,000 samples times trainable variables. The record says why there are none.
    source
        Origin of the data in words, for record and report.
    seed
        Seed of the resampling.
    progress
        Whether to show a bar on standard error, if it is a terminal; or a function called with the stage, what is done
        of it, and what there is to do.

    Raises
    ------
    InvalidInputError
        If network, loss and data do not fit, or an argument is out of range.

    Examples
    --------
    >>> from critlearn.network import feed_forward
    >>> from torch.utils.data import TensorDataset
    >>> x = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> data = TensorDataset(x, torch.where(x[:, 0] > 0, 1.0, -1.0))
    >>> analysis = analyze(feed_forward(3, [8], "tanh", seed=0), critlearn.Composition("sigmoid", "bce"), data)
    >>> analysis.table.quantity.tolist()[:4]
    ['output.bias', 'output.weight', 'hidden1.bias', 'hidden1.weight']
    """
    started = time.perf_counter()
    losses = _checked_losses(losses)
    for what, value, kind in (("quantities", quantities, Quantities), ("certificate", certificate, Certificate)):
        if value is not None and not isinstance(value, kind):
            raise InvalidInputError(f"{what}= takes a {kind.__name__}; got {type(value).__name__}")
    if modes not in (None, True, False):
        raise InvalidInputError(f"modes= takes True, False or None; got {modes!r:.80}")
    system = _system(model, loss, data, batch)
    # A wrong name is refused before minutes are spent.
    (Quantities() if quantities is None else quantities).names(dict.fromkeys(system.parameters, 0))
    with stage_bar(shown=progress is True) as bar:
        tell: Progress | None = progress if callable(progress) else bar
        if tell is not None:
            tell("certificate", 0, 0)
        if certificate is None:
            large = sum(value.numel() for value in system.parameters.values()) > _CURVATURE
            certificate = certify(
                system,
                weight_decay=weight_decay,
                optimizer=optimizer,
                losses=losses or None,
                leave_out=("curvature",) if large else (),
                batch_size=min(_CERTIFIED, batch_size(system)),
                seed=seed,
            )
        try:
            return walk(
                system,
                _heading(system, source, seed, weight_decay, quantities),
                certificate,
                losses=losses,
                quantities=quantities,
                modes=modes,
                started=started,
                progress=tell,
            )
        except Interrupted as stop:
            left = stop.analysis.record["unfinished"]
            missing = "it has no modes" if left == [MODES] else f"{len(left)} quantities are not fitted"
            warnings.warn(f"the analysis was interrupted: {missing}", stacklevel=2)
            return stop.analysis


def _checked_losses(losses: Sequence[float]) -> tuple[float, ...]:
    """Losses as plain numbers.

    Raises
    ------
    InvalidInputError
        If they are none.
    """
    try:
        return tuple(float(loss) for loss in losses)
    except (TypeError, ValueError):
        raise InvalidInputError(f"losses= takes the mean loss of each epoch, as numbers; got {losses!r:.80}") from None


def _system(model: Any, loss: Any, data: Any, batch: Any) -> NeuralSystem:
    """System of what was given.

    Raises
    ------
    InvalidInputError
        If something is missing, or given twice.
    """
    if isinstance(model, NeuralSystem):
        if loss is not None or data is not None or batch is not None:
            raise InvalidInputError("a NeuralSystem has its loss and data: leave out loss=, data= and batch=")
        return model
    if loss is None or data is None:
        raise InvalidInputError(
            f"analyze takes a network, its loss and its data; got no {'loss' if loss is None else 'data'}"
        )
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, torch.Tensor) for part in data):
        data = TensorDataset(*data)
    return NeuralSystem(model, loss, data, batch)


def _heading(
    system: NeuralSystem, source: str | None, seed: int, weight_decay: float, quantities: Quantities | None
) -> Heading:
    """What the record says of the system."""
    named = source or getattr(system.dataset, "source", None)
    data = named if isinstance(named, str) else f"{type(system.dataset).__name__} of {len(system):,} samples"
    config: dict[str, Any] = {
        "model": type(system.model).__name__,
        "loss": system.loss.name,
        "weight_decay": weight_decay,
        "seed": seed,
    }
    if quantities is not None:
        config |= {"only": list(quantities.only), "variables": quantities.variables, "axis": quantities.axis}
    return Heading(ANALYSIS, data, config, seed)
