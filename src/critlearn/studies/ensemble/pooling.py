"""Pooled analysis of networks that differ by their seed: one analysis over samples and seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from statistics import fmean
from typing import Any, Final

import numpy as np

from critlearn.analysis.analysis import Analysis
from critlearn.analysis.places import places_of
from critlearn.analysis.road import Progress, fit_quantities
from critlearn.comparison import Verdict, compare
from critlearn.environment import versions
from critlearn.equilibrium import Status
from critlearn.fluctuations import Fluctuations
from critlearn.inference import PowerLawFit, fit_power_law
from critlearn.inference.window.ensemble import EnsembleExponent, ensemble_exponent
from critlearn.results import plain
from critlearn.studies.ensemble.mixture import mixed_prediction

_NO_MODES: Final = "directions of different networks cannot be pooled; those of each stand in its own run"
"""Reason why a pooled analysis has no modes."""


def pool(members: Sequence[Analysis], progress: Progress | None = None) -> Analysis:
    """Pool the analyses of networks on the same data.

    Group i of the samples is the same in all networks, and pooled with itself: the bootstrap draws samples, with all
    that any network made of them. Intervals are widened by what differs between seeds (`EnsembleExponent`). Networks
    that are not at equilibrium are left out, and named in the record, unless all are.

    Parameters
    ----------
    members
        Analyses that differ by their seed alone; at least one.
    progress
        Called after each fit.
    """
    kept = [member for member in members if member.certified] or list(members)
    records = [member.record for member in kept]
    first, seeds = records[0], [record["seed"] for record in records]
    merged = reduce(Fluctuations.merge, (member.fluctuations for member in kept))
    names = {name: one["variables"] for name, one in first["quantities"].items() if not one["pool"]}
    found: dict[str, EnsembleExponent] = {}

    def fitted(name: str) -> PowerLawFit:
        fit = fit_power_law(merged[name], seed=seeds[0], log_floor=merged.log_floor)
        # A law with cut-off has a window with sharp ends, too, on which networks are compared.
        sharp = (fit.significance or fit.equivalence) if fit.cutoff is not None else None
        window = fit.window if sharp is None else sharp.window
        found[name] = ensemble_exponent([member.fluctuations[name] for member in kept], window, seeds[0])
        return _widened(fit, found[name].seed_error or 0.0)

    equilibrium = _equilibrium(kept, members)
    # From the input on, as a network has them.
    places = places_of(merged, dict(reversed(names.items())))
    state = Status(equilibrium["status"])

    def judge(name: str, fit: PowerLawFit) -> Verdict:
        expected = mixed_prediction([record["quantities"][name] for record in records])
        known = None if isinstance(expected, str) else expected
        verdict = compare(places[name].subject, fit, known, state=state)
        return replace(verdict, not_predicted=expected if isinstance(expected, str) else None)

    quantities, _ = fit_quantities(places, merged, judge, fitted, progress)
    for name, record in quantities.items():
        record["ensemble"] = {"seeds": seeds, **found[name].to_dict()}
        record["statement"] += f" Over seeds: {found[name].summary()}."
    right = [record["accuracy"] for record in records if record["accuracy"] is not None]
    record = {
        **{name: first[name] for name in ("study", "composition", "data")},
        "run_dir": None,
        "config": {**members[0].record["config"], "seeds": len(members)},
        "versions": versions(),
        "seed": members[0].record["seed"],
        "seconds": sum(member.record["seconds"] for member in members),
        "equilibrium": equilibrium,
        "accuracy": fmean(right) if right else None,
        "resolution_floor": merged.log_floor,
        "floor_reference": merged.floor_reference,
        "unfinished": [name for name in places if name not in quantities],
        "quantities": quantities,
        "modes": None,
        "no_modes": _NO_MODES,
    }
    return Analysis(plain(record), merged)


def _widened(fit: PowerLawFit, half: float) -> PowerLawFit:
    """Fit with intervals widened by half of a 95% interval that is independent of them."""
    if fit.ci95 is None or fit.ci95_total is None or fit.standard_error is None:
        return fit
    low, high = fit.ci95
    more = float(np.hypot(0.5 * (high - low), half)) - 0.5 * (high - low)
    return replace(
        fit,
        standard_error=float(np.hypot(fit.standard_error, half / 1.96)),
        ci95=(low - more, high + more),
        ci95_total=(fit.ci95_total[0] - more, fit.ci95_total[1] + more),
    )


def _equilibrium(kept: Sequence[Analysis], members: Sequence[Analysis]) -> dict[str, Any]:
    """Record of the equilibrium of all: the commonest status of those that are pooled, and who was left out."""
    states: list[Mapping[str, Any]] = [member.record["equilibrium"] for member in kept]
    status = Counter(state["status"] for state in states).most_common(1)[0][0]
    outside = [
        f"seed {member.record['seed']} ({member.record['equilibrium']['status']})"
        for member in members
        if not member.certified
    ]
    reason = f"{len(members) - len(outside)} of {len(members)} seeds are at equilibrium"
    if outside:
        reason += f"; {'left out' if len(outside) < len(members) else 'all are pooled'}: {', '.join(outside)}"
    scatter = {
        name: [value for state in states for value in state["scatter"][name][:: len(states)]]
        for name in ("drift", "fluctuation")
    }
    return {
        **{name: states[0][name] for name in ("certified", "tolerance", "samples")},
        "status": status,
        "reason": reason,
        "fraction": min(state["fraction"] for state in states),
        "frozen": max(state["frozen"] for state in states),
        "epochs": max((state["epochs"] for state in states if state["epochs"] is not None), default=None),
        "losses": [],
        "scatter": scatter,
    }
