"""Reports: figures of a run, and the page that holds them; made from stored numbers alone."""

from critlearn.reports.figures import density_figure, drift_figure, local_exponent_figure, loss_figure
from critlearn.reports.page import report_page

__all__ = ["density_figure", "drift_figure", "local_exponent_figure", "loss_figure", "report_page"]
