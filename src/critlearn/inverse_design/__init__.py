"""Inverse design: losses and activations with a chosen exponent."""

from critlearn.inverse_design.bi_tempered import BiTemperedLogistic
from critlearn.inverse_design.from_exponent import Design, design
from critlearn.inverse_design.margin_loss import QMarginLoss
from critlearn.inverse_design.matched_loss import MatchedLoss
from critlearn.inverse_design.tempered_softmax import TemperedSoftmax, log_tempered_softmax

__all__ = [
    "BiTemperedLogistic",
    "Design",
    "MatchedLoss",
    "QMarginLoss",
    "TemperedSoftmax",
    "design",
    "log_tempered_softmax",
]
