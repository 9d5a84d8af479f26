"""Section of a page on modes: numbers, the state they are of, and why there are none."""

import re
from typing import Any

import pytest

from critlearn.fluctuations import Fluctuations
from critlearn.reports.modes_section import modes_section
from critlearn.reports.page import illustrations, report_page
from reference.small_runs import two_class_run


def small_record() -> tuple[dict[str, Any], Fluctuations]:
    """Record with one quantity, as figures take their time, and its sketches."""
    analysis = two_class_run()
    quantities = dict(list(analysis.record["quantities"].items())[:1])
    return {**analysis.record, "quantities": quantities}, analysis.fluctuations


def test_the_page_has_the_numbers_of_every_mode() -> None:
    found, (record, fluctuations) = two_class_run().modes, small_record()
    text = report_page(record, fluctuations)
    assert found is not None
    section = text[text.index("<h2>Modes</h2>") : text.index("<h2>Methods</h2>")]
    rows = re.findall(r'<tr><th scope="row">(\d)</th>(.*?)</tr>', section, flags=re.DOTALL)
    assert [int(number) for number, _ in rows] == list(range(1, 7))
    for mode, (_, cells) in zip(found.modes, rows, strict=True):
        shown = [float(value) for value in re.findall(r">([\d.]+) ±", cells)]
        numbers = [mode.share, mode.r_squared, mode.bare, mode.independent, mode.joint, mode.noise]
        assert shown == pytest.approx(numbers, abs=0.0051)
    assert "held against 1,000 others" in section
    assert illustrations(record, fluctuations)["modes"][0].name == "modes"


def test_a_state_that_is_no_equilibrium_is_named() -> None:
    record = two_class_run().record
    there, not_there = (
        {**record, "equilibrium": {**record["equilibrium"], "certified": certified, "status": status}}
        for certified, status in ((True, "EQUILIBRIUM"), (False, "DRIFTING"))
    )
    cautions = [section.caution for section in map(modes_section, (there, not_there)) if section is not None]
    assert cautions[0] == ""
    assert "(drifting)" in cautions[1]


def test_what_has_no_modes_says_why_and_older_records_say_nothing() -> None:
    record, fluctuations = small_record()
    text = report_page({**record, "modes": None, "no_modes": "too <many>"}, fluctuations)
    assert "<p>No modes of learning: too &lt;many&gt;.</p>" in text
    older = {name: value for name, value in record.items() if name not in ("modes", "no_modes")}
    assert "<h2>Modes</h2>" not in report_page(older, fluctuations)
