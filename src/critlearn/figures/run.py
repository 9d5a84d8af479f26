"""Figures of training: drift against fluctuation, and loss."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from critlearn.figures.style import FITTED, MEASURED, add_legend, log_log_axes, numbers, plain_axes


def drift_figure(equilibrium: Mapping[str, Any]) -> Figure:
    """Drift against fluctuation of each variable; those below the dashed line are at equilibrium.

    Parameters
    ----------
    equilibrium
        Entry ``equilibrium`` of the record of a run.
    """
    figure, axes = log_log_axes("fluctuation S", "drift |D|")
    pairs = np.array([numbers(equilibrium["scatter"][name]) for name in ("fluctuation", "drift")])
    with np.errstate(divide="ignore"):
        logs = np.log10(pairs[:, (pairs > 0).all(axis=0)])
    axes.plot(logs[0], logs[1], ".", color=MEASURED, markersize=3, label="trainable variable")
    if logs.size:
        line = np.array([logs[0].min(), logs[0].max()])
        tolerance = equilibrium["tolerance"]
        axes.plot(line, line + math.log10(tolerance), "--", color=FITTED, lw=1.5, label=f"|D| = {tolerance:g} S")
    add_legend(axes)
    return figure


def loss_figure(equilibrium: Mapping[str, Any]) -> Figure:
    """Mean loss of each epoch.

    Parameters
    ----------
    equilibrium
        Entry ``equilibrium`` of the record of a run.
    """
    figure, axes = plain_axes()
    losses = numbers(equilibrium["losses"])
    axes.plot(np.arange(1, losses.size + 1), losses, color=MEASURED, lw=1.2, label="loss")
    if losses.size and losses.min() > 0:
        axes.set_yscale("log")
    axes.set(xlabel="epoch", ylabel="mean loss")
    return figure
