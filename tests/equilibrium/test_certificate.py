"""Rules by which a state is judged, on evidence that is made up, and what a certificate says of it."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from critlearn.compositions import Composition
from critlearn.equilibrium import Curvature, Drift, Pull, Status, Trend, certify
from critlearn.equilibrium.certificate import Evidence, judge
from critlearn.network import NeuralSystem
from reference.networks import classes

STILL = Drift(1.0, 0.0, (Pull("weights of a", 0.01, 0.02, 0.01),))
PUSHED = Drift(1.0, 0.0, (Pull("weights of a", 0.5, 1.0, 0.01),))
LEANING = Drift(1.0, 0.0, (Pull("weights of a", 0.08, 0.2, 0.1),))
BOWL = Curvature(-0.001, 1.0, 1e-6, 0.001, 0.5, 1000)
SADDLE = Curvature(-0.1, 1.0, 1e-6, 0.6, 80.0, 1000)
FLAT, FALLING = Trend(0.0, 0.02, 1.0), Trend(0.3, 0.4, 1.0)
FINE = Evidence(True, True, 400, False, STILL, None, BOWL, None, False)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Status.EQUILIBRIUM),
        ({"curvature": None}, Status.EQUILIBRIUM),
        ({"trend": FLAT, "history": True}, Status.EQUILIBRIUM),
        # On the right side everywhere, but nothing pushes: a loss that does not saturate, or a bounded network.
        ({"separated": True}, Status.EQUILIBRIUM),
        ({"decayed": STILL}, Status.EQUILIBRIUM),
        # Decay that was told but pulls inwards harder than the loss: the two drift together.
        ({"decayed": PUSHED}, Status.DRIFTING),
        # The loss alone drifts by less than the tolerance, and decay balances it: training on without it would go on.
        ({"drift": LEANING, "decayed": STILL}, Status.HELD_BY_DECAY),
        # A way down where nothing curves down is a slow drift.
        ({"curvature": replace(SADDLE, lowest=0.1)}, Status.DRIFTING),
        # Few samples carry the loss: its fall has large errors, and is large.
        ({"curvature": replace(SADDLE, gain_errors=2.5)}, Status.SADDLE),
        ({"drift": PUSHED, "decayed": STILL}, Status.HELD_BY_DECAY),
        ({"drift": PUSHED, "decayed": STILL, "separated": True}, Status.HELD_BY_DECAY),
        ({"drift": PUSHED}, Status.DRIFTING),
        ({"drift": PUSHED, "decayed": PUSHED}, Status.DRIFTING),
        ({"drift": PUSHED, "separated": True}, Status.SEPARABLE),
        ({"drift": PUSHED, "decayed": PUSHED, "separated": True}, Status.SEPARABLE),
        ({"curvature": SADDLE}, Status.SADDLE),
        ({"curvature": SADDLE, "drift": PUSHED, "decayed": STILL}, Status.SADDLE),
        ({"curvature": SADDLE, "trend": FALLING, "history": True}, Status.SADDLE),
        # A fall that chance explains, or one too small to matter, is no saddle.
        ({"curvature": replace(SADDLE, gain_errors=1.9)}, Status.EQUILIBRIUM),
        ({"curvature": replace(SADDLE, gain=0.1, gain_errors=2.9)}, Status.EQUILIBRIUM),
        ({"curvature": replace(SADDLE, gain=0.001)}, Status.EQUILIBRIUM),
        ({"trend": FALLING, "history": True}, Status.NOT_STATIONARY),
        ({"trend": None, "history": True}, Status.NOT_STATIONARY),
        ({"drift": PUSHED, "trend": FALLING, "history": True}, Status.DRIFTING),
        ({"drift": PUSHED, "decayed": STILL, "trend": FALLING, "history": True}, Status.NOT_STATIONARY),
        # Decay that shrinks with the gradients holds separated data ever further out.
        ({"drift": PUSHED, "decayed": STILL, "separated": True, "decoupled": True}, Status.SEPARABLE),
        ({"drift": PUSHED, "decayed": STILL, "decoupled": True}, Status.HELD_BY_DECAY),
        ({"enough": False}, Status.TOO_FEW),
        ({"moved": False}, Status.TOO_FEW),
        ({"moved": False, "drift": PUSHED, "separated": True}, Status.TOO_FEW),
    ],
)  # fmt: skip
def test_status_of_made_up_evidence(changes: dict[str, object], expected: Status) -> None:
    status, reason = judge(replace(FINE, **changes))  # type: ignore[arg-type]
    assert status is expected
    assert reason
    assert "\n" not in reason


def test_reasons_give_the_evidence_that_decided() -> None:
    assert "100.0% of the variables" in judge(FINE)[1]
    assert "0.1% off the loss" in judge(FINE)[1]
    assert "off the loss" not in judge(replace(FINE, curvature=None))[1]
    assert "60.0% off the loss (80.0 standard errors)" in judge(replace(FINE, curvature=SADDLE))[1]
    assert "0.300 of its scatter per epoch" in judge(replace(FINE, trend=FALLING, history=True))[1]
    assert "too short" in judge(replace(FINE, history=True))[1]
    assert "weights of a: |drift| 0.500" in judge(replace(FINE, drift=PUSHED))[1]
    assert "every sample is on the right side" in judge(replace(FINE, drift=PUSHED, separated=True))[1]
    held = replace(FINE, drift=PUSHED, decayed=STILL)
    assert "without the decay the loss would drift" in judge(held)[1]
    assert "separable" not in judge(held)[1]
    assert "separable" in judge(replace(held, separated=True))[1]
    assert "12 samples" in judge(replace(FINE, enough=False, samples=12))[1]


def test_every_status_has_words_advice_and_a_name_that_files_keep() -> None:
    assert [str(status) for status in Status] == [
        "EQUILIBRIUM", "HELD_BY_DECAY", "SEPARABLE", "SADDLE", "DRIFTING", "NOT_STATIONARY", "TOO_FEW",
    ]  # fmt: skip
    assert len({status.words for status in Status}) == len({status.advice for status in Status}) == 7
    assert [status for status in Status if status.certified] == [Status.EQUILIBRIUM, Status.HELD_BY_DECAY]


def test_a_certificate_is_one_sentence_and_plain_values() -> None:
    torch.manual_seed(0)
    system = NeuralSystem(nn.Linear(3, 1).double(), Composition("sigmoid", "bce"), classes((100, 3)))
    for certificate in (
        certify(system),
        certify(system, weight_decay=0.1, losses=[1.0, 0.9] * 30, leave_out=["curvature"]),
    ):
        assert certificate.summary().startswith(f"{certificate.status.words}: {certificate.reason}; ")
        record = json.loads(json.dumps(certificate.to_dict()))
        assert record["status"] == str(certificate.status)
        assert record["certified"] is certificate.certified
        assert record["fraction"] == certificate.fraction
        assert record["samples"] == 100
        assert record["drift"]["pulls"][0]["along"] == "weights of weight"
        assert record["left_out"] == list(certificate.left_out)
    assert record["epochs"] == 60
    assert record["trend"]["fall"] == pytest.approx(0, abs=0.01)
    assert record["decayed"]["fraction"] <= 1
