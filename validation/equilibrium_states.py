"""Is a certificate of equilibrium right? States whose truth is known or found; writes ``docs/equilibrium_states.md``.

python validation/equilibrium_states.py            # 10 seeds a state, about half an hour of processor time
python validation/equilibrium_states.py --seeds 2 --series 500
"""

import argparse
import copy
import functools
import multiprocessing
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.signal
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn import Composition, NeuralSystem, measure
from critlearn.equilibrium import Certificate, certify
from critlearn.equilibrium.criteria import LOSS_WINDOW
from critlearn.equilibrium.trend import loss_trend
from critlearn.whole_files import write_whole

Data = tuple[Tensor, Tensor]
Losses = Callable[[Tensor, Tensor], Tensor]

COOLING, COOLED = 20, 0.01
"""Epochs, a quarter of them at most, over which the learning rate falls at the end, and the factor to which it does."""

LONGER = 10
"""How many times longer a copy is trained to find the truth."""

FALL = 0.02
"""Relative fall of the loss from which on a state was none."""


# Data sets


def xor(seed: int) -> Data:
    """Four clusters at (+-1, +-1), of the class of the product."""
    generator = np.random.default_rng(seed)
    signs = generator.choice([-1.0, 1.0], (4000, 2))
    return _tensors(signs + 0.15 * generator.normal(size=signs.shape), signs[:, 0] * signs[:, 1])


def rare_feature(seed: int) -> Data:
    """Logistic classes, and a feature that is set on 30 of 4,000 samples, all of one class."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(4000, 4))
    x[:, 3] = 0
    x[generator.choice(4000, 30, replace=False), 3] = 1
    t = np.where(generator.random(4000) < 1 / (1 + np.exp(-x[:, :3].sum(axis=1))), 1.0, -1.0)
    t[x[:, 3] == 1] = 1
    return _tensors(x, t)


def gaussians(seed: int, samples: int = 4000, noise: float = 0.0) -> Data:
    """Two Gaussian classes, which overlap, and a share of the labels turned."""
    generator = np.random.default_rng(seed)
    t = generator.choice([-1.0, 1.0], samples)
    x = generator.normal(size=(samples, 2))
    x[:, 0] += t
    return _tensors(x, np.where(generator.random(samples) < noise, -t, t))


def waves(seed: int, noise: float, samples: int = 4000) -> Data:
    """Two classes with a wavy boundary, and a share of the labels turned."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(samples, 2))
    t = np.sign(x[:, 0] + np.sin(2 * x[:, 1]))
    return _tensors(x, np.where(generator.random(samples) < noise, -t, t))


def three_or_eight(seed: int) -> Data:
    """Digits 3 and 8 of the 8 x 8 digits."""
    digits = load_digits(n_class=10)
    chosen = np.isin(digits.target, (3, 8))
    x = digits.data[chosen] / 16
    return _tensors(x - x.mean(axis=0), np.where(digits.target[chosen] == 8, 1.0, -1.0))


def ten_digits(seed: int, noise: float) -> Data:
    """The ten classes of 8 x 8 digits as images, with a share of the labels at random."""
    generator = np.random.default_rng(seed)
    digits = load_digits(n_class=10)
    t = np.where(
        generator.random(len(digits.target)) < noise, generator.integers(0, 10, len(digits.target)), digits.target
    )
    return torch.from_numpy(digits.images / 16).float()[:, None], torch.from_numpy(t).long()


def _tensors(x: np.ndarray, t: np.ndarray) -> Data:
    return torch.from_numpy(x).float(), torch.from_numpy(t).float()[:, None]


# Networks


def network(*widths: int, activation: type[nn.Module] = nn.Tanh, scale: float = 1.0, norm: bool = False) -> nn.Module:
    """Feed-forward network of one output, its initial weights times a scale."""
    layers: list[nn.Module] = []
    for into, out in pairwise(widths):
        layers += [nn.Linear(into, out), *([nn.LayerNorm(out)] if norm else []), activation()]
    model = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(scale)
    return model


def half_dead() -> nn.Module:
    """Network of ReLU, half of whose units no sample reaches."""
    model = network(2, 16, activation=nn.ReLU)
    with torch.no_grad():
        model.get_parameter("0.bias")[:8] = -50.0
    return model


def convolutional(channels: int = 4) -> nn.Module:
    """Small convolutional network of ten classes."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 3), nn.ReLU(), nn.Conv2d(channels, channels, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(4 * channels, 10),
    )  # fmt: skip


def logistic(y: Tensor, t: Tensor) -> Tensor:
    """Logistic cross-entropy of classes -1 and +1."""
    return nn.functional.softplus(-t * y).mean()


# States


@dataclass(frozen=True)
class State:
    """A training in a plain loop of torch, at the end of which the state is certified.

    ``expected`` are the statuses that are right, where they are known; ``told`` is whether its decay is told: what is
    certified without it is the loss alone, and the truth is found without decay. ``history`` is whether the losses of
    all epochs are given, too.
    """

    data: Callable[[int], Data]
    model: Callable[[], nn.Module]
    optimiser: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
    epochs: int
    batch: int = 100
    expected: tuple[str, ...] = ()
    told: bool = True
    history: bool = False
    losses: Losses = logistic
    precision: torch.dtype = torch.float32

    @property
    def loss(self) -> Composition | nn.Module:
        """Loss in words of the library."""
        return Composition("sigmoid", "bce") if self.losses is logistic else nn.CrossEntropyLoss()


Adam = functools.partial(functools.partial, torch.optim.Adam, fused=True)
AdamW = functools.partial(functools.partial, torch.optim.AdamW, fused=True)
SGD = functools.partial(functools.partial, torch.optim.SGD, fused=True)
LBFGS = functools.partial(
    torch.optim.LBFGS, max_iter=100, tolerance_grad=1e-9, tolerance_change=1e-15, line_search_fn="strong_wolfe"
)
WHOLE = 1_000_000
"""Batch of all samples."""

sixteen, four = functools.partial(network, 2, 16), functools.partial(network, 2, 4)
decayed = functools.partial(
    State, three_or_eight, functools.partial(network, 64, 32), AdamW(lr=1e-3, weight_decay=1.0), 300, 32
)
held = functools.partial(
    State, functools.partial(gaussians, samples=2000), sixteen, AdamW(lr=3e-3, weight_decay=2.0), 20, 20
)

KNOWN: dict[str, State] = {
    # One seed in ten has begun to leave the saddle.
    "XOR, small initial weights, epoch 30": State(
        xor, functools.partial(network, 2, 16, scale=0.03), Adam(lr=1e-3), 30, expected=("SADDLE", "DRIFTING")
    ),
    "feature on 30 of 4,000 samples": State(
        rare_feature, lambda: nn.Linear(4, 1), Adam(lr=0.02), 100, expected=("DRIFTING",)
    ),
    "digits 3 and 8, AdamW with decay 1, not told": decayed(expected=("SEPARABLE",), told=False),
    "digits 3 and 8, AdamW with decay 1, told": decayed(expected=("SEPARABLE",)),
    "Gaussian classes, AdamW with decay 2, not told": held(expected=("DRIFTING",), told=False),
    "Gaussian classes, AdamW with decay 2, told": held(expected=("HELD_BY_DECAY",)),
    "Gaussian classes, network": State(gaussians, sixteen, Adam(lr=3e-3), 50, expected=("EQUILIBRIUM",)),
    "Gaussian classes, logistic regression, full batch": State(
        functools.partial(gaussians, samples=600), lambda: nn.Linear(2, 1), LBFGS, 5, WHOLE,
        expected=("EQUILIBRIUM",), precision=torch.float64,
    ),
}  # fmt: skip
"""States of theory, section 12, and true equilibria."""

FURTHER: dict[str, State] = {
    "Gaussian classes, SGD, rate 0.1": State(gaussians, sixteen, SGD(lr=0.1), 50),
    "Gaussian classes, SGD, rate 0.01": State(gaussians, sixteen, SGD(lr=0.01), 50),
    "Gaussian classes, SGD, rate 0.001": State(gaussians, sixteen, SGD(lr=0.001), 50),
    "Gaussian classes, 10% label noise, Adam, rate 0.01": State(
        functools.partial(gaussians, noise=0.1), sixteen, Adam(lr=0.01), 50
    ),
    "wavy boundary, 10% label noise, 2,000 samples, Adam, rate 0.01": State(
        functools.partial(waves, noise=0.1, samples=2000), sixteen, Adam(lr=0.01), 100
    ),
    "wavy boundary, 5% label noise, Adam, rate 0.001": State(
        functools.partial(waves, noise=0.05), sixteen, Adam(lr=0.001), 50
    ),
    "wavy boundary, 2% label noise, Adam, rate 0.0001": State(
        functools.partial(waves, noise=0.02), sixteen, Adam(lr=0.0001), 50
    ),
    "wavy boundary, no label noise, Adam, rate 0.01": State(
        functools.partial(waves, noise=0.0), sixteen, Adam(lr=0.01), 50
    ),
    "half the units dead": State(gaussians, half_dead, Adam(lr=3e-3), 50),
    "layer normalisation": State(gaussians, functools.partial(network, 2, 16, norm=True), Adam(lr=3e-3), 50),
    "convolutions, ten classes": State(
        functools.partial(ten_digits, noise=0.0), convolutional, Adam(lr=3e-3), 60, losses=nn.functional.cross_entropy
    ),
    "convolutions, ten classes, 10% label noise": State(
        functools.partial(ten_digits, noise=0.1), functools.partial(convolutional, 2), Adam(lr=3e-3), 100,
        losses=nn.functional.cross_entropy,
    ),
    "Gaussian classes, 4 units, full batch": State(gaussians, four, Adam(lr=0.01), 1000, WHOLE),
}  # fmt: skip
"""States of which it is found out whether they stay where they are."""

whole = functools.partial(State, functools.partial(gaussians, samples=2000), sixteen, Adam(lr=0.01), 2000, WHOLE)
LIMIT = {"full batch": whole(), "full batch, with the history of its loss": whole(history=True)}
"""What the certificate does not see: single samples that are fitted along valleys in which the loss is nearly flat."""


def train(
    state: State, model: nn.Module, optimiser: torch.optim.Optimizer, data: Data, epochs: int, seed: int
) -> list[float]:
    """Train for some epochs in random order, the learning rate falling at the end; mean loss of each epoch."""
    x, t = data
    generator = torch.Generator().manual_seed(seed)
    full = [group["lr"] for group in optimiser.param_groups]
    cooling = min(COOLING, epochs // 4)
    losses = []

    for epoch in range(1, epochs + 1):
        for group, rate in zip(optimiser.param_groups, full, strict=True):
            group["lr"] = rate * COOLED ** (max(0, epoch - epochs + cooling) / max(cooling, 1))
        total = 0.0
        for chosen in torch.randperm(len(x), generator=generator).split(state.batch):
            part, target = (x, t) if len(chosen) == len(x) else (x[chosen], t[chosen])

            def step(part: Tensor = part, target: Tensor = target) -> Tensor:
                optimiser.zero_grad()
                loss = state.losses(model(part), target)
                loss.backward()
                return loss

            loss: Tensor = optimiser.step(step)  # type: ignore[arg-type, assignment]
            total += float(loss.detach()) * len(chosen)
        losses.append(total / len(x))
    for group, rate in zip(optimiser.param_groups, full, strict=True):
        group["lr"] = rate
    return losses


@torch.no_grad()
def loss_and_length(state: State, model: nn.Module, data: Data) -> tuple[float, float]:
    """Mean loss over all samples, and length of all variables."""
    length = sum(float(value.double().square().sum()) for value in model.parameters()) ** 0.5
    return float(state.losses(model(data[0]).double(), data[1])), length


def trained(state: State, seed: int) -> tuple[nn.Module, torch.optim.Optimizer, Data, list[float]]:
    """Network at the end of its training, its optimiser, its data, and the losses of the epochs."""
    torch.manual_seed(seed)
    x, t = state.data(seed)
    model = state.model().to(state.precision)
    data = x.to(state.precision), t.to(state.precision) if t.is_floating_point() else t
    optimiser = state.optimiser(model.parameters())
    losses = train(state, model, optimiser, data, state.epochs, seed)
    return model, optimiser, data, losses


def certified(
    state: State, model: nn.Module, optimiser: torch.optim.Optimizer, data: Data, losses: list[float]
) -> Certificate:
    """Certificate of the network as it is."""
    system = NeuralSystem(model, state.loss, TensorDataset(*data))
    told = state.told and optimiser.param_groups[0].get("weight_decay")
    return certify(system, optimizer=optimiser if told else None, losses=losses if state.history else None)


@dataclass(frozen=True)
class Outcome:
    """Certificate of a state, in numbers, and what became of a copy that was trained ten times longer."""

    status: str
    certified: bool
    drift: float
    coherence: float
    coherent: float
    gain: float | None
    loss: tuple[float, float]
    length: tuple[float, float]

    @property
    def stays(self) -> bool:
        """The truth: whether the loss stayed where it was."""
        return self.loss[1] >= (1 - FALL) * self.loss[0]


def outcome(case: tuple[str, int]) -> Outcome:
    """Train, certify, and train a copy on."""
    name, seed = case
    state = (KNOWN | FURTHER | LIMIT)[name]
    torch.set_num_threads(1)
    model, optimiser, data, losses = trained(state, seed)
    found = certified(state, model, optimiser, data, losses)
    before = loss_and_length(state, model, data)
    longer = copy.deepcopy(model)
    same = state.optimiser(longer.parameters())
    same.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    if not state.told:
        for group in same.param_groups:
            group["weight_decay"] = 0.0
    train(state, longer, same, data, (LONGER - 1) * state.epochs, seed + 1000)
    after = loss_and_length(state, longer, data)
    return _outcome(found, *zip(before, after, strict=True))


def _outcome(found: Certificate, loss: tuple[float, float], length: tuple[float, float]) -> Outcome:
    drift = found.drift if found.decayed is None else found.decayed
    return Outcome(
        str(found.status),
        found.certified,
        max((pull.ratio for pull in drift.pulls), default=0.0),
        max((pull.coherence for pull in drift.pulls), default=0.0),
        drift.coherent,
        None if found.curvature is None else found.curvature.gain,
        loss,
        length,
    )


# Tables


def _table(columns: list[str], rows: Iterable[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _median(values: Iterable[float | None], form: str = ".2g") -> str:
    known = [value for value in values if value is not None]
    return format(statistics.median(known), form) if known else ""


def _row(name: str, found: list[Outcome], expected: tuple[str, ...]) -> list[str]:
    statuses = Counter(one.status for one in found)
    row = [
        name,
        ", ".join(f"{status} {count}" for status, count in statuses.most_common()),
        _median(one.drift for one in found),
        _median(one.coherence for one in found),
        _median(one.gain for one in found),
        " -> ".join(_median((one.loss[at] for one in found), ".3g") for at in (0, 1)),
        " -> ".join(_median((one.length[at] for one in found), ".3g") for at in (0, 1)),
        f"{sum(one.stays for one in found)} of {len(found)}",
    ]
    if expected:
        return [*row, str(sum(one.status not in expected for one in found))]
    return [
        *row,
        str(sum(one.certified and not one.stays for one in found)),
        str(sum(not one.certified and one.stays for one in found)),
    ]


COLUMNS = ["state", "status", "drift", "coherence", "descent", "loss", "length of the weights", "stays"]


def state_tables(seeds: int, pool: ProcessPoolExecutor | None) -> list[str]:
    """Tables of the states whose status is known, of those whose truth is found, and of the limit."""
    tables, both = [], ["false certificate", "false refusal"]
    for states, last in ((KNOWN, ["wrong status"]), (FURTHER, both), (LIMIT, both)):
        rows = []
        for name, state in states.items():
            cases = [(name, seed) for seed in range(seeds)]
            found = list(map(outcome, cases) if pool is None else pool.map(outcome, cases))
            rows.append(_row(name, found, state.expected))
            print(" | ".join(rows[-1]), flush=True)
        if states is FURTHER:
            sums = [str(sum(int(row[at]) for row in rows)) for at in (-2, -1)]
            rows.append(["all", *[""] * (len(COLUMNS) - 1), *sums])
        tables.append(_table(COLUMNS + last, rows))
    return tables


# Trend of the loss


def _noise(coefficient: float, length: int, series: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Autoregressive series of unit variance."""
    for _ in range(series):
        white = generator.standard_normal(length + 50) * np.sqrt(1 - coefficient**2)
        yield scipy.signal.lfilter([1], [1, -coefficient], white)[50:]


def refusals(coefficient: float, check: int, series: int) -> tuple[float, float]:
    """Share of stationary series that a check refuses, and its standard error."""
    generator = np.random.default_rng([21, check, round(100 * coefficient) % 1000])
    refused = [
        not loss_trend(list(1 + 0.01 * noise), check=check).stationary  # type: ignore[union-attr]
        for noise in _noise(coefficient, LOSS_WINDOW, series, generator)
    ]
    return _share(refused)


def acceptances(coefficient: float, fall: float, series: int) -> tuple[float, float]:
    """Share of series falling by so much per epoch that any of the checks of 1,000 epochs accepts, and its error."""
    generator = np.random.default_rng([22, round(1000 * fall), round(100 * coefficient) % 1000])
    accepted = []
    for noise in _noise(coefficient, 1000, series, generator):
        losses = list(100 + 0.01 * (noise - fall * np.arange(1000)))
        trends = (
            loss_trend(losses[epoch - LOSS_WINDOW : epoch], check=number + 1)
            for number, epoch in enumerate(range(LOSS_WINDOW, 1001, 10))
        )
        accepted.append(any(trend is not None and trend.stationary for trend in trends))
    return _share(accepted)


def _share(found: list[bool]) -> tuple[float, float]:
    share = sum(found) / len(found)
    return share, max(share * (1 - share), 1 / len(found)) ** 0.5 / len(found) ** 0.5


def trend_table(series: int) -> str:
    """Rates of refusal and acceptance."""
    rows = [
        [f"stationary, {kind}", "refused", f"{check}", f"{10 * series:,}", *_percent(refusals(a, check, 10 * series))]
        for kind, a in (("white noise", 0.0), ("autoregressive 0.5", 0.5))
        for check in (1, 10, 95)
    ]
    rows += [
        [
            f"falling {fall:g} per epoch, {kind}",
            "accepted",
            "1 to 95",
            f"{series:,}",
            *_percent(acceptances(a, fall, series)),
        ]
        for fall, kind, a in (
            (0.1, "white noise", 0.0),
            (0.1, "autoregressive 0.5", 0.5),
            (0.1, "autoregressive -0.3", -0.3),
            (0.2, "white noise", 0.0),
        )
    ]
    return _table(["loss", "what is counted", "check", "series", "rate", "its standard error"], rows)


def _percent(found: tuple[float, float]) -> list[str]:
    return [f"{value:.2%}" for value in found]


# Cost


def _million() -> NeuralSystem:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 1000), nn.ReLU(), nn.Linear(1000, 200), nn.ReLU(), nn.Linear(200, 10))
    x, t = torch.rand(10_000, 784), torch.randint(10, (10_000,))
    return NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))


def cost(what: str) -> tuple[float, float]:
    """Processor time in seconds and peak of memory in MiB, beyond that of network and data."""
    system = _million()
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    if what == "measure":
        measure(system)
    else:
        certify(system, leave_out=() if what == "certify" else ("curvature", "directions"))
    spent = time.process_time() - start
    return spent, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) / 1024


def cost_table(repeats: int) -> str:
    """Median costs, each in a fresh process, one after the other."""
    names = ("measure", "certify", "certify without curvature and directions")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    context = multiprocessing.get_context("spawn")
    for _ in range(repeats):
        for name in names:
            with ProcessPoolExecutor(1, mp_context=context) as fresh:
                found[name].append(fresh.submit(cost, name).result())
    rows = []
    for name in names:
        seconds = _median((one[0] for one in found[name]), ".1f")
        memory = _median((one[1] for one in found[name]), ".0f")
        rows.append([name, seconds, memory])
    return _table(["what", "processor time [s]", "peak of memory [MiB]"], rows)


PAGE = """# Is a certificate of equilibrium right?

Made by `python validation/equilibrium_states.py{options}`: {seeds} seeds a state, all criteria as they are by default.

Each state is the end of a training in a plain loop of torch, certified without a history of its loss but where it is
said. The truth is
found by training a copy on, ten times longer in all, with the same optimiser; at both ends the learning rate falls to a
hundredth, so that noise of training does not count. A state *stays* if the loss falls by at most {fall:.0%} of itself.
The length of the weights is shown beside it and decides nothing: noise carries the weights of a network ever further
along directions in which its loss is flat. Where decay is not told, the copy is trained without it: then the
certificate speaks of the loss alone.

*Drift*, *coherence*: the largest along any layer's weights or principal direction. *Descent*: relative fall of the loss
along the lowest curvature, where it was looked at. Numbers are medians; arrows lead from the state to the end of the
longer training.

## States whose status is known

{tables[0]}
## Further states

{tables[1]}
## What is not seen

Sixteen units, trained on all 2,000 samples at once for 2,000 epochs, fit single samples along valleys in which the loss
is nearly flat: drift, coherence and a short descent are those of an equilibrium, and over 18,000 epochs more the loss
falls by some hundredths. The history of the loss shows it.

{tables[2]}
## Trend of the loss

Standard deviations of the noise are the unit of a fall. A check at level 0.1 / (k (k + 1)) is the k-th of one training:
95 checks are those of 1,000 epochs, one every 10.

{trend}
## Cost

Network 784-1000-200-10 of a million variables in single precision with cross-entropy, 10,000 samples, one thread;
medians of {repeats} runs, each in a fresh process. The peak is that beyond network and data.

{cost}"""


def main() -> None:
    """Train, certify, train on, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="Seeds a state.")
    parser.add_argument(
        "--series", type=int, default=4000, help="Falling series; of stationary ones ten times as many."
    )
    parser.add_argument("--repeats", type=int, default=3, help="Measurements of each cost.")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/equilibrium_states.md"))
    arguments = parser.parse_args()
    given = ("seeds", "series", "repeats")
    options = "".join(
        f" --{name} {getattr(arguments, name)}"
        for name in given
        if getattr(arguments, name) != parser.get_default(name)
    )
    if arguments.workers == 1:
        tables = state_tables(arguments.seeds, None)
    else:
        with ProcessPoolExecutor(arguments.workers) as pool:
            tables = state_tables(arguments.seeds, pool)
    text = PAGE.format(
        options=options, seeds=arguments.seeds, fall=FALL, tables=tables,
        trend=trend_table(arguments.series), repeats=arguments.repeats, cost=cost_table(arguments.repeats),
    )  # fmt: skip
    write_whole(arguments.out, text.encode())
    print(text)


if __name__ == "__main__":
    main()
