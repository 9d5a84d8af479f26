"""Inference of bounded power laws from dependent, binned data; useful without any network."""

from critlearn.inference.alternatives import Lognormal
from critlearn.inference.fit import fit_power_law
from critlearn.inference.local_exponent import LocalExponentCurve
from critlearn.inference.power_law import exponent_on
from critlearn.inference.result import Basis, FitVerdict, PowerLawFit

__all__ = [
    "Basis",
    "FitVerdict",
    "LocalExponentCurve",
    "Lognormal",
    "PowerLawFit",
    "exponent_on",
    "fit_power_law",
]
