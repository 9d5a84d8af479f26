"""Local learning equilibrium: drift and fluctuation of the trainable variables, training to it, and certificate."""

from critlearn._torch import torch  # noqa: F401
from critlearn.equilibrium.approach import Approach, equilibrate
from critlearn.equilibrium.certificate import Certificate, Status, certify, loss_r_hat
from critlearn.equilibrium.criteria import EXCEPTIONS, TOLERANCE
from critlearn.equilibrium.moments import Moments, moments

__all__ = [
    "EXCEPTIONS",
    "TOLERANCE",
    "Approach",
    "Certificate",
    "Moments",
    "Status",
    "certify",
    "equilibrate",
    "loss_r_hat",
    "moments",
]
