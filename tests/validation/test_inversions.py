"""Short form of the validation of inversions: the same code on a few networks of each kind."""

import pytest

from reference.validation_scripts import script


@pytest.mark.parametrize("seed", [200, 201])
def test_no_change_that_the_map_made_is_denied(seed: int) -> None:
    module = script("inversions")
    for kind in module.KINDS:
        found, _, _, free, opened, wrong, _ = module.inverted(kind, seed)
        assert not wrong, kind
        assert not opened, kind
        # What a maximum over pixels leaves out is not in the changes.
        assert found or (free and "max" in kind), kind


@pytest.mark.parametrize("samples", [3, 6])
def test_means_are_told_with_their_number_of_samples(samples: int) -> None:
    assert all(script("inversions").means(samples, seed) == (True, True) for seed in range(200, 205))
