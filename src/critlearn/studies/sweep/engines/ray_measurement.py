"""One big measurement on a Ray cluster: its parts measured there, and merged here."""

from functools import reduce
from typing import Any

import torch

from critlearn.fluctuations import GROUPS, Fluctuations, Quantities, measure_part
from critlearn.network import NeuralSystem
from critlearn.studies.sweep.engines.local import ATTEMPTS
from critlearn.studies.sweep.engines.ray_cluster import Resources, connected, raised, room_for


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
    """Measure as `measure` does, with the data set divided over the machines of a Ray cluster.

    The sketches are those of one machine, bin for bin, if that uses as many threads as a part does here: sums of
    floating-point numbers may end otherwise on another number of threads.

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
        What one part takes of a machine; one processor if None.
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
    with connected(address, None, resources) as ray:
        room_for(ray, resources)
        remote = ray.remote(
            num_cpus=resources.num_cpus,
            num_gpus=resources.num_gpus,
            memory=resources.memory,
            max_retries=ATTEMPTS - 1,
        )(_measured)
        sent = ray.put(system)
        running = [remote.remote(sent, part, parts, resources.threads, settings) for part in range(parts)]
        try:
            return reduce(Fluctuations.merge, (ray.get(part) for part in running))
        except ray.exceptions.RayTaskError as problem:
            raise raised(problem) from None
        finally:
            for part in running:
                ray.cancel(part, force=True)


def _measured(system: NeuralSystem, part: int, parts: int, threads: int, settings: dict[str, Any]) -> Fluctuations:
    """One part, on so many threads."""
    torch.set_num_threads(threads)
    return measure_part(system, part, parts, **settings)
