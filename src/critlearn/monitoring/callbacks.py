"""Monitor as a callback of the trainers of Lightning and Hugging Face, which are imported only when they are used."""

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from critlearn.errors import InvalidInputError, MissingPackageError
from critlearn.monitoring.monitor import Monitor
from critlearn.monitoring.record import MonitorRecord
from critlearn.network import NeuralSystem

_LIGHTNING: Final = ("lightning.pytorch", "pytorch_lightning")
"""Two packages of the same code; a trainer takes callbacks of its own package only."""


def lightning_callback(system: NeuralSystem, **settings: Any) -> Any:
    """Callback for the ``Trainer`` of ``lightning`` or ``pytorch_lightning``, with the `MonitorRecord` as ``record``.

    Exponents and equilibrium go to the trainer's own loggers, if `log` does not say otherwise; ``log=None`` sends them
    nowhere. Steps are those of the optimiser, whatever gradients are accumulated. A trainer that fits again has a
    record for each fit, all of them in ``records``.

    Parameters
    ----------
    system
        Network that the trainer trains, its loss, and data.
    **settings
        Those of `Monitor`.

    Raises
    ------
    MissingPackageError
        If Lightning is not installed.
    """
    # The base class is there only once Lightning is imported, so that the callback's class is made here.
    base = _lightning().Callback
    return type("LightningMonitor", (_LightningHooks, base), {})(system, settings)


def trainer_callback(system: NeuralSystem, **settings: Any) -> Any:
    """Callback for the ``Trainer`` of Hugging Face's transformers, with the `MonitorRecord` as ``record``.

    Exponents and equilibrium go to the trainer's own log, ``trainer.state.log_history``, if `log` does not say
    otherwise; ``log=None`` sends them nowhere. A trainer that trains again has a record for each training, all of them
    in ``records``.

    Parameters
    ----------
    system
        Network that the trainer trains (as a module from inputs to pre-activations), its loss, and data.
    **settings
        Those of `Monitor`. ``log=lambda name, value, step: trainer.log({name: value})`` sends exponents wherever the
        trainer reports to, too.

    Raises
    ------
    MissingPackageError
        If transformers is not installed.
    """
    if find_spec("transformers") is None:
        raise MissingPackageError('transformers is not installed: pip install "critlearn[transformers]"')
    base = import_module("transformers").TrainerCallback
    return type("TrainerMonitor", (_TrainerHooks, base), {})(system, settings)


def _lightning() -> Any:
    """Lightning package that is already imported, or else one that is installed."""
    loaded = [name for name in _LIGHTNING if name in sys.modules]
    installed = [name for name in _LIGHTNING if find_spec(name.partition(".")[0]) is not None]
    if not installed:
        raise MissingPackageError('Lightning is not installed: pip install "critlearn[lightning]"')
    return import_module((loaded or installed)[0])


class _Hooks:
    """Monitor that a trainer starts, steps and ends."""

    def __init__(self, system: NeuralSystem, settings: Mapping[str, Any]) -> None:
        self._system, self._settings = system, dict(settings)
        self._monitor: Monitor | None = None
        self._earlier: tuple[MonitorRecord, ...] = ()
        self._done = 0

    @property
    def records(self) -> tuple[MonitorRecord, ...]:
        """Records of all trainings; that of the last one so far."""
        return self._earlier if self._monitor is None else (*self._earlier, self._monitor.record)

    @property
    def record(self) -> MonitorRecord:
        """Record of the last training, so far.

        Raises
        ------
        InvalidInputError
            Before the training.
        """
        if self._monitor is None:
            raise InvalidInputError("there is no record before the training has begun")
        return self._monitor.record

    def _begin(self, optimizers: Any, done: int, **defaults: Any) -> None:
        """Start the monitor with the optimiser of the system's variables, after so many steps."""
        # Of several optimisers the one that trains the system; if none does, the monitor refuses the first.
        moved = {id(value) for value in self._system.parameters.values()}
        fitting = [
            optimizer
            for optimizer in optimizers
            if any(id(value) in moved for group in optimizer.param_groups for value in group["params"])
        ]
        self._earlier, self._monitor = self.records, None
        self._monitor = Monitor(self._system, (fitting or optimizers)[0], **{**defaults, **self._settings})
        self._monitor.__enter__()
        self._done = done

    def _step(self, done: int) -> None:
        """Count a step, if there has been one since the last call."""
        if self._monitor is not None and done != self._done:
            self._done = done
            self._monitor.step()

    def _end(self, problem: BaseException | None = None) -> None:
        """End the monitor, with a last state if training did not fail."""
        if self._monitor is not None:
            self._monitor.__exit__(None if problem is None else type(problem), problem, None)


class _LightningHooks(_Hooks):
    """Hooks that Lightning calls."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Measure the first state."""

        def log(name: str, value: float, step: int) -> None:
            for logger in trainer.loggers:
                logger.log_metrics({name: value}, step)

        self._begin(trainer.optimizers, trainer.global_step, log=log if trainer.loggers else None)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count a step of the optimiser."""
        self._step(trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure the last state."""
        self._end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End without a last state."""
        self._end(exception)


class _TrainerHooks(_Hooks):
    """Hooks that the trainer of Hugging Face calls."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **trained: Any) -> None:
        """Measure the first state."""

        def log(name: str, value: float, step: int) -> None:
            state.log_history.append({name: value, "step": step})

        self._begin([trained["optimizer"]], state.global_step, log=log)

    def on_step_end(self, args: Any, state: Any, control: Any, **trained: Any) -> None:
        """Count a step of the optimiser."""
        self._step(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **trained: Any) -> None:
        """Measure the last state."""
        self._end()
