"""The time axis: increments, avalanches, waiting times, correlations and scaling of any series, without torch."""

from critlearn.dynamics.avalanches import Avalanches, find_avalanches, waiting_times
from critlearn.dynamics.branching import BranchingRatio, branching_ratio
from critlearn.dynamics.crackling import CracklingRelation, MeanSize, crackling_relation, mean_size
from critlearn.dynamics.criticality import Criticality
from critlearn.dynamics.finite_size import ScalingCollapse, Susceptibility, scaling_collapse, susceptibility
from critlearn.dynamics.observables import ActivityStatistics, AvalancheStatistics
from critlearn.dynamics.series import increments, own_units, sketch_in_time
from critlearn.dynamics.shape import ShapeCollapse, shape_collapse
from critlearn.dynamics.sheet import Dynamics, analyze_series, fit_tail
from critlearn.dynamics.spectrum import (
    AutocorrelationTime,
    SpectralSlope,
    autocorrelation,
    autocorrelation_time,
    power_spectrum,
    spectral_slope,
)
from critlearn.dynamics.surrogates import phase_randomised, shuffled

__all__ = [
    "ActivityStatistics",
    "AutocorrelationTime",
    "AvalancheStatistics",
    "Avalanches",
    "BranchingRatio",
    "CracklingRelation",
    "Criticality",
    "Dynamics",
    "MeanSize",
    "ScalingCollapse",
    "ShapeCollapse",
    "SpectralSlope",
    "Susceptibility",
    "analyze_series",
    "autocorrelation",
    "autocorrelation_time",
    "branching_ratio",
    "crackling_relation",
    "find_avalanches",
    "fit_tail",
    "increments",
    "mean_size",
    "own_units",
    "phase_randomised",
    "power_spectrum",
    "scaling_collapse",
    "shape_collapse",
    "shuffled",
    "sketch_in_time",
    "spectral_slope",
    "susceptibility",
    "waiting_times",
]
