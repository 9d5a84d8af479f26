"""critlearn: measure, predict and design the power laws in the fluctuations of learning.

Names are imported when they are first used: prediction and inference load no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from critlearn._version import __version__

if TYPE_CHECKING:
    from critlearn.analysis import Analysis, analyze
    from critlearn.comparison import Verdict, compare, modes, predict
    from critlearn.compositions import Activation, Composition, Loss
    from critlearn.duality import DualityMap
    from critlearn.equilibrium import Certificate, Status, certify, equilibrate
    from critlearn.errors import CritlearnError
    from critlearn.fluctuations import Fluctuations, Quantities, measure
    from critlearn.inference import PowerLawFit, compare_fits, fit_power_law
    from critlearn.inverse_design import design
    from critlearn.monitoring import Monitor
    from critlearn.network import NeuralSystem, tail_exact
    from critlearn.numerics.log_sketch import LogSketch
    from critlearn.numerics.window import Window
    from critlearn.prediction import Prediction
    from critlearn.reports.page import report
    from critlearn.storage import load, save

_NAMES: Final[dict[str, tuple[str, ...]]] = {
    # What one brings: a composition, a network with its data.
    "compositions": ("Activation", "Composition", "Loss"),
    "network": ("NeuralSystem", "tail_exact"),
    # What one does with it: all in one call, or train to equilibrium, measure, map, follow.
    "analysis": ("Analysis", "analyze"),
    "equilibrium": ("Certificate", "Status", "certify", "equilibrate"),
    "fluctuations": ("Fluctuations", "Quantities", "measure"),
    "duality": ("DualityMap",),
    "monitoring": ("Monitor",),
    # What one concludes: fit, prediction, verdict, design.
    "inference": ("PowerLawFit", "compare_fits", "fit_power_law"),
    "prediction": ("Prediction",),
    "comparison": ("Verdict", "compare", "modes", "predict"),
    "inverse_design": ("design",),
    "reports.page": ("report",),
    # What all of them hold.
    "numerics.log_sketch": ("LogSketch",),
    "numerics.window": ("Window",),
    "storage": ("load", "save"),
    "errors": ("CritlearnError",),
}
_HOME: Final = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Activation",
    "Analysis",
    "Certificate",
    "Composition",
    "CritlearnError",
    "DualityMap",
    "Fluctuations",
    "LogSketch",
    "Loss",
    "Monitor",
    "NeuralSystem",
    "PowerLawFit",
    "Prediction",
    "Quantities",
    "Status",
    "Verdict",
    "Window",
    "__version__",
    "analyze",
    "certify",
    "compare",
    "compare_fits",
    "design",
    "equilibrate",
    "fit_power_law",
    "load",
    "measure",
    "modes",
    "predict",
    "report",
    "save",
    "tail_exact",
]


# Not for type checkers, which would take any name then.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
