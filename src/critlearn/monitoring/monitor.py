"""Monitor: follow fluctuations during ordinary training, with one line in a user's own loop."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor

from critlearn.equilibrium import TOLERANCE
from critlearn.errors import RAISED_BY_USER_CODE, CritlearnError, InvalidInputError, first_line, unknown_name
from critlearn.fluctuations import POOLED, Fluctuations, Quantities
from critlearn.fluctuations.accumulation.pools import pools_of
from critlearn.fluctuations.grad_sample.rules.plan import layer_of
from critlearn.monitoring.cadence import SHARE, Cadence, Clock, EveryStep, WithinShare
from critlearn.monitoring.distribution import Distribution
from critlearn.monitoring.loggers import PREFIX, as_logger, log_distribution
from critlearn.monitoring.preserve_state import preserve_state
from critlearn.monitoring.record import UPDATES, MonitoredState, MonitorRecord
from critlearn.monitoring.state_measurement import StateMeasurement
from critlearn.monitoring.subsample import subsample
from critlearn.monitoring.updates import SeriesRecorder, update_distribution
from critlearn.network import NeuralSystem
from critlearn.numerics.validation import check_seed

SAMPLES: Final = 1024
"""Default number of samples: the error of their mean is 0.03 of a fluctuation, well below the tolerance 0.1."""

VARIABLES: Final = 1000
"""Default number of entries of each variable that are counted: with 64 samples enough for the exponent of a layer."""

SERIES: Final = 64
"""Default number of variables whose values are kept over time: some of every large layer."""


class Monitor:
    """Follow per-sample fluctuations, the optimiser's updates, exponent and equilibrium while a network is trained.

    ::

        with critlearn.Monitor(system, optimizer) as monitor:
            for x, t in loader:
                ...
                optimizer.step()
                monitor.step()
        print(monitor.record.summary())

    Weights come out bit for bit as without it: the network is measured in eval mode with everything put back, the mode
    of each module and the state of the generators of torch, NumPy and Python. In eval mode batch normalisation uses its
    running statistics, and dropout does nothing: what is measured are the fluctuations of that network.

    Three kinds of distribution are kept apart, each with its axis: per-sample fluctuations (over samples, or samples x
    variables), updates of the optimiser in one step (over variables), and series of a few variables (over time).

    Parameters
    ----------
    system
        Network that is trained, its loss, and data of which the samples are drawn.
    optimizer
        Optimiser that trains it.
    every
        Steps between measurements, from before the first on. By default they are in geometric progression, each made
        once it is paid for, and the first one after that too: an untrained network has nothing to say.
    share
        Greatest time of measuring in units of that of training, 0.03 by default; not together with `every`.
    samples
        Number of samples measured, the same ones each time; fewer, in batches of 64, where time does not pay for all.
    variables
        Number of entries of each variable that are counted, the same ones each time; None for all.
    quantities
        Names of quantities of `measure`, such as ``all`` or ``2.bias``, or one of them; by default layers and ``all``.
    series
        Number of variables, drawn at random, whose values are kept over time, or flat indices by name: values of the
        last 131,072 recorded steps, and counts of all increments by layer and period.
    log
        Receiver of exponents, grades and equilibrium as they are measured: anything with ``add_scalar(name, value,
        step)`` or a function of these. Fits of ``all``, or of the quantities that are named, are then made at once, and
        paid for like measurements.
    seed
        Decides which samples and variables are drawn.

    Raises
    ------
    InvalidInputError
        If an argument is out of range, a name unknown, or the optimiser moves no variable of the system.
    """

    def __init__(
        self,
        system: NeuralSystem,
        optimizer: torch.optim.Optimizer,
        *,
        every: int | None = None,
        share: float | None = None,
        samples: int = SAMPLES,
        variables: int | None = VARIABLES,
        quantities: str | Sequence[str] | None = None,
        series: int | Mapping[str, tuple[int, ...]] = SERIES,
        log: Any = None,
        seed: int = 0,
    ) -> None:
        _check_optimiser(system, optimizer)
        self._system, self._optimizer = system, optimizer
        if every is not None and share is not None:
            raise InvalidInputError("a monitor measures every so many steps or within a share of the time, not both")
        check_seed(seed)
        self._cadence: Cadence = WithinShare(SHARE if share is None else share) if every is None else EveryStep(every)
        self._samples, self._entries, self._seed = samples, variables, seed
        self._quantities = (quantities,) if isinstance(quantities, str) else quantities and tuple(quantities)
        self._log = as_logger(log)
        self._variables: Mapping[str, Tensor] = system.parameters
        sizes = {name: value.numel() for name, value in self._variables.items()}
        self._series = SeriesRecorder(self._variables, Quantities(series=series, seed=seed).chosen(sizes))
        self._measured: NeuralSystem | None = None
        self._measurement: StateMeasurement | None = None
        self._states: list[MonitoredState] = []
        self._before: dict[str, Tensor] | None = None
        self._clock, self._steps, self._since, self._closed = Clock(), 0, 0.0, False

    def __enter__(self) -> "Monitor":
        """Look at the network; bad input is refused here, not in the middle of training."""
        with self._timed():
            with preserve_state(self._system.model):
                self._measured = subsample(self._system, self._samples, self._seed)
                self._measurement = StateMeasurement(self._measured, self._entries, self._seed)
            self._check_names()
            if self._cadence.due(0, self._clock):
                self._add_state(self._measure())
            self._series.take(0)
        # No measurement has been paid for yet: the first is thought to take as long as the start.
        self._clock = Clock(start=self._clock.spent, last_cost=self._clock.spent)
        return self

    def _check_names(self) -> None:
        """Raise if a quantity is asked for that is not measured."""
        known = [*self._variables, *pools_of(self._variables)]
        for name in self._quantities or ():
            if name not in known:
                raise unknown_name("quantity", name, known)

    def step(self) -> None:
        """Note that the optimiser has made a step, and measure if it is time to.

        Raises
        ------
        InvalidInputError
            Outside the ``with`` block.
        """
        if self._measured is None or self._closed:
            raise InvalidInputError("a monitor counts steps inside its `with` block only")
        with self._timed():
            self._steps += 1
            if self._before is not None:
                self._take_update()
            if self._series.due(lambda seconds: self._cadence.pays_for_series(seconds, self._clock)):
                self._series.take(self._steps)
            if self._cadence.due(self._steps, self._clock):
                self._add_state(self._attempt())

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: object) -> None:
        """Measure the last state, unless training was broken off; there is at least one, whatever it takes."""
        with self._timed():
            last = self._states[-1].step if self._states else None
            if kind is None and last != self._steps and (last is None or self._cadence.pays_for_last(self._clock)):
                self._add_state(self._attempt())
        self._closed, self._before = True, None

    @property
    def record(self) -> MonitorRecord:
        """Record of the training so far."""
        measured = self._system if self._measured is None else self._measured
        return MonitorRecord(
            tuple(self._states),
            self._series.series(),
            len(measured),
            len(self._system),
            self._cadence.description,
            self._steps,
            self._clock.training,
            self._clock.start + self._clock.spent,
            self._series.increments(),
        )

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the time inside as measuring, and the time since the last call as training."""
        start = time.perf_counter()
        if self._since:
            self._clock.training += start - self._since
        try:
            yield
        finally:
            self._since = time.perf_counter()
            self._clock.spent += self._since - start

    def _attempt(self) -> MonitoredState:
        """Measure; a state that cannot be measured, such as a diverged one, is recorded with the reason, not raised."""
        try:
            return self._measure()
        # Whatever goes wrong here, training has gone well so far.
        except (CritlearnError, *RAISED_BY_USER_CODE) as problem:
            return self._state({}, None, None, 0, 0.0, first_line(problem) or type(problem).__name__)

    def _measure(self) -> MonitoredState:
        """Measure the network as it is."""
        assert self._measurement is not None
        _finish_kernels(self._variables)
        start = time.perf_counter()
        with preserve_state(self._system.model):
            measured = self._measurement(self._cadence.seconds_of_a_state(self._clock))
        fluctuations = measured.fluctuations
        distributions = {
            name: Distribution(fluctuations[name], fluctuations.axis(name), fluctuations.log_floor)
            for name in self._quantities or _layers(fluctuations, self._variables)
        }
        fraction, frozen = measured.drift.fraction_at_equilibrium(TOLERANCE), measured.drift.frozen_count
        if self._log is not None:
            self._log(f"{PREFIX}equilibrium_fraction", fraction, self._steps)
            for name in self._quantities or (POOLED,):
                log_distribution(self._log, name, distributions[name], self._steps)
        return self._state(distributions, fraction, frozen, fluctuations.samples, time.perf_counter() - start, None)

    def _state(
        self,
        distributions: dict[str, Distribution],
        fraction: float | None,
        frozen: int | None,
        samples: int,
        cost: float,
        problem: str | None,
    ) -> MonitoredState:
        """State at the present step."""
        rates = tuple(float(group["lr"]) for group in self._optimizer.param_groups)
        training = self._clock.training
        return MonitoredState(self._steps, training, cost, rates, distributions, fraction, frozen, problem, samples)

    def _add_state(self, state: MonitoredState) -> None:
        """Keep a state, and a copy of the weights until the next update is known."""
        self._clock.last_cost = state.cost_seconds
        self._states.append(state)
        if state.problem is None:
            self._before = {name: value.detach().clone() for name, value in self._variables.items()}

    def _take_update(self) -> None:
        """Add the optimiser's update in the step after the last state to that state."""
        assert self._before is not None
        before, self._before = self._before, None
        last = self._states[-1]
        start = time.perf_counter()
        try:
            update = update_distribution(before, self._variables)
        except CritlearnError:
            # Not finite: the next state will say so.
            return
        if self._log is not None:
            log_distribution(self._log, UPDATES, update, self._steps)
        cost = time.perf_counter() - start
        self._clock.last_cost += cost if last.step else 0.0
        self._states[-1] = MonitoredState(
            last.step,
            last.training_seconds,
            last.cost_seconds + cost,
            last.rates,
            {**last.distributions, UPDATES: update},
            last.equilibrium_fraction,
            last.frozen,
            last.problem,
            last.samples,
        )


def _layers(fluctuations: Fluctuations, variables: Mapping[str, Tensor]) -> list[str]:
    """Layers and the pool of all; a layer of one variable has the variable's name."""
    alone = [name for name in variables if layer_of(name) not in fluctuations]
    return [*alone, *(name for name in fluctuations if name not in variables)]


def _check_optimiser(system: object, optimizer: object) -> None:
    """Raise if the system or the optimiser has the wrong type, or the optimiser trains another network."""
    if not isinstance(system, NeuralSystem):
        raise InvalidInputError(f"the system must be a NeuralSystem; got {type(system).__name__}")
    groups = getattr(optimizer, "param_groups", None)
    if groups is None:
        raise InvalidInputError(f"the optimiser must have param_groups, as torch's do; got {type(optimizer).__name__}")
    moved = {id(value) for group in groups for value in group["params"]}
    if not any(id(value) in moved for value in system.parameters.values()):
        raise InvalidInputError(
            "the optimiser moves no variable of the system: make the system of the network that is trained, not of a "
            "copy"
        )


def _finish_kernels(variables: Mapping[str, Tensor]) -> None:
    """Wait for pending kernels of the training on the accelerator, so that they are not counted as measuring."""
    device = next(iter(variables.values())).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
