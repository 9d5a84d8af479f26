"""How many wrong labels stand among the samples that make the tail: writes ``docs/label_errors.md``.

python validation/label_errors.py
"""

from pathlib import Path

import pandas as pd
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

import critlearn
from critlearn.whole_files import write_whole

PAGE = Path(__file__).resolve().parent.parent / "docs" / "label_errors.md"
SEEDS = range(4)
WRONG = 0.05
COLUMNS = ("share", "loss", "size")
TRAININGS = {
    "64 samples, rate 3e-3, L2 1e-3": (64, 3e-3, 1e-3),
    "32 samples, rate 1e-3, no decay": (32, 1e-3, 0.0),
}
"""Size of a batch, rate of Adam and L2 decay, of 60 epochs."""

HEADER = """# Wrong labels among the samples of the tail

scikit-learn's digits (1,797 images, ten classes), of which 5% get another label, drawn at random; a network 64-32-10
with tanh, 60 epochs of Adam, `critlearn.analyze`, and `analysis.samples` ordered by one of its columns. Share of the
wrong labels among the first 5% of the samples, four seeds: mean, and from the smallest to the largest. By chance it
would be 5%.

| training | by `share` | by `loss` | by `size`, the gradient's norm | `suspect`: samples, of which wrong |
| --- | --- | --- | --- | --- |
"""
FOOTER = """
`share` counts how many of each layer's largest hundredth are the sample's, each layer alike. It finds as many as the
loss does, and more than the norm; what is wrong with a label only its image tells.

Made by `python validation/label_errors.py` (part of `make validate`).
"""


def main() -> None:
    """Train, and write the table."""
    lines = []
    for name, training in TRAININGS.items():
        found: dict[str, list[float]] = {column: [] for column in COLUMNS}
        suspects = []
        for seed in SEEDS:
            table, wrong = samples(seed, *training)
            for column in COLUMNS:
                first = table.sort_values(column, ascending=False)["sample"].head(len(wrong))
                found[column].append(len(wrong & {*first}) / len(wrong))
            chosen = {*table.loc[table["suspect"], "sample"]}
            suspects.append(f"{len(chosen)}, {len(chosen & wrong)}")
        cells = [f"{sum(v) / len(v):.3f} ({min(v):.3f} to {max(v):.3f})" for v in found.values()]
        lines.append(f"| {name} | {' | '.join(cells)} | {'; '.join(suspects)} |")
        print(lines[-1])
    write_whole(PAGE, (HEADER + "\n".join(lines) + "\n" + FOOTER).encode())


def samples(seed: int, batch: int, rate: float, decay: float) -> tuple[pd.DataFrame, set[int]]:
    """All samples of an analysis, and the numbers of those with a wrong label."""
    bunch = load_digits()
    x, labels = torch.from_numpy(bunch.data / 16.0), torch.from_numpy(bunch.target)
    generator = torch.Generator().manual_seed(seed)
    wrong = torch.randperm(len(labels), generator=generator)[: int(WRONG * len(labels))]
    labels[wrong] = (labels[wrong] + torch.randint(1, 10, (len(wrong),), generator=generator)) % 10
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)).double()
    optimiser = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=decay)
    for _ in range(60):
        for rows in torch.randperm(len(labels), generator=generator).split(batch):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), labels[rows]).backward()
            optimiser.step()
    analysis = critlearn.analyze(model, nn.CrossEntropyLoss(), TensorDataset(x, labels), progress=False)
    return analysis.samples(len(labels)), set(wrong.tolist())


if __name__ == "__main__":
    main()
