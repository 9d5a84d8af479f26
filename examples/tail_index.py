"""Tail index of stochastic gradient descent, by step and batch: on a line, with Kesten's exponents, and of a network.

python examples/tail_index.py            # a network on digits: some four minutes
python examples/tail_index.py --line     # the line: one minute
"""

import argparse

import numpy as np
import scipy.integrate
import scipy.optimize
import scipy.stats
import torch
from networks import digits, perceptron
from tables import Rows, shown, table
from torch.utils.data import TensorDataset

from critlearn import Monitor, NeuralSystem
from critlearn.compositions import SoftmaxCrossEntropy
from critlearn.dynamics import fit_tail, sketch_in_time

COLUMNS = ("step", "batch", "mean loss", "increments", "grade", "iterates", "grade of these")
LINE_COLUMNS = ("step", "batch", "step / batch", "1 + alpha", "iterates", "increments", "inside")


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


def line_rows() -> Rows:
    """Measured and predicted tails by step and batch."""
    for step, batch in ((0.5, 1), (0.7, 1), (0.9, 1), (0.7, 2), (0.9, 2), (1.2, 2), (1.2, 4), (1.4, 4), (1.6, 8)):
        series = regression(step, batch, 1_000_000, 1)
        predicted = 1 + kesten_alpha(step, batch)
        fits = [fit_tail(sketch_in_time(values)) for values in (series, np.diff(series))]
        inside = [fit.ci95_total[0] <= predicted <= fit.ci95_total[1] for fit in fits]
        held = f"{'yes' if inside[0] else 'no'}, {'yes' if inside[1] else 'no'}"
        yield step, batch, f"{step / batch:.2f}", f"{predicted:.2f}", *map(shown, fits), held


def recorded(step: float, batch: int, steps: int, seed: int) -> tuple[float, np.ndarray]:
    """Mean loss and values of 64 weights, over the second half of a training that a weight decay holds.

    Shape of the values: (step, weight).
    """
    x, t = digits()
    torch.manual_seed(seed)
    model = perceptron(32)
    optimizer = torch.optim.SGD(model.parameters(), lr=step, weight_decay=0.003)
    system = NeuralSystem(model, SoftmaxCrossEntropy(), TensorDataset(x, t))
    losses = []
    # Measured before and after the training only: the series has every step.
    with Monitor(system, optimizer, every=steps) as monitor:
        for chosen in torch.randint(len(x), (steps, batch)):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x[chosen]), t[chosen])
            loss.backward()
            optimizer.step()
            monitor.step()
            losses.append(loss.item())
    _, values = monitor.record.series.longest_stretch()
    return float(np.mean(losses[steps // 2 :])), values[steps // 2 :]


def in_own_units(values: np.ndarray) -> np.ndarray:
    """Deviations of each variable from its median in units of their median: a mixture of scales would fake a tail."""
    deviations = values - np.median(values, axis=0)
    scale = np.median(np.abs(deviations), axis=0)
    return deviations[:, scale > 0] / scale[scale > 0]


def rows(steps: int = 20_000) -> Rows:
    """Tails of increments and of iterates of a network, by step and batch."""
    for step in (0.05, 0.2, 0.5):
        for batch in (4, 16, 64):
            loss, values = recorded(step, batch, steps, 0)
            fits = [fit_tail(sketch_in_time(in_own_units(part))) for part in (np.diff(values, axis=0), values)]
            found = [part for fit in fits for part in (f"{shown(fit)} over {fit.decades or 0:.1f}", str(fit.grade))]
            yield step, batch, f"{loss:.3f}", *found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--line", action="store_true", help="Descent on a line, where theory knows the exponent.")
    if parser.parse_args().line:
        print(table(LINE_COLUMNS, line_rows()))
    else:
        print(table(COLUMNS, rows()))
