"""Every result object shows itself in the same three ways: a line, plain values, a table."""

import importlib
import json
import pkgutil
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch

import critlearn as cl
from critlearn.comparison import explain
from critlearn.compositions import Composition
from critlearn.duality import Jacobian, caustic_curves, classified, learning_dimension
from critlearn.duality.inverse.inverse import Inverse, InverseStatus
from critlearn.dynamics import analyze_series, scaling_collapse, susceptibility
from critlearn.environment import examine
from critlearn.equilibrium import loss_trend
from critlearn.inference import Cutoff, compare_fits, fit_power_law_with_noise, stability_map
from critlearn.inference.window.ensemble import ensemble_exponent
from critlearn.inverse_design import BiTemperedLogistic, QMarginLoss, TemperedSoftmax, design
from critlearn.numerics.log_sketch import LogSketch
from critlearn.prediction import parse_density, predict_toy
from critlearn.results import Result, dataframe_of, html_of
from reference.power_law_samples import power_law

VALUES = power_law(1.5, 1e-4, 1.0, 4_000, 0)


class Parabola:
    """Map of the plane that folds where the first coordinate is 0.1."""

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        return torch.stack([(points[:, 0] - 0.1) ** 2, points[:, 1]], dim=1)

    def jacobians(self, points: torch.Tensor) -> torch.Tensor:
        return torch.func.vmap(torch.func.jacfwd(lambda point: self(point[None])[0]))(points)


def of_series() -> list[Result]:
    """One of each kind of results on a series: of branching at its critical point, and of a scaling form."""
    generator = np.random.default_rng(0)
    active = [0]
    for _ in range(20_000):
        active.append(int(generator.poisson(active[-1])) if active[-1] else 1)
    sheet = analyze_series(np.array(active), activity="values")
    observed = sheet.observed
    assert observed.avalanches.relation is not None
    x = np.linspace(-1, 1, 20)
    curves = {size: (x, size**0.5 * np.exp(-((x * size) ** 2)), np.full(20, 1e-3)) for size in (1.0, 2.0, 4.0)}
    return [
        sheet, observed, observed.avalanches, observed.avalanches.mean_size, observed.avalanches.relation,
        observed.shapes, observed.branching, observed.spectrum, observed.autocorrelation,
        susceptibility(generator.normal(size=500), 10), scaling_collapse(curves, (1.0, 0.5), critical_point=0.0),
    ]  # fmt: skip


@cache
def results() -> dict[str, Result]:
    """One of each kind, by the name of its class."""
    torch.manual_seed(0)
    t = torch.where(torch.rand(300) < 0.5, 1.0, -1.0).double()
    model = torch.nn.Sequential(torch.nn.Linear(1, 1)).double()
    composition = Composition("tanh", "mse")
    x = t[:, None] + 1 + 0.3 * torch.randn(300, 1).double()
    system = cl.NeuralSystem(model, composition, torch.utils.data.TensorDataset(x, t))
    approach = cl.equilibrate(system, epochs=2)
    fluctuations = cl.measure(approach.system)
    overlapping = torch.utils.data.TensorDataset(t[:, None] * 0 + torch.linspace(-1, 1, 300).double()[:, None], t)
    still = torch.nn.Linear(1, 1).double()
    torch.nn.init.zeros_(still.weight)
    torch.nn.init.zeros_(still.bias)
    certified = cl.certify(cl.NeuralSystem(still, Composition("sigmoid", "bce"), overlapping), leave_out=["directions"])
    assert certified.curvature is not None
    fit = cl.fit_power_law(VALUES)
    toy = predict_toy(composition, parse_density("normal(1,1)"), 2.0, 0.0)
    prediction = toy["bias"]
    assert fit.window is not None
    assert fit.lognormal is not None
    assert fit.curve is not None
    assert fit.density is not None
    assert fit.law is not None
    assert fit.significance is not None
    # Half the values of an exponential look like a power law: the window that is found has a rival.
    rival = cl.fit_power_law(np.random.default_rng(0).exponential(size=4_000)).rival
    assert rival is not None
    phi = cl.DualityMap(system)
    moved = phi(t[:1, None] + 1, t[:1])
    factorised = cl.predict(approach.system)
    wide = torch.nn.Linear(1, 1).double()
    torch.nn.init.constant_(wide.weight, 3.0)
    spread = cl.predict(cl.NeuralSystem(wide, Composition("sigmoid", "bce"), overlapping))
    aimed = spread.design(0.5, "weight")
    wide_fit = cl.fit_power_law(spread.steps.measured["weight"])
    verdict = explain("the weight", "weight", wide_fit, spread.steps)
    assert verdict.anatomy is not None
    reduced = cl.modes(approach.system, 2)
    optimizer = torch.optim.SGD(approach.system.model.parameters(), lr=0.1)
    with cl.Monitor(approach.system, optimizer) as monitor:
        for _ in range(3):
            optimizer.zero_grad()
            approach.system.loss.value(*approach.system.forward(x, t)).mean().backward()
            optimizer.step()
            monitor.step()
    curves = caustic_curves(Parabola(), -1.0, 1.0, steps=3)
    made: list[Result] = [
        fit, fit.window, fit.significance, fit.lognormal, fit.curve, fit.density, fit.alternatives[0],
        fit.law,
        Cutoff(1.5, 0.01, 100.0, 5.0),
        rival,
        stability_map(VALUES), compare_fits(fit, fit),
        fit_power_law_with_noise(VALUES, cl.Window(1e-4, 1.0), noise_scale=1e-3),
        prediction, prediction.caustics[0], cl.compare("the bias", fit, prediction), factorised,
        verdict.levels[1], verdict.anatomy, aimed, spread.steps.tail("weight"),
        approach, approach.certificate, approach.moments, approach.certificate.drift,
        approach.certificate.drift.pulls[0], certified.curvature, loss_trend([1.0, 2.0] * 30), fluctuations,
        fluctuations["0.bias"],
        ensemble_exponent([LogSketch.from_values(VALUES)] * 2, fit.window),
        composition.asymptotic(), design(1.5),
        QMarginLoss(1.5), TemperedSoftmax(1.5), BiTemperedLogistic(0.8, 1.2),
        examine(Path("runs")),
        phi.jacobian(t[:1] + 1, t[0]), phi.invert({name: changes[0] for name, changes in moved.items()}),
        learning_dimension(phi, samples=5), curves, curves.curves[0],
        classified(Parabola(), torch.tensor([0.1, 0.0]).double()),
        reduced, reduced.modes[0],
        monitor.record, monitor.record.increments[0], monitor.record.series, monitor.record.states[0],
        monitor.record.states[0].distributions["all"],
        *of_series(),
    ]  # fmt: skip
    return {type(result).__name__: result for result in made}


def _kinds() -> list[str]:
    for module in pkgutil.walk_packages(cl.__path__, "critlearn."):
        importlib.import_module(module.name)
    return sorted(kind.__name__ for kind in Result.__subclasses__())


def test_one_of_each_kind_is_looked_at() -> None:
    assert sorted(results()) == _kinds()


@pytest.mark.parametrize("kind", _kinds())
def test_a_result_shows_itself(kind: str) -> None:
    result = results()[kind]
    summary = result.summary()
    assert summary
    assert repr(result) == f"<{kind} {summary}>"
    assert len(max(repr(result).splitlines(), key=len)) < 300
    # Strict JSON: what does not exist is null, never NaN.
    plain = result.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    table = ElementTree.fromstring(result._repr_html_())
    assert table.tag == "table"
    caption = table.find("caption")
    assert caption is not None
    assert "".join(caption.itertext()).startswith(kind)
    assert {cell.get("scope") for cell in table.iter("th")} <= {"row", "col"}
    frame = result.to_dataframe()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) >= 1
    assert frame.columns.is_unique


def test_curves_become_columns_and_collections_rows() -> None:
    stability = results()["StabilityMap"].to_dataframe()
    assert list(stability) == ["log_lo", "log_hi", "exponent", "standard_error", "ks_ratio"]
    assert len(stability) > 10
    assert results()["Fluctuations"].to_dataframe().index.tolist() == ["0.weight", "0.bias", "0", "all"]
    assert {"0.weight", "0.bias"} <= set(results()["SystemPrediction"].to_dataframe().index)


def test_one_row_has_nested_values_by_dotted_names() -> None:
    frame = dataframe_of({"k": 1.5, "window": {"lo": 0.1, "ends": {"hi": 2.0}}, "ci": [1.0, 2.0]})
    assert frame.to_dict("records") == [{"k": 1.5, "window.lo": 0.1, "window.ends.hi": 2.0, "ci": [1.0, 2.0]}]


def test_html_escapes_what_a_user_named() -> None:
    told = html_of("Fit", "<script>x</script>", {"<b>": "a & b", "none": None, "list": list(np.arange(9.0))})
    table = ElementTree.fromstring(told)
    assert "<script>" not in told
    cells = ["".join(cell.itertext()) for cell in table.iter("td")]
    assert cells == ["a & b", "–", "[0, 1, 2, 3, 4, 5, … 9 in all]"]


def test_a_jacobian_tells_its_spectrum_as_numpy_computes_it() -> None:
    jacobian = results()["Jacobian"]
    assert isinstance(jacobian, Jacobian)
    told, matrix = jacobian.to_dict(), jacobian.dense().numpy()
    assert told["singular_values"] == pytest.approx(np.linalg.svd(matrix, compute_uv=False), rel=1e-9)
    assert told["rank"] == np.linalg.matrix_rank(matrix)
    assert (told["variables"], told["boundary"]) == matrix.shape
    assert repr(jacobian) == "<Jacobian 2 x 1 (variables x coordinates of the boundary)>"


def test_an_inverse_tells_the_state_that_was_found() -> None:
    found = results()["Inverse"]
    assert isinstance(found, Inverse)
    assert found.x is not None
    assert found.to_dict()["x"] == found.x.tolist()
    assert repr(found).startswith("<Inverse on the sheet: residual ")
    lost = Inverse(None, None, float("inf"), False, InverseStatus.VANISHING, "every change is zero")
    assert lost.to_dict()["residual"] is None
    assert repr(lost) == "<Inverse nothing changes: every change is zero>"
