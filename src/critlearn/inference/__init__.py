"""Inference of bounded power laws from dependent, binned data; useful without any network."""

from critlearn.inference.comparison_tests import (
    ExponentDifference,
    compare_exponents,
    compare_fits,
    compare_with_prediction,
)
from critlearn.inference.counts.density import DensityCurve
from critlearn.inference.counts.histogram import Histogram
from critlearn.inference.criteria import Criteria
from critlearn.inference.fit import fit_power_law, stability_map
from critlearn.inference.grade import Basis, Grade
from critlearn.inference.laws.alternatives import Alternative
from critlearn.inference.laws.cutoff import Cutoff, cutoff_exponent_on
from critlearn.inference.laws.fitted_law import FittedLaw
from critlearn.inference.laws.global_alternatives import Rival
from critlearn.inference.laws.lognormal import Lognormal
from critlearn.inference.noise import NoisyFit, fit_power_law_with_noise
from critlearn.inference.result import PowerLawFit, WindowChoice
from critlearn.inference.window.local_exponent import LocalExponentCurve
from critlearn.inference.window.search import StabilityMap
from critlearn.numerics.truncated_power_law import exponent_on

__all__ = [
    "Alternative",
    "Basis",
    "Criteria",
    "Cutoff",
    "DensityCurve",
    "ExponentDifference",
    "FittedLaw",
    "Grade",
    "Histogram",
    "LocalExponentCurve",
    "Lognormal",
    "NoisyFit",
    "PowerLawFit",
    "Rival",
    "StabilityMap",
    "WindowChoice",
    "compare_exponents",
    "compare_fits",
    "compare_with_prediction",
    "cutoff_exponent_on",
    "exponent_on",
    "fit_power_law",
    "fit_power_law_with_noise",
    "stability_map",
]
