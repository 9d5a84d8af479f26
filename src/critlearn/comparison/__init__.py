"""Where prediction and measurement meet: neither has seen the other before."""

from critlearn.comparison.verdict import MARGIN, Verdict, compare

__all__ = ["MARGIN", "Verdict", "compare"]
