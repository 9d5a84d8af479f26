"""The road of every analysis: certificate, fluctuations, predictions, and fits held against them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from critlearn.analysis.analysis import Analysis
from critlearn.analysis.batches import batch_size
from critlearn.analysis.places import Place, places_of, with_kinds
from critlearn.analysis.record import composition_record, detached_weights, equilibrium_record, quantity_record
from critlearn.analysis.sides import accuracy
from critlearn.comparison import Verdict, compare, explain
from critlearn.comparison.ladder.ladder import Ladder
from critlearn.comparison.learning_modes import Modes, modes_or_reason
from critlearn.comparison.system_prediction import measure_with_ladder
from critlearn.environment import versions
from critlearn.equilibrium import Certificate, Status
from critlearn.fluctuations import Fluctuations, Quantities
from critlearn.inference import PowerLawFit, fit_power_law
from critlearn.network import NeuralSystem
from critlearn.prediction import Prediction
from critlearn.results import plain

STAGES: Final = ("certificate", "fluctuations", "predictions", "fits", "modes")
"""Stages of an analysis, in their order."""

MODES: Final = "modes"
"""What is unfinished after Ctrl-C while the modes are made."""

ANALYSIS: Final = "analysis"
"""Kind of the system in the record of a network that was trained elsewhere."""

Progress = Callable[[str, int, int], None]
"""Function called with the stage, what is done of it, and what there is to do; 0 if nothing tells its number."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during the fits of an analysis or after them, with what was finished until then."""

    def __init__(self, analysis: Analysis) -> None:
        super().__init__()
        self.analysis = analysis


@dataclass(frozen=True)
class Heading:
    """What an analysis is about, as its record says it.

    Parameters
    ----------
    study
        Kind of the system, as in ``critlearn run KIND``; ``analysis`` for a network that was trained elsewhere.
    data
        Origin of the data, in words.
    config
        Settings.
    seed
        Seed of the resampling.
    details
        Further entries of the record.
    """

    study: str
    data: str
    config: Mapping[str, Any]
    seed: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


def walk(
    system: NeuralSystem,
    heading: Heading,
    certificate: Certificate,
    *,
    losses: Sequence[float] = (),
    quantities: Quantities | None = None,
    predictions: Mapping[str, Prediction] | None = None,
    modes: bool | None = None,
    started: float | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Measure a certified state, fit every quantity and hold it against its prediction.

    Parameters
    ----------
    system
        Trained network, loss and data set.
    heading
        What the record says of them.
    certificate
        Certificate of the state.
    losses
        Mean loss of each epoch, if it is known.
    quantities
        What is measured; every variable by default.
    predictions
        Predictions by name of the quantity, where they are known exactly; else they are made from the network's state.
    modes
        Whether the modes of learning are made: True or False, or None where that is cheap. Where there are none, the
        record says why.
    started
        Time at which the work began, by `time.perf_counter`; now by default.
    progress
        Called within each stage.

    Raises
    ------
    CritlearnError
        If something cannot be measured.
    Interrupted
        After Ctrl-C during the fits or the modes, with what is finished, whose record says what is missing.
    """
    started = time.perf_counter() if started is None else started
    tell = progress if progress is not None else lambda stage, done, total: None
    wanted = Quantities() if quantities is None else quantities
    names = wanted.names({name: value.numel() for name, value in system.parameters.items()})
    counted, found = measure_with_ladder(
        system,
        batch_size=batch_size(system),
        quantities=wanted,
        progress=lambda done, total: tell("fluctuations", done, total),
    )
    # Positions leave out variables that have no contributions of theirs.
    names = {name: size for name, size in names.items() if name in counted}
    measured = with_kinds(counted, names)
    places = places_of(measured, names)
    tell("predictions", 0, len(places))
    ladder = found
    if isinstance(found, Ladder):
        ladder = replace(found, measured=measured, paths=with_kinds(found.paths, names))
    fitted, interrupted = fit_quantities(
        places,
        measured,
        _judge(places, certificate.status, ladder, predictions),
        lambda name: fit_power_law(measured[name], seed=heading.seed, log_floor=measured.log_floor),
        tell,
    )
    missing = [name for name in places if name not in fitted]
    reduced: Modes | str = _INTERRUPTED
    if not interrupted:
        try:
            tell("modes", 0, 0)
            reduced = modes_or_reason(system, modes)
        except KeyboardInterrupt:
            # The fits, which took most of the time, are kept.
            interrupted, missing = True, [MODES]
    record = {
        "study": heading.study,
        "run_dir": None,
        "config": heading.config,
        "versions": versions(),
        "seed": heading.seed,
        "seconds": time.perf_counter() - started,
        "equilibrium": equilibrium_record(certificate, losses),
        "accuracy": accuracy(system),
        "composition": composition_record(system.loss),
        "resolution_floor": measured.log_floor,
        "floor_reference": measured.floor_reference,
        "data": heading.data,
        **heading.details,
        "unfinished": missing,
        "quantities": fitted,
        "modes": None if isinstance(reduced, str) else reduced.to_dict(),
        "no_modes": reduced if isinstance(reduced, str) else None,
    }
    analysis = Analysis(plain(record), measured, detached_weights(system.model), system)
    if interrupted:
        raise Interrupted(analysis)
    return analysis


_INTERRUPTED: Final = "the analysis was interrupted"
"""Reason why there are no modes after Ctrl-C."""

Judge = Callable[[str, PowerLawFit], Verdict]
"""Function that holds the fit to a quantity against what was predicted."""


def _judge(
    places: Mapping[str, Place], state: Status, ladder: Ladder | str, known: Mapping[str, Prediction] | None
) -> Judge:
    """Function that holds fits against the ladder, and against exact predictions where these are known."""

    def judge(name: str, fit: PowerLawFit) -> Verdict:
        subject = places[name].subject
        if isinstance(ladder, str):
            climbed = replace(compare(subject, fit, None, state=state), not_predicted=ladder)
        else:
            climbed = explain(subject, name, fit, ladder, state=state)
        if known is None or name not in known:
            return climbed
        verdict = compare(subject, fit, known[name], state=state)
        return replace(verdict, levels=climbed.levels, anatomy=climbed.anatomy, tail=climbed.tail)

    return judge


def fit_quantities(
    places: Mapping[str, Place],
    measured: Fluctuations,
    judge: Judge,
    fit: Callable[[str], PowerLawFit],
    progress: Progress | None = None,
) -> tuple[dict[str, Any], bool]:
    """Fit every quantity, hold it against its prediction, and return the records, and whether that was interrupted.

    Parameters
    ----------
    places, measured
        The quantities, and their sketches.
    judge
        Holds the fit to the quantity of that name against what was predicted.
    fit
        Fits the quantity of that name.
    progress
        Called before each fit.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C during the first fit.
    """
    tell = progress if progress is not None else lambda stage, done, total: None
    records: dict[str, Any] = {}
    try:
        for done, (name, place) in enumerate(places.items()):
            tell("fits", done, len(places))
            found = fit(name)
            records[name] = quantity_record(name, place, measured, found, judge(name, found))
    except KeyboardInterrupt:
        if not records:
            raise
        return records, True
    tell("fits", len(places), len(places))
    return records, False
