"""Figure of a design: the loss, its error signal, and the exponent over the margin."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from critlearn.errors import InvalidInputError
from critlearn.figures.illustration import FORMATS, image
from critlearn.inverse_design import Design
from critlearn.whole_files import write_whole


def draw_design(made: Design, path: Path) -> None:
    """Draw a design into a file, written whole or not at all.

    Raises
    ------
    InvalidInputError
        If the file's ending is unknown.
    OutputError
        If it cannot be written.
    """
    if path.suffix.removeprefix(".") not in FORMATS:
        raise InvalidInputError(f'a figure ends in .{", .".join(FORMATS)}; got "{path.name}"')
    write_whole(path, image(design_figure(made), path.suffix[1:]))


def design_figure(made: Design) -> Figure:
    """Loss, and its error signal on log-log axes, over the margin."""
    # The loss around the decision, and the error signal far into its tail, where its slope shows the exponent.
    margins = np.linspace(-2.0, 8.0, 501)
    far = np.geomspace(0.05, 1e4, 400)
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(margins, _values(made, margins), label="loss")
    left.set(xlabel="margin m", ylabel="loss", title=made.output_loss.name)
    right.loglog(far, np.exp(_log_errors(made, far)), label="error signal")
    # Over many decades the small ticks are hundreds, all without a number.
    right.minorticks_off()
    right.set(xlabel="margin m", ylabel="error signal |dh/dm|", title=f"exponent {made.exponent:g}")
    return figure


def _two_classes(margins: np.ndarray) -> np.ndarray:
    """Pre-activations of two classes whose difference is the margin."""
    return np.stack([margins, np.zeros(margins.size)], axis=1)


def _values(made: Design, margins: np.ndarray) -> np.ndarray:
    """Loss of samples of the first of two classes, or of target 1."""
    if made.output_loss.class_targets:
        return np.asarray(made.output_loss.value(_two_classes(margins), np.zeros(margins.size, dtype=np.int64)))
    return np.asarray(made.output_loss.value(margins, np.ones(margins.size)))


def _log_errors(made: Design, margins: np.ndarray) -> np.ndarray:
    """Logarithm of the error signal of the same samples; of two classes, at the output of the wrong one."""
    if made.output_loss.class_targets:
        classes = np.zeros(margins.size, dtype=np.int64)
        return np.asarray(made.output_loss.log_output_error(_two_classes(margins), classes)[1])[:, 1]
    return np.asarray(made.output_loss.log_output_error(margins, np.ones(margins.size))[1])
