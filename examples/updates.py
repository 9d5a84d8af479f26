"""Updates, and times between large ones, by two ways of fitting (a small form of PMC12745802).

python examples/updates.py    # three minutes
"""

from collections.abc import Callable

import numpy as np
import torch
from networks import tasks
from tables import Rows, described, table
from torch import nn

from critlearn.dynamics import fit_tail, sketch_in_time, waiting_times
from critlearn.inference import fit_power_law

COLUMNS = ("network", "values", "least squares", "widest window", "grade", "largest 3%", "grade of that")


def least_squares(values: np.ndarray) -> float:
    """Slope of a straight line through a histogram on 200 linear bins, both axes logarithmic."""
    counts, edges = np.histogram(values, 200)
    kept = counts > 0
    return -float(np.polyfit(np.log((edges[1:] + edges[:-1])[kept] / 2), np.log(counts[kept]), 1)[0])


def trained(model: nn.Module, batch: Callable, steps: int, kept: int = 2000) -> np.ndarray:
    """Updates of some variables at each step of plain stochastic gradient descent: shape (step, variable)."""
    generator = torch.Generator().manual_seed(2)
    variables = list(model.parameters())
    total = sum(value.numel() for value in variables)
    chosen = torch.randperm(total, generator=generator)[:kept]
    optimiser = torch.optim.SGD(variables, lr=0.1)
    updates = np.empty((steps, len(chosen)), dtype=np.float32)
    for step in range(steps):
        x, t = batch(generator)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), t).backward()
        gradient = torch.cat([value.grad.reshape(-1) for value in variables])[chosen]
        updates[step] = -0.1 * gradient.numpy()
        optimiser.step()
    return updates


def rows(steps: int = 4000) -> Rows:
    """Updates, and times between large ones, by both ways of fitting, early and late in training."""
    torch.manual_seed(0)
    for name, model, batch in tasks():
        updates = trained(model, batch, steps)
        for part, changes in (("first quarter", updates[: steps // 4]), ("last quarter", updates[-steps // 4 :])):
            sizes = np.abs(changes[changes != 0]).astype(np.float64)
            sketch = sketch_in_time(changes)
            window, tail = fit_power_law(sketch, sign="absolute"), fit_tail(sketch)
            yield name, f"updates, {part}", f"{least_squares(sizes):.2f}", *described(window), *described(tail)
        late = np.abs(updates[steps // 4 :])
        times = [waiting_times(column, np.quantile(column, 0.99)) for column in late.T if np.ptp(column) > 0]
        cluster = np.repeat(np.arange(len(times)), [len(part) for part in times])
        joined = np.concatenate(times).astype(np.float64)
        # Those of one variable belong together.
        fit = fit_power_law(joined, cluster=cluster)
        yield name, "times between the largest 1%", f"{least_squares(joined):.2f}", *described(fit), "", ""
        mixed = np.random.default_rng(3).permuted(late, axis=0)
        times = [waiting_times(column, np.quantile(column, 0.99)) for column in mixed.T if np.ptp(column) > 0]
        joined = np.concatenate(times).astype(np.float64)
        fit = fit_power_law(joined)
        yield name, "the same, shuffled in time", f"{least_squares(joined):.2f}", *described(fit), "", ""


if __name__ == "__main__":
    print(table(COLUMNS, rows()))
