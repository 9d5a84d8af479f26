"""A training step beside a plain torch loop, in one run: writes docs/training_speed.md.

The loops differ in their step only: order of the samples, batches and optimiser are the same. They take turns, so that
other programs slow all of them down alike, and ratios are those of one turn.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from docs_page import OneLineParser
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition, OutputLoss, SoftmaxCrossEntropy
from critlearn.network import NeuralSystem, feed_forward
from critlearn.network.training.step import TrainingStep
from critlearn.whole_files import write_whole

PAGE = Path(__file__).parent.parent / "docs" / "training_speed.md"
TURNS, STEPS = 9, 300

Step = Callable[[Tensor, Tensor], Tensor]


class Case(NamedTuple):
    """A network with a loss, its equivalent of torch's own modules, and data."""

    name: str
    model: nn.Module
    loss: OutputLoss
    plain_model: nn.Module
    plain_loss: Step
    x: Tensor
    t: Tensor


def dense(activation: str, loss: str, plain_loss: Step, dtype: torch.dtype) -> Case:
    """8-32-32-1 with tanh, on two classes."""
    model = feed_forward(8, (32, 32), "tanh", seed=0, dtype=dtype)
    plain = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)).to(dtype)
    x = torch.randn(4096, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    t = torch.where(x.sum(1, keepdim=True) > 0, 1.0, -1.0).to(dtype)
    name = f"8-32-32-1 tanh, {activation} + {loss}, {str(dtype).removeprefix('torch.')}"
    return Case(name, model, Composition(activation, loss), plain, plain_loss, x, t)


def convolutional() -> Case:
    """Two convolutions with pooling, and a dense layer, on ten classes; the network is the same in all loops."""
    layers = (nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2))
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(400, 10))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1024, 1, 28, 28, generator=generator)
    t = torch.randint(0, 10, (1024,), generator=generator)
    name = "convolutional 8-16-10 relu, softmax + cross-entropy, float32"
    return Case(name, model, SoftmaxCrossEntropy(), model, nn.functional.cross_entropy, x, t)


def cases() -> list[Case]:
    """All networks; the plain loops have squared errors and focal losses as one writes them."""

    def logistic(y: Tensor, t: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(y, (t + 1) / 2)

    def squared(y: Tensor, t: Tensor) -> Tensor:
        return ((nn.functional.softsign(y) - t) ** 2).mean()

    def focal(y: Tensor, t: Tensor) -> Tensor:
        p = (1 + t * torch.tanh(y)) / 2
        return -((1 - p) ** 2 * torch.log(p)).mean()

    return [
        dense("sigmoid", "bce", logistic, torch.float32),
        dense("sigmoid", "bce", logistic, torch.float64),
        dense("softsign", "mse", squared, torch.float32),
        dense("tanh", "focal", focal, torch.float32),
        convolutional(),
    ]


def plain_step(case: Case) -> Step:
    """Step of a plain torch loop."""

    def step(x: Tensor, t: Tensor) -> Tensor:
        loss = case.plain_loss(case.plain_model(x), t)
        loss.backward()
        return loss.detach()

    return step


def exact_step(system: NeuralSystem) -> Step:
    """Step with the exact learning pass: activations and losses by logarithms."""

    def step(x: Tensor, t: Tensor) -> Tensor:
        y, target = system.forward(x, t)
        with torch.no_grad():
            error, value = system.loss.output_error(y, target), system.loss.value(y, target).double().mean()
        y.backward(error / target.numel())
        return value

    return step


def epoch(case: Case, model: nn.Module, step: Step, batch: int) -> Callable[[], float]:
    """Function that makes `STEPS` steps in random order and returns the processor time of one, in microseconds."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    generator = torch.Generator().manual_seed(2)

    def run() -> float:
        total, left = torch.zeros((), dtype=torch.float64), STEPS
        started = time.process_time()
        while left > 0:
            for chosen in torch.randperm(len(case.x), generator=generator).split(batch)[:left]:
                optimiser.zero_grad()
                total += step(case.x[chosen], case.t[chosen]) * len(chosen)
                optimiser.step()
                left -= 1
        float(total)
        return 1e6 * (time.process_time() - started) / STEPS

    return run


def compare(case: Case, batch: int) -> str:
    """Row of the table: microseconds of the plain step, and ratios of the others to it."""
    system = NeuralSystem(case.model, case.loss, TensorDataset(case.x, case.t))
    loops = (
        epoch(case, case.plain_model, plain_step(case), batch),
        epoch(case, case.model, TrainingStep(system), batch),
        epoch(case, case.model, exact_step(system), batch),
    )
    turns = [tuple(loop() for loop in loops) for _ in range(TURNS)]
    plain = min(turn[0] for turn in turns)
    ours, exact = (median(turn[at] / turn[0] for turn in turns) for at in (1, 2))
    return f"| {case.name} | {batch} | {plain:.0f} | {ours:.2f} | {exact:.2f} |"


INTRODUCTION = """# Speed of a training step

`equilibrate` trains with the mean gradient of a batch, in which the tails of single samples vanish. Its steps evaluate
activations by torch's own functions and the loss in one go; measurements keep the exact learning pass. Processor time
of one thread, with the choice of the batch and a fused AdamW in it, the loops by turns. The plain loop is torch alone;
*step* and *exact pass* are medians of ratios to it. Written by `python benchmarks/training_step.py`.

| network | batch | plain loop, us | step | exact pass |
| --- | --- | --- | --- | --- |
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page when all is measured."""
    OneLineParser(description=(__doc__ or "").splitlines()[0]).parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = [compare(case, batch) for case in cases() for batch in (32, 64)]
    write_whole(PAGE, (INTRODUCTION + "\n".join(rows) + "\n").encode())


if __name__ == "__main__":
    main()
