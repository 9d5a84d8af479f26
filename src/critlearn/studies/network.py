"""Study of a network of the user's own: a function names network, loss and data, and critlearn trains and measures."""

import time
from typing import Final

import torch

from critlearn.analysis import Analysis
from critlearn.equilibrium.approach import Progress
from critlearn.studies.config import OWN, NetworkConfig
from critlearn.studies.measurement import trained_and_measured
from critlearn.studies.user_networks.assembly import NamedSystem, NetworkOptions, named_system

STUDY: Final = "network"
"""Name of the study, as in ``critlearn run network``."""


def run_network(config: NetworkConfig, progress: Progress | None = None) -> Analysis:
    """Train a network of the user's own to equilibrium, measure its fluctuations and hold them against predictions.

    Parameters
    ----------
    config
        Names the function that makes the network, and what is not to be as that function gives it.
    progress
        Called after every epoch of training.

    Raises
    ------
    CritlearnError
        If a setting cannot be used or the data cannot be read.
    """
    started = time.perf_counter()
    named = network_of(config)
    return trained_and_measured(
        STUDY, config, named.system, named.source or config.network, progress=progress, started=started
    )


def network_of(config: NetworkConfig) -> NamedSystem:
    """System that a run starts from; weights and synthetic data are drawn with the seed of the run.

    Raises
    ------
    CritlearnError
        As `run_network`.
    """
    options = NetworkOptions(
        network=config.network,
        loss=None if config.loss == OWN else config.loss,
        activation=None if config.activation == OWN else config.activation,
        data=config.data,
        target=config.target,
        columns=config.columns,
        drop=config.drop,
        seed=config.seed,
        device=config.device,
        arguments=config.arguments(),
    )
    # The global random state is left untouched.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return named_system(options)
