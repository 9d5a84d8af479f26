"""The same gradients on two axes: over variables, and over iterations (question of Xie et al. 2023).

python examples/two_axes.py    # two minutes
"""

from collections import Counter

import numpy as np
import torch
from networks import digits, perceptron
from tables import Rows, table
from torch import nn

from critlearn.inference import PowerLawFit, fit_power_law

COLUMNS = ("over", "sought", "median exponent", "median decades", "KS passed", "grades")


def sought_fit(sizes: np.ndarray, *, tail: bool) -> PowerLawFit:
    """Fit with a window anywhere, or in the largest tenth and to infinity."""
    if not tail:
        return fit_power_law(sizes)
    return fit_power_law(sizes, side="large", log_floor=float(np.log(np.quantile(sizes, 0.9))))


def rows(batches: int = 6000) -> Rows:
    """The same gradients over variables and over mini-batches."""
    x, t = digits()
    torch.manual_seed(3)
    model = perceptron()
    generator = torch.Generator().manual_seed(3)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    variables = list(model.parameters())
    gradients = np.empty((batches, sum(value.numel() for value in variables)), dtype=np.float32)
    # A thousand steps of training, then gradients of one state.
    for step in range(1000 + batches):
        chosen = torch.randint(len(x), (16,), generator=generator)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[chosen]), t[chosen]).backward()
        if step < 1000:
            optimiser.step()
        else:
            gradients[step - 1000] = torch.cat([value.grad.reshape(-1) for value in variables]).numpy()
    draw = np.random.default_rng(4)
    alive = np.flatnonzero(np.abs(gradients).max(axis=0) > 0)
    sets = {
        "variables, at one mini-batch": [np.abs(gradients[row]) for row in draw.choice(batches, 30, replace=False)],
        "mini-batches, of one variable": [np.abs(gradients[:, at]) for at in draw.choice(alive, 30, replace=False)],
    }
    for name, parts in sets.items():
        for sought in ("a window anywhere", "a tail, in the largest tenth"):
            fits = [sought_fit(part[part > 0].astype(np.float64), tail="tail" in sought) for part in parts]
            known = [fit for fit in fits if fit.exponent is not None]
            passed = sum((fit.p_value or 0) > 0.05 for fit in known)
            grades = Counter(str(fit.grade) for fit in fits)
            yield (
                name, sought, f"{np.median([f.exponent for f in known]):.2f}",
                f"{np.median([f.decades for f in known]):.1f}", f"{passed} of {len(fits)}",
                ", ".join(f"{word} {number}" for word, number in grades.most_common()),
            )  # fmt: skip


if __name__ == "__main__":
    print(table(COLUMNS, rows()))
