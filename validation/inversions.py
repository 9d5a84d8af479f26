"""Inversions of changes of every kind of network, 200 each: writes ``docs/inversions_measured.md``.

python validation/inversions.py
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from critlearn import DualityMap, NeuralSystem
from critlearn.duality import InverseStatus
from critlearn.whole_files import write_whole

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from reference.networks import Pairs, seeded  # noqa: E402

HEADER = """# Inversions of changes, by kind of network

Random networks of three classes in double precision, one inversion each of the change of a Gaussian input that is not
in the data set. Failures: a change that the map made is called *not on the sheet*; a state that is found has another
change (1e-6); a state that is called unique is another one (1e-6). *Not determined*: none was found, and fewer
numbers than the input has entries determine the change, so that no state has it alone. *Left open*: the answer is *none
was found*, which claims nothing. *Not unique*: of those found, the rank of the Jacobian at the state is below the
number of its coordinates, so that states beside it have this change, too. Seconds on the processor.

Made by `python validation/inversions.py` (part of `make validate`).

| kind | inversions | found | unique | not unique | not determined | left open | failures | mean seconds | slowest |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


class Skip(nn.Module):
    """Network that is no sequence: a dense layer beside an identity."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of a batch."""
        return self.last(x + torch.relu(self.inner(x)))


def dead(place: int) -> nn.Module:
    """Network of dense layers with ReLU, most of whose units behind one of them are dead."""
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    with torch.no_grad():
        dict(model.named_parameters())[f"{place}.bias"].sub_(0.7)
    return model


def image(*layers: nn.Module, features: int) -> nn.Module:
    """Network of images of 8 x 8 pixels with a dense last layer."""
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 3))


def unbiased(activation: type[nn.Module]) -> nn.Module:
    """Network of two dense layers without biases."""
    return nn.Sequential(nn.Linear(5, 6, bias=False), activation(), nn.Linear(6, 3, bias=False))


KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "dense, tanh": (lambda: nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)), (5,)),
    "dense, ReLU, narrow": (
        lambda: nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)),
        (5,),
    ),
    "dead units in the first layer": (lambda: dead(0), (5,)),
    "dead units in the second layer": (lambda: dead(2), (5,)),
    "no first bias": (lambda: nn.Sequential(nn.Linear(5, 6, bias=False), nn.Tanh(), nn.Linear(6, 3)), (5,)),
    "no bias at all": (
        lambda: nn.Sequential(nn.Linear(5, 6, bias=False), nn.Tanh(), nn.Linear(6, 3, bias=False)),
        (5,),
    ),
    "no bias at all, tanh, absolute error": (lambda: unbiased(nn.Tanh), (5,)),
    "no bias at all, ReLU, absolute error": (lambda: unbiased(nn.ReLU), (5,)),
    "layer normalisation of the input": (
        lambda: nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)),
        (5,),
    ),
    "skip connection": (Skip, (5,)),
    "convolution, ReLU": (lambda: image(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), features=256), (1, 8, 8)),
    "strided convolution, ReLU": (lambda: image(nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), features=18), (1, 8, 8)),
    "two convolutions, tanh": (
        lambda: image(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Conv2d(3, 4, 3), nn.Tanh(), features=64),
        (1, 8, 8),
    ),
    "two convolutions, ReLU": (
        lambda: image(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(), features=64),
        (1, 8, 8),
    ),
    "two convolutions, the second strided, ReLU": (
        lambda: image(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), features=16),
        (1, 8, 8),
    ),
    "convolution, ReLU, maximum pooling": (
        lambda: image(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), features=27),
        (1, 8, 8),
    ),
}


def sample(
    make: Callable[[], nn.Module], shape: tuple[int, ...], seed: int, *, absolute: bool = False
) -> tuple[DualityMap, Tensor, Tensor]:
    """Random network with a data set of eight samples, and a boundary state that is not in it."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(9, *shape, generator=generator, dtype=torch.float64)
    t = torch.randint(3, (9,), generator=generator)
    if absolute:
        t = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    loss = nn.L1Loss() if absolute else nn.CrossEntropyLoss()
    return DualityMap(NeuralSystem(seeded(make, seed), loss, Pairs(x[:8], t[:8]))), x[8], t[8]


def inverted(kind: str, seed: int) -> tuple[bool, bool, bool, bool, bool, bool, float]:
    """Whether the state is found, unique, not unique, not determined, left open, or the answer wrong; and the time."""
    phi, x, t = sample(*KINDS[kind], seed, absolute="absolute" in kind)
    dq = {name: value[0] for name, value in phi(x[None], t[None]).items()}
    started = time.process_time()
    inverse = phi.invert(dq)
    seconds = time.process_time() - started
    opened = inverse.status is InverseStatus.NOT_FOUND
    found = inverse.status in (InverseStatus.FOUND, InverseStatus.VANISHING)
    free = inverse.status is InverseStatus.UNDETERMINED
    several = found and inverse.error is not None and bool(torch.isinf(inverse.error).any())
    wrong = not found and not opened and not free
    wrong |= several and inverse.unique
    if inverse.status is InverseStatus.FOUND and inverse.x is not None and inverse.t is not None:
        again = phi(inverse.x[None], inverse.t[None])
        left = sum(float((again[name][0] - value).square().sum()) for name, value in dq.items()) ** 0.5
        wrong |= left > 1e-6 * sum(float(value.square().sum()) for value in dq.values()) ** 0.5
        wrong |= inverse.unique and float((inverse.x - x).norm()) > 1e-6 * float(x.norm())
    return found, inverse.unique, several, free, opened, wrong, seconds


def means(samples: int, seed: int) -> tuple[bool, bool]:
    """Whether a mean under softmax is known as one, with no more samples than it has."""
    phi, _, _ = sample(lambda: nn.Sequential(nn.Linear(8, 9), nn.Tanh(), nn.Linear(9, 3)), (8,), seed)
    x, t = phi.system.states.chosen(list(range(samples)))
    inverse = phi.invert({name: value.mean(dim=0) for name, value in phi(x, t).items()})
    known = inverse.status is InverseStatus.MIXED
    return known, known and f"at least {samples} samples" in inverse.reason


def noisy(noise: float, seed: int) -> tuple[bool, Tensor]:
    """Whether a noisy change gives a state within the tolerance, and its deviations in units of its errors."""
    phi, x, t = sample(lambda: nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)), (5,), seed)
    dq = {name: value[0] for name, value in phi(x[None], t[None]).items()}
    largest = max(float(value.abs().max()) for value in dq.values())
    generator = torch.Generator().manual_seed(seed)
    changed = {
        name: value + noise * largest * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        for name, value in dq.items()
    }
    inverse = phi.invert(changed, tolerance=100 * noise)
    found = inverse.status is InverseStatus.FOUND and inverse.x is not None and inverse.error is not None
    return found, (inverse.x - x) / inverse.error if found else torch.full_like(x, torch.nan)


def main() -> None:
    """Run every row and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "inversions_measured.md")
    arguments = parser.parse_args()
    text, number = HEADER, arguments.number
    for kind in KINDS:
        *columns, seconds = zip(*(inverted(kind, seed) for seed in range(number)), strict=True)
        counts = " | ".join(str(sum(column)) for column in columns)
        text += f"| {kind} | {number} | {counts} | {sum(seconds) / number:.2f} | {max(seconds):.2f} |\n"
        print(text.splitlines()[-1], flush=True)
    text += "\nMeans over several samples under softmax of three classes, and how many of them are told.\n\n"
    text += "| samples | means | cannot be separated | with the right number of samples |\n| --- | --- | --- | --- |\n"
    for samples in (3, 4, 5, 6):
        known, right = zip(*(means(samples, seed) for seed in range(number)), strict=True)
        text += f"| {samples} | {number} | {sum(known)} | {sum(right)} |\n"
        print(text.splitlines()[-1], flush=True)
    text += (
        "\nGaussian noise in every change, in units of the largest; tolerance 100 times as large. Deviations are those"
    )
    text += "\nof the inputs in units of their standard errors: 68% are expected below 1, 95% below 2.\n\n"
    text += "| noise | inversions | found | deviations below 1 | below 2 |\n| --- | --- | --- | --- | --- |\n"
    for noise in (1e-7, 1e-6, 1e-5, 1e-4, 1e-3):
        found, deviations = zip(*(noisy(noise, seed) for seed in range(number)), strict=True)
        sizes = torch.cat(deviations).abs()
        shares = " | ".join(f"{float((sizes < limit).double().mean()):.1%}" for limit in (1.0, 2.0))
        text += f"| {noise:.0e} | {number} | {sum(found)} | {shares} |\n"
        print(text.splitlines()[-1], flush=True)
    write_whole(arguments.out, text.encode())


if __name__ == "__main__":
    main()
