"""Analysis of a trained network: its certificate, and a row for each quantity that was measured and predicted."""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from torch import Tensor

from critlearn.analysis.methods import methods_of
from critlearn.analysis.record_schema import headlines
from critlearn.analysis.table import AnalysisTable, cell_text, table_of
from critlearn.comparison.learning_modes import Modes
from critlearn.errors import InvalidInputError, unknown_name
from critlearn.fluctuations import Fluctuations
from critlearn.network import NeuralSystem

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from critlearn.monitoring import MonitorRecord

_ON_SCREEN: Final = (
    "quantity", "n", "zeros", "exponent", "ci_low", "ci_high", "decades", "share", "verdict", "predicted_exponent",
    "prediction_distance", "agreement", "explained_by",
)  # fmt: skip
"""Columns that an analysis shows of itself."""

_FIGURES: Final = ("densities", "anatomy")
_STYLES: Final = ("screen", "paper")
"""Figures of an analysis, and how they may be set."""


@dataclass(frozen=True, eq=False, repr=False)
class Analysis:
    """Certificate of a trained network, and measured and predicted exponents of its fluctuations.

    It shows itself as a table. `save` writes it to a folder that ``critlearn runs``, ``report`` and ``explore`` read,
    and `load` reads it from there.

    Parameters
    ----------
    record
        All numbers as plain values, as ``run.json`` holds them.
    fluctuations
        Sketches of all quantities.
    weights
        Weights of the network, by name; empty for an analysis that was read from a folder.
    system
        Network, loss and data set; None for an analysis that was read from a folder.
    training
        What a monitor recorded of a descent from this state, if there was one; it is stored with the run.
    """

    record: dict[str, Any]
    fluctuations: Fluctuations
    weights: dict[str, Tensor] = field(default_factory=dict)
    system: NeuralSystem | None = None
    training: "MonitorRecord | None" = None

    @property
    def table(self) -> AnalysisTable:
        """Row for each quantity: trainable variables from the output backwards, then pools of layers, kinds and all.

        The columns are described in `critlearn.analysis.table`. ``to_latex()`` gives the table of a paper.
        """
        return table_of(self.record)

    @property
    def certified(self) -> bool:
        """Whether the state is an equilibrium."""
        return bool(self.record["equilibrium"]["certified"])

    @property
    def modes(self) -> Modes | None:
        """Modes of learning, or None where there are none: ``record["no_modes"]`` says why."""
        found = self.record.get("modes")
        return None if found is None else Modes.from_dict(found)

    def to_dict(self) -> dict[str, Any]:
        """All numbers as plain values."""
        return self.record

    def summary(self) -> str:
        """State and findings in sentences, one to a line."""
        found = self.modes
        reduced = [] if found is None else [f"modes of learning: {found.headline()}"]
        return "\n".join([self._state(), *headlines(self.record["quantities"]), *reduced])

    def plot(
        self,
        what: Literal["densities", "anatomy"] = "densities",
        *,
        style: Literal["screen", "paper"] = "screen",
        columns: Literal[1, 2] = 1,
    ) -> "Figure":
        """Figure of all trainable variables.

        Parameters
        ----------
        what
            ``densities``, with fits and predictions, a panel for each variable; or ``anatomy``, from the input to the
            output the steps from the exponent of the composition alone to the measured one. The same through training,
            of several analyses, is `critlearn.figures.anatomy.anatomy_through_training`.
        style
            ``screen``, or ``paper``: with the width, text and lines of a page in print, and what fits on it.
        columns
            Columns of that page which the figure spans.

        Raises
        ------
        InvalidInputError
            If an argument is none of these, or no variable has an anatomy.
        """
        if what not in _FIGURES:
            raise unknown_name("figure", what, _FIGURES)
        if style not in _STYLES:
            raise unknown_name("style", style, _STYLES)
        drawn = self._drawn(what, narrow=style == "paper" and columns == 1, in_print=style == "paper")
        if style == "screen":
            return drawn
        from critlearn.figures.paper import for_paper

        return for_paper(drawn, columns)

    def save_plot(
        self,
        path: str | Path,
        what: Literal["densities", "anatomy"] = "densities",
        *,
        style: Literal["screen", "paper"] = "paper",
        columns: Literal[1, 2] = 1,
    ) -> Path:
        """Write a figure of all trainable variables for a paper, and its numbers as CSV beside it.

        Parameters
        ----------
        path
            File to write; its ending says whether it is SVG, PDF, with fonts inside, or PNG.
        what, style, columns
            As for `plot`.

        Raises
        ------
        InvalidInputError
            As `plot`, or if the ending is another one.
        OutputError
            If a file cannot be written.
        """
        from critlearn.figures.illustration import Illustration, checked_formats

        path = Path(path)
        forms = checked_formats([path.suffix.removeprefix(".")])
        drawn = Illustration(path.stem, self.plot(what, style=style, columns=columns), what, "")
        return drawn.save(path.parent, forms)[0]

    def _drawn(self, what: str, *, narrow: bool, in_print: bool) -> "Figure":
        """Figure on the screen."""
        quantities = self.record["quantities"]
        if what == "anatomy":
            from critlearn.figures.anatomy import anatomy_figure

            return anatomy_figure(quantities, in_print=in_print)
        from critlearn.figures.analysis import analysis_figure

        shown = {name: quantity for name, quantity in quantities.items() if not quantity.get("pool")}
        return analysis_figure(self.fluctuations, shown, narrow=narrow, in_print=in_print)

    def samples(self, number: int = 20) -> "pd.DataFrame":
        """Samples that make the tail, those with the largest share of the largest fluctuations first.

        See `critlearn.analysis.tail_samples.tail_samples`.

        Raises
        ------
        InvalidInputError
            If the analysis was read from a folder, which holds no data; analyse the network again.
        """
        from critlearn.analysis.tail_samples import tail_samples

        if self.system is None:
            raise InvalidInputError(
                "an analysis that was read from a folder has no data: make it anew, analyze(model, loss, data)"
            )
        return tail_samples(self.system, self.fluctuations, number, seed=self.record["seed"])

    def methods(self) -> str:
        """Paragraph on methods for a paper, with the numbers of this analysis."""
        return methods_of(self.record)

    def __repr__(self) -> str:
        """State of the network, and the table."""
        return f"{self._state()}\n\n{self._shown().to_string(index=False)}"

    def _repr_html_(self) -> str:
        """State of the network, and the table, for notebooks."""
        html = self._shown().to_html(index=False, border=0)
        return f"<p>{escape(self._state())}</p>{html}"

    def _state(self) -> str:
        """The certificate in a line."""
        equilibrium = self.record["equilibrium"]
        return f"{equilibrium['status']}: {equilibrium['reason']}"

    def _shown(self) -> "pd.DataFrame":
        """Columns of the table that fit on a screen, as text."""
        return self.table[list(_ON_SCREEN)].map(cell_text)
