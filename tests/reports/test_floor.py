"""The page of a run says what the resolution floor was found with."""

from pathlib import Path

from critlearn.analysis.run_folder import read_run
from critlearn.reports.page import report_page


def test_floor_and_reference_stand_in_the_methods(study: Path) -> None:
    folder = next(path.parent for path in sorted(study.rglob("run.json")))
    record, fluctuations = read_run(folder)
    exact = "no fluctuation is lost to rounding (reference: none needed: every layer is exact).\nIntervals"
    assert exact in report_page(record, fluctuations)
    floored = {**record, "resolution_floor": -33.25, "floor_reference": "60 digits"}
    expected = "below exp(-33.2) are rounding error and are kept out of the fits (reference: 60 digits).\nIntervals"
    assert expected in report_page(floored, fluctuations)
    # Records of earlier versions do not have it.
    older = {name: value for name, value in record.items() if name != "floor_reference"}
    assert "no fluctuation is lost to rounding.\nIntervals" in report_page(older, fluctuations)
