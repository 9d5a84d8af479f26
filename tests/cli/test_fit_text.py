"""The screen of ``critlearn fit``."""

from critlearn.cli.fit_text import data_hints, estimate_lines


def test_what_is_not_known_has_no_line() -> None:
    assert estimate_lines({"exponent": None, "ci95": None}) == []
    assert estimate_lines({"exponent": 1.5, "ci95": [1.4, 1.6], "cutoff": None, "rivals": [], "needed": None}) == []


def test_a_cut_off_is_in_the_units_of_the_data() -> None:
    record = {
        "exponent": 1.612,
        "ci95": [1.59, 1.63],
        "ci95_total": [1.45, 1.65],
        "drift": 0.41,
        "drift_stderr": 0.052,
        "cutoff": {"scale": 103.21, "scale_stderr": 4.04, "exponent": 1.496, "exponent_stderr": 0.0121},
        "rivals": ["lognormal", "stretched exponential"],
        "needed": 25_000,
    }
    assert estimate_lines(record) == [
        "estimate     1.612 [1.59, 1.63] statistical, [1.45, 1.65] with the systematic part",
        "drift        +0.41 +- 0.052 of the exponent over the window",
        "cut-off      scale 103.2 +- 4, k = 1.496 +- 0.012",
        "as good      lognormal, stretched exponential",
        "needed       some 25,000 values would decide",
    ]


def test_what_was_noticed_in_the_data_is_said() -> None:
    assert data_hints({"heaped_digits": None, "autocorrelation_time": None}) == []
    heaped, dependent = data_hints({"heaped_digits": 1, "autocorrelation_time": 38.96})
    assert "1 significant digit," in heaped
    assert "39 of which are worth one" in dependent
    assert "--block" in dependent
