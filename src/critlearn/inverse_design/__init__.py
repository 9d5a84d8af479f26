"""Design: the exponent as something one chooses."""

from critlearn.inverse_design.from_exponent import Design, MatchedLoss, design
from critlearn.inverse_design.margin_loss import QMarginLoss
from critlearn.inverse_design.tempered import BiTemperedLogistic, TemperedSoftmax, log_tempered_softmax

__all__ = [
    "BiTemperedLogistic",
    "Design",
    "MatchedLoss",
    "QMarginLoss",
    "TemperedSoftmax",
    "design",
    "log_tempered_softmax",
]
