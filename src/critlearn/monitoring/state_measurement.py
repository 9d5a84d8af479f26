"""Fluctuations and drift of a network at states of its training, each from one pass over a few samples."""

import time
from dataclasses import dataclass
from typing import Final

from critlearn.equilibrium.moments import Moments, common_unit
from critlearn.fluctuations import Fluctuations, Quantities
from critlearn.fluctuations.accumulation.accumulator import Accumulator
from critlearn.fluctuations.accumulation.drawn import DrawnGradients
from critlearn.fluctuations.floor.resolution import FirstBatch, measured_resolution
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.moments.running_moments import GatheredMoments
from critlearn.network import NeuralSystem

BATCH: Final = 64
"""Samples passed at once, after each of which a measurement may end: a pass of fewer takes hardly less time."""

_GROUPS: Final = 16
"""Groups of samples that are kept apart for errors: four samples each in the smallest measurement."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one state.

    Parameters
    ----------
    fluctuations
        Counts of the quantities.
    drift
        Drift and fluctuation of the entries that were counted.
    """

    fluctuations: Fluctuations
    drift: Moments


class StateMeasurement:
    """Measurement of the same samples and the same entries at any state of a network.

    What is found out about the network, such as which layers' rules hold, is found out once.

    Parameters
    ----------
    system
        Network, loss and the samples.
    variables
        Number of entries of each variable that are counted; None for all.
    seed
        Decides which.

    Raises
    ------
    InvalidInputError
        If the network cannot be measured.
    """

    def __init__(self, system: NeuralSystem, variables: int | None, seed: int) -> None:
        self._system = system
        self._quantities = Quantities(variables=variables, seed=seed)
        self._gradients = PerSampleGradients(system)
        self._drawn = self._quantities.drawn(self._gradients.sizes)

    def __call__(self, seconds: float) -> Measured:
        """Measure the network as it is: all samples, or as many batches as fit into so many seconds, but at least one.

        Raises
        ------
        InvalidInputError
            If the network gives no finite output.
        """
        started = time.perf_counter()
        whole = self._gradients.renewed()
        drawn = DrawnGradients(whole, self._drawn)
        groups = min(_GROUPS, len(self._system))
        counts = Accumulator(drawn, self._quantities, log_rate=0.0, groups=groups, exact=False)
        moments = GatheredMoments()
        first: FirstBatch | None = None
        for x, t in self._system.boundary(BATCH):
            items = list(drawn.batch(x, t, first=counts.done))
            first = first or FirstBatch(x, t, items, drawn.entries)
            counts.add_gradients(items, len(t))
            for item in items:
                moments.add(item, None)
            if time.perf_counter() - started > seconds:
                break
        fluctuations = counts.finish(measured_resolution(whole, first))
        shapes = {name: part.drift.shape for name, part in moments.entries.items()}
        return Measured(fluctuations, common_unit(moments.entries, shapes))
