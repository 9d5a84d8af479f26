"""Tail index of stochastic gradient descent on a line, by step and batch, beside Kesten's exponents.

python examples/tail_index.py            # one minute

That of a network is the study ``critlearn sweep tail-index``.
"""

import numpy as np
import scipy.integrate
import scipy.optimize
import scipy.stats
from tables import Rows, shown, table

from critlearn.dynamics import fit_tail, sketch_in_time

COLUMNS = ("step", "batch", "step / batch", "1 + alpha", "iterates", "increments", "inside")


def kesten_alpha(step: float, batch: int) -> float:
    """Root of ``E|1 - step s|^alpha = 1``, with s the mean square of a mini-batch: chi squared over its size."""
    density = scipy.stats.chi2(batch)

    def excess(alpha: float) -> float:
        def integrand(s: float) -> float:
            return abs(1 - step * s / batch) ** alpha * density.pdf(s)

        zero = batch / step
        low, high = scipy.integrate.quad(integrand, 0, zero)[0], scipy.integrate.quad(integrand, zero, 400)[0]
        return low + high - 1

    return float(scipy.optimize.brentq(excess, 0.05, 40))


def regression(step: float, batch: int, steps: int, seed: int) -> np.ndarray:
    """Distance to the solution of descent on a line, by mini-batches."""
    generator = np.random.default_rng(seed)
    square, product = np.empty(steps), np.empty(steps)
    for start in range(0, steps, 50_000):
        x, y = generator.standard_normal((2, min(50_000, steps - start), batch))
        square[start : start + len(x)], product[start : start + len(x)] = (x * x).mean(1), (x * y).mean(1)
    found, value = np.empty(steps), 0.0
    for at, (a, b) in enumerate(zip((1 - step * square).tolist(), (step * product).tolist(), strict=True)):
        value = a * value + b
        found[at] = value
    return found[1000:]


def rows() -> Rows:
    """Measured and predicted tails by step and batch."""
    for step, batch in ((0.5, 1), (0.7, 1), (0.9, 1), (0.7, 2), (0.9, 2), (1.2, 2), (1.2, 4), (1.4, 4), (1.6, 8)):
        series = regression(step, batch, 1_000_000, 1)
        predicted = 1 + kesten_alpha(step, batch)
        fits = [fit_tail(sketch_in_time(values)) for values in (series, np.diff(series))]
        inside = [fit.ci95_total[0] <= predicted <= fit.ci95_total[1] for fit in fits]
        held = f"{'yes' if inside[0] else 'no'}, {'yes' if inside[1] else 'no'}"
        yield step, batch, f"{step / batch:.2f}", f"{predicted:.2f}", *map(shown, fits), held


if __name__ == "__main__":
    print(table(COLUMNS, rows()))
