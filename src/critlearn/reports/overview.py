"""First screen of a run's page: what was found, in a sentence for each grade, and what was measured how."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from critlearn.analysis.record_schema import seeds_text
from critlearn.analysis.table import outcome_of
from critlearn.comparison.agreement import DECIDED, Agreement
from critlearn.figures.analysis import analysis_figure
from critlearn.figures.illustration import Illustration
from critlearn.figures.style import LN10, numbers
from critlearn.fluctuations import Fluctuations
from critlearn.numerics.log_sketch import LogSketch
from critlearn.numerics.notation import LAW_GRADES, law_text

_MOST_NAMED: Final = 6
"""Variables that a sentence names: of more it says how many there are, and the table has them."""

_MOST_PANELS: Final = 12
"""Panels of the first figure: three rows still fit on a screen."""

_FAR: Final = 0.2
"""Distance of two distributions from which on a page says where the prediction lies: a fifth of the values is
elsewhere, which is seen in the figure at once."""


def grade_sentences(quantities: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Grade and what has it, laws first: variables with exponent, interval and decades. Pools repeat variables."""
    single = single_variables(quantities)
    by_grade: dict[str, list[str]] = {}
    for name, quantity in single.items():
        by_grade.setdefault(quantity["measured"]["verdict"], []).append(_found(name, quantity["measured"]))
    order = sorted(by_grade, key=lambda grade: (grade not in LAW_GRADES, -len(by_grade[grade])))
    return [
        (f"{grade[0].upper()}{grade[1:]}: {len(by_grade[grade])} of {len(single)}", _listed(by_grade[grade]))
        for grade in order
    ]


def agreement_sentence(quantities: Mapping[str, Any]) -> str:
    """How many predictions agree, and by how much those that do not are off; empty where nothing is predicted."""
    single = {name: entry for name, entry in single_variables(quantities).items() if entry["predicted"] is not None}
    outcomes = {name: outcome_of(entry) for name, entry in single.items()}
    if not single:
        return ""
    agree = [name for name, outcome in outcomes.items() if outcome == Agreement.AGREES.value]
    apart = [name for name, outcome in outcomes.items() if outcome == Agreement.DISAGREES.value]
    undecided = sum(outcome not in DECIDED for outcome in outcomes.values())
    told = [f"{len(agree)} agree"]
    told.append(
        f"{len(apart)} disagree" + (f" ({_listed([_off(name, single[name]) for name in apart])})" if apart else "")
    )
    if undecided:
        told.append(f"{undecided} cannot be told at this number of samples")
    return f"{len(single)} of {len(single_variables(quantities))} variables are predicted: {', '.join(told)}."


def facts(record: Mapping[str, Any], command: str) -> list[tuple[str, str]]:
    """What a first reader asks: name of each fact and the answer."""
    equilibrium, single = record["equilibrium"], single_variables(record["quantities"])
    variables = sum(entry.get("variables", 0) for entry in single.values())
    count, zeros = (sum(entry.get(key) or 0 for entry in single.values()) for key in ("count", "zeros"))
    windows = [entry["measured"]["decades"] for entry in single.values() if entry["measured"]["exponent"] is not None]
    found = [
        ("Data", record["data"]),
        ("Network", _network(record, variables, len(single))),
        ("Training", _training(record)),
        ("State", _state(equilibrium)),
        (
            "What was measured",
            "|δq|, the size of the change of each trainable variable under the gradient of one sample, at learning "
            "rate 1",
        ),
        (
            "Over what axis",
            f"{next(iter(single.values()), {'axis': 'samples'})['axis']}: {equilibrium['samples']:,} samples, "
            f"{count:,} fluctuations in all"
            + (f", of which {zeros:,} are exact zeros" if zeros else ", no exact zeros"),
        ),
    ]
    if windows:
        found.append(
            (
                "Windows",
                f"chosen for each quantity by the fit, {min(windows):.1f} to {max(windows):.1f} decades; outside of "
                "them nothing is claimed",
            )
        )
    found.append(("Errors", "95% intervals from a bootstrap over groups of samples, the choice of the window included"))
    if command:
        found.append(("Repeat", command))
    return found


def multiples(record: Mapping[str, Any], fluctuations: Fluctuations) -> Illustration:
    """Densities of all variables side by side, with fits and predictions."""
    single = single_variables(record["quantities"])
    shown = dict(list(single.items())[:_MOST_PANELS])
    told = "; ".join(_found(name, entry["measured"]) for name, entry in shown.items())
    left = len(single) - len(shown)
    return Illustration(
        "densities",
        analysis_figure(fluctuations, shown),
        f"Densities of the fluctuations of {len(shown)} variables on log-log axes. {told}.",
        "Density of the fluctuations of every variable on log-log axes, where a power law is a straight line, with its "
        "fit, prediction and window." + (f" {left} further variables are left out here." if left else ""),
    )


def miss_sentence(quantity: Mapping[str, Any], sketch: LogSketch) -> str:
    """Where a prediction lies that is plainly off; empty for one that is not."""
    distance, curve = quantity.get("prediction_distance"), quantity["curves"]["predicted"]
    if distance is None or distance < _FAR or curve is None or sketch.log_range is None:
        return ""
    size, log_density = numbers(curve["log_delta"]), numbers(curve["log_density"])
    known = np.isfinite(log_density)
    middle = _median(size[known], np.exp(log_density[known] - log_density[known].max()))
    own = _median(0.5 * (sketch.edges[1:] + sketch.edges[:-1]), sketch.counts)
    decades = (middle - own) / LN10
    where = "above" if decades > 0 else "below"
    return (
        f"The prediction is off: its median lies {abs(decades):.1f} decades {where} the measured one, and the "
        f"distributions are {distance:.2f} apart (Kolmogorov-Smirnov)."
    )


def _median(place: np.ndarray, weight: np.ndarray) -> float:
    """Place below which half of the weight lies."""
    below = np.cumsum(weight)
    return float(np.interp(0.5 * below[-1], below, place))


def single_variables(quantities: Mapping[str, Any]) -> dict[str, Any]:
    """Quantities that are no pools; all, if there is nothing else."""
    single = {name: entry for name, entry in quantities.items() if not entry.get("pool")}
    return single or dict(quantities)


def _found(name: str, measured: Mapping[str, Any]) -> str:
    if measured["exponent"] is None or measured["ci95"] is None:
        return name
    law = law_text("delta", measured["exponent"], tuple(measured["ci95"]))
    return f"{name} {law} over {measured['decades']:.1f} decades"


def _off(name: str, quantity: Mapping[str, Any]) -> str:
    """Predicted and measured exponent, or the distance where there is no exponent to compare."""
    here, measured = quantity["predicted"].get("exponent_on_measured_window"), quantity["measured"]["exponent"]
    if here is None or measured is None:
        distance = quantity.get("prediction_distance")
        return name if distance is None else f"{name}: {distance:.2f} apart"
    return f"{name}: {here:.2f} predicted, {measured:.2f} measured"


def _listed(items: Sequence[str]) -> str:
    left = len(items) - _MOST_NAMED
    return "; ".join([*items[:_MOST_NAMED], *([f"and {left} more"] if left > 0 else [])])


def _network(record: Mapping[str, Any], variables: int, tensors: int) -> str:
    config = record["config"]
    hidden = config.get("hidden")
    layers = (
        "" if hidden is None else f"hidden layers {', '.join(map(str, hidden))}; " if hidden else "no hidden layer; "
    )
    return f"{layers}{record['composition']['name']}; {variables:,} trainable variables in {tensors} tensors"


def _state(equilibrium: Mapping[str, Any]) -> str:
    """Status, with what certifies it; the reason of one without certificate opens the page."""
    rest = equilibrium["reason"] if equilibrium["certified"] else "not a local learning equilibrium"
    return f"{equilibrium['status']}: {rest}"


def _training(record: Mapping[str, Any]) -> str:
    config, equilibrium = record["config"], record["equilibrium"]
    told = [] if equilibrium["epochs"] is None else [f"{equilibrium['epochs']} epochs"]
    decay = f"{'decoupled' if config.get('decoupled_weight_decay') else 'L2'} weight decay"
    told += [f"{name} {config[key]}" for key, name in (("lr", "lr"), ("weight_decay", decay)) if config.get(key)]
    told.append(seeds_text(record))
    if record["accuracy"] is not None:
        told.append(f"accuracy {100 * record['accuracy']:.1f}%")
    told.append(f"{equilibrium['frozen']} frozen variables")
    return ", ".join(told)
