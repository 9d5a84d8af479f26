"""Measurement of one large data set on a Ray cluster: its parts are measured there, and merged here."""

from functools import reduce
from typing import Any

import torch

from critlearn.fluctuations import GROUPS, Fluctuations, Quantities, measure_part
from critlearn.network import NeuralSystem
from critlearn.studies.sweep.engines.local import ATTEMPTS
from critlearn.studies.sweep.engines.ray_cluster import (
    Resources,
    cancel_unfinished,
    capacity,
    connected_cluster,
    original_exception,
)


def measure_on_ray(
    system: NeuralSystem,
    parts: int,
    *,
    address: str | None = None,
    resources: Resources | None = None,
    batch_size: int = 256,
    lr: float = 1.0,
    groups: int = GROUPS,
    quantities: Quantities | None = None,
    exact: bool = False,
    precision: torch.dtype | None = None,
) -> Fluctuations:
    """Measure fluctuations, like `measure`, with the data set divided over the machines of a Ray cluster.

    The sketches equal those of one machine, bin for bin, if it uses as many threads as a part does here: sums of
    floating-point numbers depend on the number of threads.

    Parameters
    ----------
    system
        Network, loss and data set; sent to each machine once.
    parts
        Number of parts; at most the number of batches.
    address
        Address of a running cluster (``HOST:PORT``, ``ray://HOST:PORT``, ``auto``); if None that of the environment
        variable ``RAY_ADDRESS``, or else a cluster is started here.
    resources
        Resources of one part; one processor if None.
    batch_size, lr, groups, quantities, exact, precision
        As for `measure`.

    Raises
    ------
    InvalidInputError
        If an argument is out of range, Ray is not installed, nothing answers at the address, or no machine there has
        what a part takes.
    """
    resources = resources or Resources()
    settings = {
        "batch_size": batch_size,
        "lr": lr,
        "groups": groups,
        "quantities": quantities,
        "exact": exact,
        "precision": precision,
    }
    with connected_cluster(address, None, resources) as ray:
        room = capacity(ray, resources)
        remote = ray.remote(
            num_cpus=resources.num_cpus,
            num_gpus=resources.num_gpus,
            memory=resources.memory,
            max_retries=ATTEMPTS - 1,
        )(_measure)
        sent = ray.put(system)
        running = [remote.remote(sent, part, parts, resources.threads, settings) for part in range(parts)]
        try:
            # In the order of the parts: series are joined one behind the other.
            return reduce(Fluctuations.merge, (ray.get(part) for part in running))
        except ray.exceptions.RayTaskError as problem:
            raise original_exception(problem) from None
        finally:
            cancel_unfinished(ray, running, room)


def _measure(system: NeuralSystem, part: int, parts: int, threads: int, settings: dict[str, Any]) -> Fluctuations:
    """Measure one part, on a set number of threads."""
    torch.set_num_threads(threads)
    return measure_part(system, part, parts, **settings)
