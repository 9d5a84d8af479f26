"""Analysis of a trained network: the whole road from a network to a table, the record of it, and its folder."""

from critlearn._torch import torch  # noqa: F401
from critlearn.analysis.analysis import Analysis
from critlearn.analysis.analyze import analyze
from critlearn.analysis.table import COLUMNS, AnalysisTable, row_of, rows_of

__all__ = ["COLUMNS", "Analysis", "AnalysisTable", "analyze", "row_of", "rows_of"]
