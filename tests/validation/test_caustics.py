"""Short form of the validation of caustics: the same code on a few paths."""

import pytest

from reference.validation_scripts import script


@pytest.mark.parametrize(("distance", "seed"), [(1e-1, 20), (1e-3, 21), (1e-4, 13)])
def test_two_folds_of_a_network_are_both_found(distance: float, seed: int) -> None:
    # Seed 13: a Jacobian that is nearly singular all along the path, with a dip of 2e-7 between the folds.
    assert script("caustics").two_folds(distance, seed)


def test_the_density_integrates_to_one() -> None:
    assert script("caustics").total(1, 2) == pytest.approx(1, abs=1e-3)
