"""Fluctuations followed during training, in any loop of a user's own."""

from critlearn._torch import torch  # noqa: F401
from critlearn.monitoring.cadence import SHARE
from critlearn.monitoring.callbacks import lightning_callback, trainer_callback
from critlearn.monitoring.distribution import Distribution
from critlearn.monitoring.monitor import Monitor
from critlearn.monitoring.record import UPDATES, MonitoredState, MonitorRecord
from critlearn.monitoring.updates import UpdateSeries

__all__ = [
    "SHARE",
    "UPDATES",
    "Distribution",
    "Monitor",
    "MonitorRecord",
    "MonitoredState",
    "UpdateSeries",
    "lightning_callback",
    "trainer_callback",
]
