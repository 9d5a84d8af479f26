"""Rules of the certificate, and the split R-hat against arviz and its definition."""

import math

import numpy as np
import pytest
from arviz_stats.base import array_stats

from critlearn.equilibrium import Status, certify, loss_r_hat
from critlearn.equilibrium.criteria import LOSS_WINDOW

FLAT = [1.0 + 0.01 * (-1) ** i * (1 + i % 3) for i in range(40)]
FALLING = [math.exp(-0.1 * i) for i in range(40)]


def judged(**changes: object) -> Status:
    settings = {"fraction": 1.0, "frozen": 0, "losses": FLAT, "separated": False, **changes}
    return certify(**settings).status  # type: ignore[arg-type]


def test_a_state_is_certified_if_and_only_if_it_meets_both_conditions() -> None:
    assert judged() is Status.EQUILIBRIUM
    assert judged(fraction=0.95) is Status.EQUILIBRIUM
    assert judged(fraction=0.94) is Status.DRIFTING
    assert judged(losses=FALLING) is Status.NOT_STATIONARY
    assert judged(losses=FLAT[: LOSS_WINDOW - 1]) is Status.NOT_STATIONARY
    assert judged(fraction=0.5, losses=FALLING) is Status.DRIFTING


def test_exceptions_are_what_was_asked_for() -> None:
    assert judged(fraction=0.8, exceptions=0.2) is Status.EQUILIBRIUM
    assert judged(fraction=0.99, exceptions=0.0) is Status.DRIFTING


def test_separated_data_are_named_unless_something_else_holds_the_weights() -> None:
    assert judged(separated=True, losses=FALLING) is Status.SEPARABLE
    assert judged(separated=True, fraction=0.2) is Status.SEPARABLE
    # Weight decay can bring separated data to a state that meets both conditions.
    assert judged(separated=True) is Status.EQUILIBRIUM


def test_the_reason_names_the_numbers() -> None:
    certificate = certify(fraction=0.5, frozen=3, losses=FLAT, separated=False)
    assert not certificate.certified
    assert "50.0%" in certificate.reason
    assert "95%" in certificate.reason
    record = certificate.to_dict()
    assert record["certified"] is False
    assert record["frozen"] == 3
    assert record["epochs"] == 40
    assert certificate.summary().startswith("not at equilibrium: drifting")


def test_r_hat_is_that_of_arviz_and_of_its_definition() -> None:
    losses = np.random.default_rng(0).normal(size=35).cumsum()
    last = losses[-LOSS_WINDOW:]
    got = loss_r_hat(list(losses))
    assert got is not None
    # Gelman and Rubin: between and within variance of the two halves.
    halves = last.reshape(2, -1)
    n = halves.shape[1]
    within = halves.var(axis=1, ddof=1).mean()
    between = n * halves.mean(axis=1).var(ddof=1)
    assert got == pytest.approx(math.sqrt(((n - 1) / n * within + between / n) / within), rel=1e-12)
    # arviz' own split, of two chains that are the same: its four half-chains have a between variance of 2/3 of ours.
    split = float(array_stats.rhat(np.stack([last, last]), method="split"))
    assert split == pytest.approx(math.sqrt(((n - 1) / n * within + 2 / 3 * between / n) / within), rel=1e-12)


def test_r_hat_that_does_not_exist_is_none() -> None:
    assert loss_r_hat([1.0] * (LOSS_WINDOW - 1)) is None
    assert loss_r_hat([math.nan] * LOSS_WINDOW) is None
    assert loss_r_hat([1.0] * LOSS_WINDOW) == 1.0
    # Two constant halves that differ have no variance within: R-hat is infinite.
    assert loss_r_hat([1.0] * (LOSS_WINDOW // 2) + [2.0] * (LOSS_WINDOW // 2)) is None


def test_losses_long_past_do_not_count() -> None:
    assert loss_r_hat(FALLING + FLAT[:LOSS_WINDOW]) == loss_r_hat(FLAT[:LOSS_WINDOW])
