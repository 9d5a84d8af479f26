"""Alternatives to the power law, each fitted and normalised on the same window."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import scipy.special
from jaxtyping import Float64

from critlearn.inference.counts.cells import Cells, LogDensity
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.criteria import FEWEST_CELLS, SIGNIFICANCE
from critlearn.inference.laws.exponential_family import ROUGH, Family, Maximum, best_shape, design_effect
from critlearn.inference.laws.lognormal import ratio_p_value, window_family
from critlearn.inference.laws.window_fits import WindowFit, window_log_likelihood
from critlearn.results import Result

_SHAPES: Final = 16
"""Shapes that are tried before the best is refined: a likelihood in one shape has one maximum, and seldom two."""

_LARGEST: Final = 1e280
"""Power above which it is cut: its product with a count must be a float."""


@dataclass(frozen=True)
class Law:
    """A family of laws in ``s = u - reference``: ``ln p = offset + sum c_i T_i``, perhaps with a shape parameter.

    Parameters
    ----------
    name
        As reported.
    parameters
        Names of the coefficients, then of the shape.
    terms
        From ``s`` and the shape to the offset and the statistics ``T``.
    nested
        Whether the power law is the member whose last coefficient is zero.
    positive
        Whether the last coefficient may not be negative.
    shapes
        From the edges of the cells in ``s`` to values of the shape to try; None without a shape.
    only_these
        Whether the shape may take no other values: a kink between edges would make sums over nodes inexact.
    """

    name: str
    parameters: tuple[str, ...]
    terms: Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]
    nested: bool
    positive: bool = False
    shapes: Callable[[np.ndarray], np.ndarray] | None = None
    only_these: bool = False


def _power(s: np.ndarray, shape: float = 1.0) -> np.ndarray:
    """``exp(shape s)`` without overflow."""
    return np.exp(np.minimum(shape * s, np.log(_LARGEST)))


def _lognormal(s: np.ndarray, _: float) -> tuple[np.ndarray, np.ndarray]:
    return 0 * s, np.stack([s, s**2])


def _exponential(s: np.ndarray, _: float) -> tuple[np.ndarray, np.ndarray]:
    return s, -_power(s)[None]


def _stretched(s: np.ndarray, shape: float) -> tuple[np.ndarray, np.ndarray]:
    return shape * s, -_power(s, shape)[None]


def _cut_off(s: np.ndarray, _: float) -> tuple[np.ndarray, np.ndarray]:
    return 0 * s, np.stack([s, -_power(s)])


def _broken(s: np.ndarray, at: float) -> tuple[np.ndarray, np.ndarray]:
    return 0 * s, np.stack([s, np.maximum(s - at, 0.0)])


def _stretched_shapes(edges: np.ndarray) -> np.ndarray:
    return np.geomspace(0.1, 4.0, _SHAPES)


def _breaks(edges: np.ndarray) -> np.ndarray:
    # No break in the outermost twelfths, where a few cells alone would decide one of the exponents.
    return edges[len(edges) // 12 : -(len(edges) // 12) or None][1:-1]


CUT_OFF: Final = Law("power law with cut-off", ("theta", "rate"), _cut_off, nested=True, positive=True)
"""``p(u) ~ exp(theta u - rate exp(u))``: in delta, ``delta^-k exp(-delta / scale)``."""

# Functions of the module, not lambdas: fits are pickled to other processes.
LAWS: Final = (
    Law("lognormal", ("theta", "psi"), _lognormal, nested=True),
    Law("exponential", ("rate",), _exponential, nested=False, positive=True),
    Law("stretched exponential", ("rate", "shape"), _stretched, nested=False, positive=True, shapes=_stretched_shapes),
    CUT_OFF,
    Law("one-break power law", ("theta", "bend", "break"), _broken, nested=True, shapes=_breaks, only_these=True),
)
"""All alternatives; ``rate`` and ``break`` are in units of the reference, the mean on the window."""

_RANGE_POINTS: Final = 65
"""Points of a window at which a law's local exponent is taken: a smooth law has its extremes at them or nearby."""


def exponent_range(log_density: LogDensity, low: float, high: float) -> float:
    """Largest less smallest local exponent ``1 - d ln p(u) / du`` of a law between two ends in ``u = ln delta``."""
    u = np.linspace(low, high, _RANGE_POINTS)
    with np.errstate(over="ignore", invalid="ignore"):
        return slope_range(log_density(u), u)


def slope_range(log_density: Float64[np.ndarray, " point"], u: Float64[np.ndarray, " point"]) -> float:
    """Largest less smallest slope between neighbouring points; infinite where the law has no density."""
    with np.errstate(over="ignore", invalid="ignore"):
        slope = np.diff(log_density) / np.diff(u)
    return float(np.ptp(slope)) if np.isfinite(slope).all() else np.inf


@dataclass(frozen=True, repr=False)
class Alternative(Result):
    """One alternative against the power law on the window of a fit.

    Parameters
    ----------
    name, parameters
        Which law, and its parameters in ``s = ln delta - reference``.
    reference
        ``ln`` of the mean fluctuation on the window.
    log_likelihood, power_log_likelihood
        Of the alternative and of the power law, as `PowerLawFit.log_likelihood`; the latter is the same number.
    aic_gain, bic_gain
        Information criterion of the power law less that of the alternative: positive favours the alternative.
        Likelihoods are divided by the design effect of the groups.
    test
        ``likelihood ratio`` for nested laws, ``Vuong`` for the others.
    statistic, p_value
        Of the test; Vuong's is positive where the alternative is better. No p-value exists for a break, whose place
        means nothing without it.
    preferred
        ``power law``, the alternative's name, or ``undecided``, at the 1% level (for a break: by BIC).
    """

    bulky_fields = ("reference", "_law", "_cells")

    name: str
    parameters: Mapping[str, float]
    reference: float
    log_likelihood: float
    power_log_likelihood: float
    aic_gain: float
    bic_gain: float
    test: str
    statistic: float
    p_value: float | None
    preferred: str
    _law: Law = field(repr=False)
    _cells: Cells = field(repr=False, compare=False)

    def log_density(self, log_delta: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Logarithm of the density in ``u = ln delta``, normalised on the window."""
        return self._unnormalised(log_delta) - self._cells.log_normaliser(self._unnormalised)

    def _unnormalised(self, log_delta: np.ndarray) -> np.ndarray:
        values = list(self.parameters.values())
        shape = values.pop() if self._law.shapes is not None else 0.0
        offset, basis = self._law.terms(log_delta - self.reference, shape)
        return offset + sum(value * term for value, term in zip(values, basis, strict=True))

    @property
    def exponent_range(self) -> float:
        """Change of its local exponent on the window: where that is small, the alternative is a power law there."""
        return exponent_range(self._unnormalised, float(self._cells.edges[0]), float(self._cells.edges[-1]))

    def summary(self) -> str:
        """One line, e.g. ``lognormal: likelihood ratio +0.31, p = 0.58, AIC gain -1.7: power law``."""
        p_value = "" if self.p_value is None else f", p = {self.p_value:.2g}"
        test = f"{self.test} {self.statistic:+.2f}{p_value}"
        return f"{self.name}: {test}, AIC gain {self.aic_gain:+.1f}: {self.preferred}"


def fit_alternatives(counts: GroupedCounts, fit: WindowFit) -> tuple[Alternative, ...]:
    """Fit all alternatives on the window of a power-law fit; none if it has fewer than five cells."""
    if fit.bins < FEWEST_CELLS:
        return ()
    family, inside = window_family(counts, fit)
    at = slice(family.first, family.first + len(family.pooled))
    # In units of the mean fluctuation, rates are of order one.
    reference = _log_mean(family, at)
    nodes = family.cells.nodes[0] - reference
    power = family.maximise(0 * nodes, nodes[None], np.array([fit.theta]))
    edges = family.cells.edges[family.first : family.first + len(family.pooled) + 1] - reference
    effect = fit.design_effect
    known = window_log_likelihood(counts, fit)
    return tuple(_compare(law, family, nodes, power, inside, reference, edges, effect, known) for law in LAWS)


def fit_law(law: Law, family: Family, nodes: np.ndarray, power: Maximum) -> Maximum:
    """Maximum over the coefficients of a law without a shape, from the power law where that is nested."""
    return _at_shape(law, family, nodes, power, 0.0)


def best_of_law(law: Law, family: Family, nodes: np.ndarray, power: Maximum, edges: np.ndarray) -> Maximum:
    """Maximum over the coefficients of a law, and over its shape where it has one."""
    return _best(law, family, nodes, power, edges)[0]


def _log_mean(family: Family, at: slice) -> float:
    """Logarithm of the mean fluctuation."""
    filled = family.pooled > 0
    logs = family.cells.centres[at][filled] + np.log(family.pooled[filled])
    return float(np.logaddexp.reduce(logs) - np.log(family.pooled.sum()))


def _compare(
    law: Law,
    family: Family,
    nodes: np.ndarray,
    power: Maximum,
    inside: np.ndarray,
    reference: float,
    edges: np.ndarray,
    effect: float,
    power_log_likelihood: float,
) -> Alternative:
    """Fit one alternative and compare it with the power law."""
    best, shape = _best(law, family, nodes, power, edges)
    gain = best.log_likelihood - power.log_likelihood
    extra = len(law.parameters) - 1
    n = float(family.pooled.sum()) / effect
    bic_gain = 2 * gain / effect - extra * np.log(max(n, 1.0))
    if law.nested:
        null = family.evaluate(*law.terms(nodes, shape), np.array([power.coefficients[0], 0.0]))
        statistic = max(0.0, 2 * gain) / design_effect(inside, null)
        p_value = ratio_p_value(statistic, len(inside)) if law.shapes is None else None
        # The coefficient cannot be negative: on power laws half of the statistics are zero (Chernoff, Ann. Math. Stat.
        # 25, 573, 1954).
        if law.positive and p_value is not None:
            p_value *= 0.5 if statistic > 0 else 1.0
        better = bic_gain > 0 if p_value is None else p_value < SIGNIFICANCE
        preferred = law.name if better else "undecided"
    else:
        statistic, p_value = _vuong(inside, best.log_masses - power.log_masses)
        preferred = "undecided"
        if p_value < SIGNIFICANCE:
            preferred = law.name if statistic > 0 else "power law"
    values = [*best.coefficients.tolist(), *([shape] if law.shapes is not None else [])]
    return Alternative(
        name=law.name,
        parameters=dict(zip(law.parameters, values, strict=True)),
        reference=reference,
        log_likelihood=power_log_likelihood + gain,
        power_log_likelihood=power_log_likelihood,
        aic_gain=2 * gain / effect - 2 * extra,
        bic_gain=float(bic_gain),
        test="likelihood ratio" if law.nested else "Vuong",
        statistic=statistic,
        p_value=p_value,
        preferred=preferred,
        _law=law,
        _cells=family.cells,
    )


def _best(law: Law, family: Family, nodes: np.ndarray, power: Maximum, edges: np.ndarray) -> tuple[Maximum, float]:
    """Maximum over the coefficients, and over the shape where there is one."""
    if law.shapes is None:
        return _at_shape(law, family, nodes, power, 0.0), 0.0
    allowed = law.shapes(edges)

    def maxima(shapes: np.ndarray, start: np.ndarray | None, enough: float) -> list[Maximum]:
        return _at_shapes(law, family, nodes, power, shapes, start, enough)

    if not law.only_these:
        return best_shape(maxima, allowed)
    shapes = allowed[:: max(1, len(allowed) // _SHAPES)]
    tried = list(zip(maxima(shapes, None, ROUGH), shapes.tolist(), strict=True))
    top = int(np.argmax([maximum.log_likelihood for maximum, _ in tried]))
    low, high = shapes[max(top - 1, 0)], shapes[min(top + 1, len(shapes) - 1)]
    further = allowed[(allowed > low) & (allowed < high)]
    tried += zip(maxima(further, tried[top][0].coefficients, ROUGH), further.tolist(), strict=True)
    best, shape = max(tried, key=lambda item: item[0].log_likelihood)
    return maxima(np.array([shape]), best.coefficients, 0.0)[0], shape


def _at_power(law: Law, family: Family, nodes: np.ndarray, power: Maximum, shape: float) -> Maximum:
    """Law with its last coefficient at zero: the power law where that is nested."""
    coefficients = np.array([power.coefficients[0], 0.0]) if law.nested else np.zeros(1)
    return family.evaluate(*law.terms(nodes, shape), coefficients)


def _at_shape(law: Law, family: Family, nodes: np.ndarray, power: Maximum, shape: float) -> Maximum:
    """Maximum over the coefficients at one shape, which is found from the power law where that is nested."""
    start = None
    if law.nested and law.positive:
        null = _at_power(law, family, nodes, power, shape)
        slope = null.means[-1] @ family.pooled / family.pooled.sum() - null.mean[-1]
        # The likelihood is concave: where it falls at the boundary, its maximum is there.
        if np.isfinite(slope) and slope <= 0:
            return null
        # Without any cut-off a law to infinity may have no mean, and no direction to start in.
        rate = float(np.exp(-nodes[family.first + len(family.pooled) - 1].max()))
        start = np.array([power.coefficients[0], rate])
    return _at_shapes(law, family, nodes, power, np.array([shape]), start)[0]


def _at_shapes(
    law: Law,
    family: Family,
    nodes: np.ndarray,
    power: Maximum,
    shapes: Float64[np.ndarray, " shape"],
    start: Float64[np.ndarray, " term"] | None,
    enough: float = 0.0,
) -> list[Maximum]:
    """Maxima over the coefficients at many shapes; without a start, from the power law where that is nested."""
    terms = [law.terms(nodes, shape) for shape in shapes.tolist()]
    if not terms:
        return []
    offsets, bases = np.stack([offset for offset, _ in terms]), np.stack([basis for _, basis in terms])
    starts = np.tile(start, (len(terms), 1)) if start is not None else _starts(law, family, bases, power)
    maxima = family.maximise_each(offsets, bases, starts, enough)
    for at, best in enumerate(maxima):
        outside = law.positive and best.coefficients[-1] < 0
        if outside or (law.nested and best.log_likelihood < power.log_likelihood):
            maxima[at] = _at_power(law, family, nodes, power, float(shapes[at]))
    return maxima


def _starts(
    law: Law, family: Family, bases: Float64[np.ndarray, "law term cell node"], power: Maximum
) -> Float64[np.ndarray, "law term"]:
    """Coefficients to start from: those of the power law where that is nested, of laws on all numbers else."""
    if law.nested:
        return np.tile([power.coefficients[0], 0.0], (len(bases), 1))
    return stretched_rates(family, bases)[:, None]


def stretched_rates(family: Family, bases: Float64[np.ndarray, "law term cell node"]) -> Float64[np.ndarray, " law"]:
    """Maxima of ``exp(shape u - rate exp(shape u))`` on all numbers: one over the mean of ``exp(shape u)``."""
    at = slice(family.first, family.first + len(family.pooled))
    return family.pooled.sum() / (-bases[:, 0, at].mean(axis=2) @ family.pooled)


def _vuong(inside: np.ndarray, difference: np.ndarray) -> tuple[float, float]:
    """Vuong's statistic (Econometrica 57, 307, 1989) and its two-sided p-value, with variance over groups."""
    pooled = inside.sum(axis=0)
    filled = pooled > 0
    d, n = np.where(filled, difference, 0.0), float(pooled.sum())
    total = float(pooled @ d)
    if len(inside) > 1:
        part = inside @ d - inside.sum(axis=1) * total / n
        variance = float((part**2).sum()) * len(inside) / (len(inside) - 1)
        statistic = total / max(variance, 1e-300) ** 0.5
        return statistic, 2 * float(scipy.special.stdtr(len(inside) - 1, -abs(statistic)))
    variance = float(pooled @ (d - total / n) ** 2)
    statistic = total / max(variance, 1e-300) ** 0.5
    return statistic, 2 * float(scipy.special.ndtr(-abs(statistic)))
