"""Design: the exponent as something one chooses."""

from critlearn.design.inverse_design import Design, MatchedLoss, design
from critlearn.design.margin_loss import QMarginLoss
from critlearn.design.tempered import BiTemperedLogistic, TemperedSoftmax, log_tempered_softmax

__all__ = [
    "BiTemperedLogistic",
    "Design",
    "MatchedLoss",
    "QMarginLoss",
    "TemperedSoftmax",
    "design",
    "log_tempered_softmax",
]
