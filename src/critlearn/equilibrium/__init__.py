"""Local learning equilibrium: drift, coherence and curvature of a state, its certificate, and training to it."""

from critlearn._torch import torch  # noqa: F401
from critlearn.equilibrium.approach import Approach, equilibrate
from critlearn.equilibrium.certificate import Certificate, Status
from critlearn.equilibrium.certification import certify
from critlearn.equilibrium.coherence import Drift, Pull
from critlearn.equilibrium.criteria import EXCEPTIONS, TOLERANCE
from critlearn.equilibrium.curvature import Curvature
from critlearn.equilibrium.moments import Moments, moments
from critlearn.equilibrium.trend import Trend, loss_trend

__all__ = [
    "EXCEPTIONS",
    "TOLERANCE",
    "Approach",
    "Certificate",
    "Curvature",
    "Drift",
    "Moments",
    "Pull",
    "Status",
    "Trend",
    "certify",
    "equilibrate",
    "loss_trend",
    "moments",
]
