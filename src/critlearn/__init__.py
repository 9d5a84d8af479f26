"""critlearn: measure, predict and design the power laws in the fluctuations of learning.

Names are imported when they are first used: prediction and inference load no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from critlearn._version import __version__

if TYPE_CHECKING:
    from critlearn.comparison import SystemPrediction, Verdict, compare, predict
    from critlearn.compositions import Activation, Composition, Loss, SoftmaxCrossEntropy
    from critlearn.duality import DualityMap, Jacobian, RestrictedMap, caustics_on_path, learning_dimension
    from critlearn.equilibrium import Approach, Certificate, Moments, Status, equilibrate, moments
    from critlearn.errors import CritlearnError
    from critlearn.fluctuations import (
        Fluctuations,
        Quantities,
        load_fluctuations,
        measure,
        measure_part,
        save_fluctuations,
    )
    from critlearn.inference import (
        Criteria,
        Histogram,
        PowerLawFit,
        compare_fits,
        compare_with_prediction,
        fit_power_law,
        fit_power_law_with_noise,
        stability_map,
    )
    from critlearn.monitoring import Monitor, MonitorRecord, lightning_callback, trainer_callback
    from critlearn.network import BulkBoundaryNetwork, NeuralSystem, feed_forward, graph_of, sequence_of, tail_exact
    from critlearn.numerics.log_sketch import LogSketch
    from critlearn.numerics.window import Window
    from critlearn.prediction import (
        Prediction,
        caustics_of,
        parse_density,
        predict_from_density,
        predict_from_margins,
        predict_from_outputs,
        predict_product,
        predict_toy,
    )
    from critlearn.studies import (
        ToyConfig,
        TwoClassConfig,
        load_results,
        load_two_class,
        measure_on_ray,
        read_run,
        run_toy,
        run_two_class,
    )

_NAMES: Final[dict[str, tuple[str, ...]]] = {
    # What one brings: a composition, a network, a data set.
    "compositions": ("Activation", "Composition", "Loss", "SoftmaxCrossEntropy"),
    "network": ("BulkBoundaryNetwork", "NeuralSystem", "feed_forward", "graph_of", "sequence_of", "tail_exact"),
    # What one does with it: train to equilibrium, map, measure.
    "equilibrium": ("Approach", "Certificate", "Moments", "Status", "equilibrate", "moments"),
    "duality": ("DualityMap", "Jacobian", "RestrictedMap", "caustics_on_path", "learning_dimension"),
    "fluctuations": ("Fluctuations", "Quantities", "load_fluctuations", "measure", "measure_part", "save_fluctuations"),
    "numerics.log_sketch": ("LogSketch",),
    "numerics.window": ("Window",),
    # What one concludes: fit, prediction, verdict.
    "inference": (
        "Criteria",
        "Histogram",
        "PowerLawFit",
        "fit_power_law",
        "fit_power_law_with_noise",
        "stability_map",
        "compare_fits",
        "compare_with_prediction",
    ),
    "prediction": (
        "Prediction",
        "caustics_of",
        "parse_density",
        "predict_from_margins",
        "predict_from_outputs",
        "predict_product",
        "predict_toy",
        "predict_from_density",
    ),
    "comparison": ("SystemPrediction", "Verdict", "compare", "predict"),
    # What one follows while one trains.
    "monitoring": ("Monitor", "MonitorRecord", "lightning_callback", "trainer_callback"),
    # The whole road at once.
    "studies": (
        "ToyConfig",
        "TwoClassConfig",
        "load_results",
        "load_two_class",
        "measure_on_ray",
        "read_run",
        "run_toy",
        "run_two_class",
    ),
    "errors": ("CritlearnError",),
}
_HOME: Final = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Activation",
    "Approach",
    "BulkBoundaryNetwork",
    "Certificate",
    "Composition",
    "Criteria",
    "CritlearnError",
    "DualityMap",
    "Fluctuations",
    "Histogram",
    "Jacobian",
    "LogSketch",
    "Loss",
    "Moments",
    "Monitor",
    "MonitorRecord",
    "NeuralSystem",
    "PowerLawFit",
    "Prediction",
    "Quantities",
    "RestrictedMap",
    "SoftmaxCrossEntropy",
    "Status",
    "SystemPrediction",
    "ToyConfig",
    "TwoClassConfig",
    "Verdict",
    "Window",
    "__version__",
    "caustics_of",
    "caustics_on_path",
    "compare",
    "compare_fits",
    "compare_with_prediction",
    "equilibrate",
    "feed_forward",
    "fit_power_law",
    "fit_power_law_with_noise",
    "graph_of",
    "learning_dimension",
    "lightning_callback",
    "load_fluctuations",
    "load_results",
    "load_two_class",
    "measure",
    "measure_on_ray",
    "measure_part",
    "moments",
    "parse_density",
    "predict",
    "predict_from_density",
    "predict_from_margins",
    "predict_from_outputs",
    "predict_product",
    "predict_toy",
    "read_run",
    "run_toy",
    "run_two_class",
    "save_fluctuations",
    "sequence_of",
    "stability_map",
    "tail_exact",
    "trainer_callback",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
