"""Modes of learning of networks with known and unknown modes: writes ``docs/modes_measured.md``.

python validation/modes.py                 # four minutes
python validation/modes.py --replicates 20 --skip-large
"""

import argparse
import copy
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits, make_moons
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn import Composition, NeuralSystem, equilibrate, measure, modes
from critlearn.comparison import Modes, modes_through_training
from critlearn.equilibrium import Approach
from critlearn.figures.modes import modes_through_training_figure
from critlearn.studies import load_data
from critlearn.whole_files import write_whole

ROOT = Path(__file__).resolve().parent.parent

PICTURE = ROOT / "docs" / "images" / "modes_through_training.png"
"""Figure of the Gaussian classes through training, for ``docs/modes.md``."""

HEADER = """# Modes, measured

What the numbers of [modes](modes.md) are for networks whose modes are known in closed form, and for some trained ones.
Distances are of Kolmogorov and Smirnov, as ranges over six modes unless said otherwise. Half of the samples make the
modes, the other half is what they are held against.

Made by `python validation/modes.py` (part of `make validate`).
"""

AXES = np.array([3.0, 2.0, 1.0, 0.5])
"""Standard deviations along the principal axes of the linear network's inputs."""

SPREAD = 0.6
"""Standard deviation of the logarithm of the scale that all inputs of a sample share."""


# Networks


def tanh_network(*widths: int) -> nn.Module:
    """Dense tanh network with pre-activations as outputs, from a fixed seed."""
    torch.manual_seed(0)
    layers = [part for wide, narrow in pairwise(widths) for part in (nn.Linear(wide, narrow), nn.Tanh())]
    return nn.Sequential(*layers[:-1]).double()


def gaussian_classes(samples: int = 20_000) -> tuple[Tensor, Tensor]:
    """Two normal clouds in ten dimensions, two standard deviations apart."""
    generator = np.random.default_rng(0)
    t = np.where(generator.random(samples) < 0.5, -1.0, 1.0)
    x = generator.normal(size=(samples, 10))
    x[:, 0] += t
    return torch.from_numpy(x), torch.from_numpy(t)


def moons(samples: int = 20_000) -> tuple[Tensor, Tensor]:
    """Two half moons that overlap."""
    x, labels = make_moons(samples, noise=0.25, random_state=0)
    return torch.from_numpy(x), torch.from_numpy(2.0 * labels - 1)


def digits_network() -> Approach:
    """Convolutional network trained on the ten digits."""
    torch.manual_seed(0)
    x, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.from_numpy(x / 16).float().reshape(-1, 1, 8, 8), torch.from_numpy(labels))
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)
    )  # fmt: skip
    return equilibrate(NeuralSystem(model, nn.CrossEntropyLoss(), data), epochs=60)


def trained(
    model: nn.Module, loss: Composition, data: tuple[Tensor, Tensor], epochs: int, batch: int = 200
) -> Approach:
    """Train a network for so many epochs at most, or to its certificate."""
    system = NeuralSystem(model, loss, TensorDataset(*data))
    return equilibrate(system, epochs=epochs, batch_size=batch, lr=3e-3)


# Tables


def span(found: Modes, name: str) -> str:
    """Range of a number over the modes."""
    values = [getattr(mode, name) for mode in found.modes]
    return f"{min(values):.3f} to {max(values):.3f}"


def row(name: str, found: Modes) -> str:
    """Row of a network."""
    kinds = " | ".join(span(found, kind) for kind in ("bare", "independent", "joint", "noise"))
    first = found.modes[0]
    return (
        f"| {name} | {first.share:.3f} ± {first.share_error:.3f} | {found.share:.3f} "
        f"| {found.participation_ratio:.2f} ± {found.participation_ratio_error:.2f} | {span(found, 'r_squared')} "
        f"| {found.coupling:.3f} ± {found.coupling_error:.3f} | {kinds} |\n"
    )


def networks() -> str:
    """Table of trained networks."""
    flights = load_data("flights")
    text = (
        "\n## Trained networks\n\nIn brackets what the certificate says. Gaussian classes: two normal clouds of 10,000 "
        "in ten dimensions, two standard deviations apart. Moons: 20,000 points with noise of 0.25, not standardised. "
        "Digits: 1,797. Independent modes would have a coupling of 0.008 "
        "in 10,000 samples (flights 0.005, digits 0.027).\n\n"
        "| network | share of the first | of six | participation ratio | R2 | coupling | bare | independent | joint "
        "| noise |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    logistic, tanh = Composition("sigmoid", "bce"), Composition("tanh", "mse")
    deep = (10, 16, 16, 1)
    cases: dict[str, Callable[[], Approach]] = {
        "Gaussian classes, 10-16-16-1, sigmoid+bce, after 20 epochs": lambda: trained(
            tanh_network(*deep), logistic, gaussian_classes(), 20
        ),
        "the same, longer": lambda: trained(tanh_network(*deep), logistic, gaussian_classes(), 150),
        "moons, 2-16-16-1, tanh+mse": lambda: trained(tanh_network(2, 16, 16, 1), tanh, moons(), 150),
        "flights, 8-32-32-1, sigmoid+bce": lambda: trained(
            tanh_network(8, 32, 32, 1), logistic, (flights.x.double(), flights.signs.double()), 150, 2000
        ),
        "digits, convolutional, softmax": digits_network,
    }
    modes_of = {}
    for name, make in cases.items():
        approach = make()
        modes_of[name] = modes(approach.system)
        text += row(f"{name} ({approach.certificate.status.words})", modes_of[name])
        print(text.splitlines()[-1], flush=True)
    return text + mode_by_mode(
        "The moons, mode by mode", next(found for name, found in modes_of.items() if "moons" in name)
    )


def mode_by_mode(title: str, found: Modes) -> str:
    """Table of the modes of one network."""
    text = (
        f"\n### {title}\n\n| mode | share | R2 | bare | independent | joint | noise |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
    )
    for number, mode in enumerate(found.modes, 1):
        kinds = " | ".join(
            f"{getattr(mode, kind):.3f} ± {getattr(mode, f'{kind}_error'):.3f}"
            for kind in ("bare", "independent", "joint", "noise")
        )
        text += f"| {number} | {mode.share:.4f} ± {mode.share_error:.4f} | {mode.r_squared:.2f} | {kinds} |\n"
    print(text, flush=True)
    return text


def through_training() -> str:
    """Table of the Gaussian classes through training."""
    system = NeuralSystem(
        tanh_network(10, 16, 16, 1), Composition("sigmoid", "bce"), TensorDataset(*gaussian_classes())
    )
    states, reached = {0: modes(system)}, 0
    for epoch in (1, 3, 10, 30, 100):
        system = equilibrate(system, epochs=epoch - reached, batch_size=200, lr=3e-3, stop_at_equilibrium=False).system
        states[epoch], reached = modes(system), epoch
    table = modes_through_training(states)
    text = (
        "\n## Through training\n\nThe Gaussian classes again, by `modes_through_training({epoch: modes(system), ...})`."
        "\n\n| epochs | share of the first | of six | participation ratio | coupling |\n"
        "| --- | --- | --- | --- | --- |\n"
    )
    for epoch, line in table.iterrows():
        text += (
            f"| {epoch} | {line['first_share']:.3f} ± {line['first_share_error']:.3f} | {line['share']:.3f} "
            f"| {line['participation_ratio']:.2f} ± {line['participation_ratio_error']:.2f} "
            f"| {line['coupling']:.3f} ± {line['coupling_error']:.3f} |\n"
        )
    print(text, flush=True)
    modes_through_training_figure(table).savefig(PICTURE, dpi=100, metadata={"Software": None})
    return text


def linear(seed: int, samples: int) -> NeuralSystem:
    """Linear network on turned normal inputs whose samples have scales of their own, with errors of our choice."""
    generator = np.random.default_rng(seed)
    turned = np.linalg.qr(generator.normal(size=(4, 4)))[0]
    scale = np.exp(SPREAD * generator.normal(size=samples))
    x = torch.from_numpy(scale[:, None] * generator.normal(size=(samples, 4)) * AXES @ turned.T)
    model = nn.Linear(4, 1, bias=False).double()
    with torch.no_grad():
        y = model(x)[:, 0]
    error = torch.from_numpy(generator.normal(size=samples))
    return NeuralSystem(model, Composition("identity", "mse"), TensorDataset(x, y - error))


def closed_form(replicates: int, samples: int = 4000) -> str:
    """Table of a linear network: truth, mean, scatter and standard errors over many data sets."""
    variances = AXES**2
    normal = np.pi**2 / 8
    factor = SPREAD**2 + normal
    truth = {
        "share of the first": variances[0] / variances.sum(),
        "participation ratio": variances.sum() ** 2 / (variances**2).sum(),
        "coupling": SPREAD**2 / factor,
        "R2 of the first": normal / (normal + factor),
    }
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in truth}
    for seed in range(replicates):
        found = modes(linear(seed, samples))
        first = found.modes[0]
        for name, pair in zip(
            truth,
            (
                (first.share, first.share_error),
                (found.participation_ratio, found.participation_ratio_error),
                (found.coupling, found.coupling_error),
                (first.r_squared, first.r_squared_error),
            ),
            strict=True,
        ):
            rows[name].append(pair)
    text = (
        f"\n## A linear network, in closed form\n\n{replicates} data sets of {samples:,} samples: `y = w.x` with "
        "normal inputs of standard deviations 3, 2, 1, 0.5 along axes turned at random, times a lognormal scale of "
        f"each sample (standard deviation of its logarithm {SPREAD}), and normal errors. Modes are the axes; coupling "
        "`Var(ln s) / (Var(ln s) + pi^2/8)`, R2 `(pi^2/8) / (Var(ln s) + pi^2/4)`. Scatter: standard deviation over "
        "the data sets; standard error: what `modes` says of one, root mean square.\n\n"
        "| number | truth | mean | scatter | standard error | within two of them |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
    )
    for name, pairs in rows.items():
        values, errors = np.array(pairs).T
        inside = float((np.abs(values - truth[name]) < 2 * errors).mean())
        text += (
            f"| {name} | {truth[name]:.4f} | {values.mean():.4f} | {values.std(ddof=1):.4f} "
            f"| {np.sqrt((errors**2).mean()):.4f} | {inside:.0%} |\n"
        )
    print(text, flush=True)
    return text


# Cost


def large_system(samples: int) -> NeuralSystem:
    """Network of 9.4 million variables."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(784, 2700), nn.ReLU(), nn.Linear(2700, 2700), nn.ReLU(), nn.Linear(2700, 10)
    )  # fmt: skip
    t = torch.arange(samples) % 10
    x = torch.randn(samples, 784) + torch.randn(10, 784)[t]
    return NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))


def measured_cost(samples: int) -> None:
    """Print processor seconds of a measurement and of the modes, and the peak of memory in GB, in its own process."""
    system = large_system(samples)
    before = time.process_time()
    measure(system)
    between = time.process_time()
    modes(system)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(between - before, time.process_time() - between, peak)


def cost() -> str:
    """Table of times and memory."""
    text = (
        "\n## Cost\n\nProcessor time of one core. The matrix of all changes of a half would take the memory in the "
        "last column.\n\n| network | samples | variables | measurement | modes | peak of memory | matrix |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
    )
    for samples in (128, 512):
        done = subprocess.run(
            [sys.executable, __file__, "--cost", str(samples)], capture_output=True, text=True, check=True
        )
        measurement, found, peak = map(float, done.stdout.split())
        matrix = 9_439_210 * samples / 2 * 8 / 1e9
        text += (
            f"| 784-2700-2700-10 | {samples} | 9,439,210 | {measurement:.0f} s | {found:.0f} s | {peak:.1f} GB "
            f"| {matrix:.1f} GB |\n"
        )
    small = NeuralSystem(tanh_network(10, 16, 16, 1), Composition("sigmoid", "bce"), TensorDataset(*gaussian_classes()))
    for words, exact in (("decomposed as a whole", True), ("randomised", False)):
        start = time.process_time()
        measure(copy.deepcopy(small))
        middle = time.process_time()
        modes(small, exact=exact)
        end = time.process_time()
        text += f"| 10-16-16-1, {words} | 20,000 | 465 | {middle - start:.1f} s | {end - middle:.1f} s | | 0.04 GB |\n"
    print(text, flush=True)
    return text


def main() -> None:
    """Make all tables and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--skip-large", action="store_true", help="leave out the network of 9.4 million variables")
    parser.add_argument("--cost", type=int, help="print the cost for so many samples, and nothing else")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "modes_measured.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.cost:
        measured_cost(arguments.cost)
        return
    text = HEADER + networks() + through_training() + closed_form(arguments.replicates)
    if not arguments.skip_large:
        text += cost()
    write_whole(arguments.out, text.encode())


if __name__ == "__main__":
    main()
