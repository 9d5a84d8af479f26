"""Powers and intervals as they are written: no minus before a zero, and no interval whose ends read alike."""

import numpy as np
import pytest

from critlearn.numerics.notation import estimate_text, interval_text, law_text, power_text


@pytest.mark.parametrize("zero", [0.0, -0.0, 0.004, -0.004, "0", "0.000", "-0.000"])
def test_the_power_zero_is_written_without_sign_or_digits(zero: float | str) -> None:
    assert power_text("delta", zero) == "delta^0"


def test_ends_of_an_interval_never_read_alike_if_six_digits_tell_them_apart() -> None:
    generator = np.random.default_rng(0)
    for width in 10.0 ** generator.uniform(-5, 0, 200):
        low = float(generator.normal())
        text = interval_text(low, low + width)
        first, second = (float(end) for end in text.strip("[]").split(", "))
        assert first < second
        # Rounded to the digits that are shown, of which there are not more than it takes.
        digits = len(text.strip("[]").split(", ")[0].partition(".")[2])
        assert (first, second) == (round(low, digits), round(low + width, digits))
        assert digits == 2 or round(low, digits - 1) == round(low + width, digits - 1)


def test_an_estimate_has_the_digits_of_its_interval() -> None:
    assert estimate_text(1.4999, (1.4987, 1.5012)) == "1.500 [1.499, 1.501]"
    assert law_text("|x|", 1.4999, (1.4987, 1.5012)) == "|x|^-1.500 [1.499, 1.501]"
    assert law_text("|x|", -0.25, (-0.3, -0.2)) == "|x|^-(-0.25) [-0.30, -0.20]"
