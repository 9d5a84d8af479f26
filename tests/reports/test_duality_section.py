"""Section on the duality map: figures where they say something."""

from typing import Any

import pytest

from critlearn.reports.duality_page import duality_section


def _study(inputs: int) -> dict[str, Any]:
    state = {
        "variables": 12,
        "boundary": inputs,
        "rank_counts": {str(inputs): 3},
        "participation_ratio": [1.5, 1.7, 1.6],
        "log_volume": [0.1, 0.4, None],
        "log_pseudo_volume": [0.1, 0.4, 0.2],
        "overlap": None,
        "log_singular_values": {name: [0.0] * inputs for name in ("low", "median", "high")},
    }
    leading = [{"sample": 0, "target": 1.0, "x": [0.5] * inputs, "directions": [[1.0] + [0.0] * (inputs - 1)]}]
    return {"states": {"trained": state}, "image": None, "leading": leading}


@pytest.mark.parametrize("inputs", [2, 3])
def test_spectra_and_directions_of_few_inputs_are_left_to_the_table(inputs: int) -> None:
    section = duality_section(_study(inputs))
    assert [picture.name for picture in section.pictures] == ["duality-volume"]
    assert section.rows[0]["ranks"] == f"{inputs} (3)"
    assert section.rows[0]["participation"] == "1.60"


def test_spectra_and_directions_of_more_inputs_are_drawn() -> None:
    names = [picture.name for picture in duality_section(_study(5)).pictures]
    assert names == ["duality-spectrum", "duality-volume", "duality-directions"]
