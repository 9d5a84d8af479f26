"""Sharpness rises to 2 / step and hovers there: full-batch descent on a mean squared error (Cohen et al. 2021).

python examples/edge_of_stability.py    # two minutes
"""

import numpy as np
import torch
from networks import digits, perceptron
from tables import Rows, table
from torch import nn

COLUMNS = (
    *("step", "2 / step", "curvature at first", "reached 2 / step at"),
    *("mean, second half", "range", "loss at first", "at last"),
)


def sharpness(loss: torch.Tensor, variables: list[torch.Tensor], vector: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Largest curvature of a loss by ten power iterations from a vector, and the vector they end at."""
    gradient = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, variables, create_graph=True)])
    value = 0.0
    for _ in range(10):
        product = torch.autograd.grad(gradient @ vector, variables, retain_graph=True)
        moved = torch.cat([part.reshape(-1) for part in product])
        value, vector = float(moved @ vector), moved / moved.norm()
    return value, vector


def rows(steps: int = 4000) -> Rows:
    """Sharpness through full-batch descent on a mean squared error."""
    x, t = digits()
    x, target = x[:500], nn.functional.one_hot(t[:500], 10).float()
    for rate in (0.25, 0.18, 0.125):
        torch.manual_seed(5)
        model = perceptron(32)
        variables = list(model.parameters())
        vector = nn.functional.normalize(torch.randn(sum(value.numel() for value in variables)), dim=0)
        seen, losses = [], []
        for step in range(steps):
            loss = 0.5 * ((model(x) - target) ** 2).sum(1).mean()
            if step % 20 == 0:
                value, vector = sharpness(loss, variables, vector)
                seen.append(value)
                losses.append(loss.item())
            slopes = torch.autograd.grad(loss, variables)
            with torch.no_grad():
                for weights, slope in zip(variables, slopes, strict=True):
                    weights -= rate * slope
        late = np.array(seen[len(seen) // 2 :])
        reached = next((20 * at for at, value in enumerate(seen) if value >= 2 / rate), None)
        yield (
            rate, f"{2 / rate:.0f}", f"{seen[1]:.1f}", "–" if reached is None else reached,
            f"{late.mean():.1f}", f"{late.min():.1f} to {late.max():.1f}", f"{losses[0]:.3f}", f"{losses[-1]:.4f}",
        )  # fmt: skip


if __name__ == "__main__":
    print(table(COLUMNS, rows()))
