"""Short forms of the validation on published data sets: its draws follow the laws that they are said to follow."""

from types import ModuleType

import numpy as np
import powerlaw
import pytest
import scipy.stats

from reference.validation_scripts import script


@pytest.fixture(scope="module")
def published() -> ModuleType:
    return script("published_data_sets")


def test_every_data_set_has_its_published_law(published: ModuleType) -> None:
    assert set(published.PUBLISHED) == set(powerlaw.TEST_DATASETS)
    for name, law in published.PUBLISHED.items():
        values = powerlaw.load_test_dataset(name)
        assert (values == np.rint(values)).all() == law.discrete
        # In the units of the file, or nothing would be left above the lower end.
        assert (values >= law.low).sum() >= 50


@pytest.mark.parametrize(("k", "low"), [(1.5, 1), (2.4, 12), (1.79, 323)])
def test_integers_follow_their_law(published: ModuleType, k: float, low: int) -> None:
    n = 20_000
    values = published.integers_from(k, low, n, np.random.default_rng(0))
    assert (values == np.rint(values)).all()
    assert values.min() == low
    # By sums over single integers, not by the zeta function that the draws are made with.
    weights = np.arange(low, 2_000_000.0) ** -k
    rest = 2_000_000.0 ** (1 - k) / (k - 1)
    edges = [low, low + 1, low + 2, 2 * low + 3, 5 * low + 10, 50 * low + 20]
    shares = np.add.reduceat(weights, np.array(edges) - low)
    shares[-1] += rest
    found = np.histogram(values, [*edges, np.inf])[0]
    assert scipy.stats.chisquare(found, shares / shares.sum() * n).pvalue > 1e-4


def test_draws_have_the_body_of_the_data_and_the_law_above(published: ModuleType) -> None:
    for name in ("terrorism", "surnames"):
        law, values, drawn = published.PUBLISHED[name], powerlaw.load_test_dataset(name), published.draw(name, 0)
        assert drawn.size == values.size
        assert set(drawn[drawn < law.low]) <= set(values)
        tail = drawn[drawn >= law.low]
        half = 0.5 if law.discrete else 0.0
        exponent = 1 + tail.size / np.log(tail / (law.low - half)).sum()
        assert exponent == pytest.approx(law.exponent, abs=4 * (law.exponent - 1) / tail.size**0.5 + 0.01)


def test_a_row_has_all_three_answers(published: ModuleType) -> None:
    cells = [cell.strip() for cell in published.row("blackouts").split("|")[1:-1]]
    assert cells[:5] == ["blackouts", "211", "2.3 ± 0.3", "230,000", "0.62"]
    # The lower end that powerlaw finds is the published one.
    assert cells[5:7] == ["2.27", "230,000"]
    assert len(cells) == 14
