"""The ladder of predictions for every variable of trained networks of many kinds: writes ``docs/ladder_measured.md``.

python validation/ladder.py                           # about 20 minutes of one core
python validation/ladder.py --store build/ladder      # rows that are there are not made again
python validation/ladder.py --only moons --out /tmp/page.md
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, Final, NamedTuple

import torch
from sklearn.datasets import make_moons
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn import Composition, NeuralSystem, equilibrate, fit_power_law
from critlearn.comparison.agreement import Agreement
from critlearn.comparison.ladder.ladder import Ladder
from critlearn.comparison.ladder.level import explanation, sufficient
from critlearn.comparison.system_prediction import measure_with_ladder
from critlearn.equilibrium import Approach
from critlearn.inference import PowerLawFit
from critlearn.network import feed_forward
from critlearn.numerics.window import Window
from critlearn.studies import ClassData, load_data
from critlearn.whole_files import write_whole

ROOT = Path(__file__).resolve().parent.parent

NEAR: Final = 0.05
"""Difference of exponents that counts as none: the margin of agreement."""

WITHIN: Final = 1.5
"""Times the noise that the third level, an identity, may be away from the measurement."""

QUANTILES: Final = (0.02, 0.5)
"""Quantiles between which the theory's tables take exponents."""

SEARCHED, QUANTILE = "searched", "2% to 50%"

CHARACTERS: Final = 24
"""Length of the pieces of text."""

FLIGHTS: Final = "flights, "

COMPOSITIONS: Final = tuple(
    f"{FLIGHTS}{activation}+{loss}"
    for activation, loss in product(("sigmoid", "tanh", "softsign", "arctan", "isru", "algebraic-3"), ("bce", "mse"))
)

THEORY: Final[Mapping[str, tuple[Sequence[float], Sequence[float]]]] = {
    "flights, sigmoid+bce": ((0.596, 0.624, 0.519, 0.584, 0.462, 0.540), (0.587, 0.618, 0.515, 0.572, 0.468, 0.546)),
    "flights, softsign+mse": ((0.589, 0.625, 0.472, 0.605, 0.484, 0.618), (0.565, 0.610, 0.479, 0.583, 0.515, 0.661)),
    "flights, tanh+mse, 8-16-1": ((0.721, 0.725, 0.705, 0.711), (0.723, 0.729, 0.709, 0.720)),
}
"""Measured exponents and those of level 1 in the theory's tables, layer by layer, bias before weight: of networks that
were trained by other code, on windows of other ends."""


# Networks


class Decoder(nn.Module):
    """Language model of characters: causal attention and dense layers."""

    def __init__(self, vocabulary: int, width: int = 32, layers: int = 2) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(CHARACTERS, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers + 1))
        self.attention = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(layers))
        self.mixed = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.up = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(layers))
        self.down = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(layers))
        self.head = nn.Linear(width, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each position."""
        y = self.words(x) + self.places(torch.arange(x.shape[1]))
        for number, attention in enumerate(self.attention):
            q, k, v = attention(self.norms[2 * number](y)).unflatten(2, (6, -1)).transpose(1, 2).chunk(3, dim=1)
            mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            y = y + self.mixed[number](mixed.transpose(1, 2).flatten(2))
            y = y + self.down[number](nn.functional.gelu(self.up[number](self.norms[2 * number + 1](y))))
        return self.head(self.norms[-1](y))


class Recurrent(nn.Module):
    """Language model of characters: a recurrent layer with gates."""

    def __init__(self, vocabulary: int, width: int = 32) -> None:
        super().__init__()
        self.words, self.layer = nn.Embedding(vocabulary, width), nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each position."""
        return self.head(self.layer(self.words(x))[0])


def text_system(make: Callable[[int], nn.Module], pieces: int = 4000) -> NeuralSystem:
    """System of a language model of characters on pieces of the standard library's help texts."""
    text = "".join(topics[name] for name in sorted(topics))
    letters = {letter: number for number, letter in enumerate(sorted(set(text)))}
    codes = torch.tensor([letters[letter] for letter in text])
    codes = codes[: len(codes) // (CHARACTERS + 1) * (CHARACTERS + 1)].view(-1, CHARACTERS + 1)
    codes = codes[torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))[:pieces]]
    torch.manual_seed(0)
    data = TensorDataset(codes[:, :-1].contiguous(), codes[:, 1:].contiguous())
    return NeuralSystem(make(len(letters)), nn.CrossEntropyLoss(), data)


@cache
def language(make: Callable[[int], nn.Module], epochs: int = 30) -> Approach:
    """Language model after a training of so many epochs: far from overfitting, and no certified equilibrium."""
    return equilibrate(text_system(make), epochs=epochs, batch_size=50, lr=3e-3)


def classes(
    data: str,
    loss: Composition | nn.Module,
    hidden: tuple[int, ...] = (32, 32),
    **training: Any,
) -> Approach:
    """Dense tanh network on a data set, trained to a certificate or for the epochs that are given."""
    found = {"moons": moons, "Gaussian": gaussian}[data]() if data in ("moons", "Gaussian") else load_data(data)
    softmax = isinstance(loss, nn.Module)
    targets = found.labels if softmax else found.signs.double()
    model = feed_forward(found.x.shape[1], hidden, "tanh", seed=0, outputs=found.classes if softmax else 1)
    system = NeuralSystem(model, loss, TensorDataset(found.x.double(), targets))
    return equilibrate(system, **{"batch_size": min(2000, len(targets) // 4), "lr": 0.01, "epochs": 200, **training})


def moons(samples: int = 20_000) -> ClassData:
    """Two half moons that overlap, ten times as many as `load_data` has."""
    x, labels = make_moons(samples, noise=0.3, random_state=0)
    return ClassData(torch.from_numpy(x), torch.from_numpy(labels), "moons", ("upper", "lower"), "scikit-learn")


def gaussian(samples: int = 20_000) -> ClassData:
    """Two Gaussian classes of ten features, whose means are two and a half deviations apart."""
    torch.manual_seed(0)
    labels = torch.randint(2, (samples,))
    x = torch.randn(samples, 10, dtype=torch.float64) + 0.8 * (labels[:, None] - 0.5)
    return ClassData(x, labels, "Gaussian", ("lower", "upper"), "drawn")


def convolutional() -> Approach:
    """Convolutional network on the ten digits, held by weight decay."""
    found = load_data("digits")
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(128, 10)
    ).double()  # fmt: skip
    data = TensorDataset(found.x.double().reshape(-1, 1, 8, 8), found.labels)
    return equilibrate(NeuralSystem(model, nn.CrossEntropyLoss(), data), **HELD)


HELD: Final[Mapping[str, Any]] = {
    "batch_size": 200,
    "lr": 3e-3,
    "weight_decay": 1.0,
    "decoupled_weight_decay": True,
    "epochs": 300,
}
"""Training on data that the network separates: decay keeps the weights finite."""


class Case(NamedTuple):
    """A trained network, and single tokens to draw from its sequences."""

    train: Callable[[], Approach]
    tokens: int | None = None


def cases() -> dict[str, Case]:
    """All networks by name."""
    cross, logistic, longer = nn.CrossEntropyLoss(), Composition("sigmoid", "bce"), {**HELD, "epochs": 1500}
    return {
        **{
            name: Case(lambda name=name: classes("flights", Composition(*name.removeprefix(FLIGHTS).split("+"))))
            for name in COMPOSITIONS
        },
        "flights, three classes, softmax": Case(lambda: classes("flights:3", cross)),
        "moons, tanh+mse": Case(lambda: classes("moons", Composition("tanh", "mse"), (16, 16))),
        "Gaussian classes, softsign+mse": Case(lambda: classes("Gaussian", Composition("softsign", "mse"), (16, 16))),
        "digits, dense, softmax": Case(lambda: classes("digits", cross, (32,), **HELD)),
        "digits, convolutional, softmax": Case(convolutional),
        "decoder on text, sequences": Case(lambda: language(Decoder)),
        "decoder on text, single characters": Case(lambda: language(Decoder), 8000),
        "LSTM on text, sequences": Case(lambda: language(Recurrent)),
        "LSTM on text, single characters": Case(lambda: language(Recurrent), 8000),
        "breast cancer, sigmoid+bce": Case(lambda: classes("breast-cancer", logistic, (16,), **longer)),
        "flights, tanh+mse, 8-16-1": Case(lambda: classes("flights", Composition("tanh", "mse"), (16,))),
    }


# Rows


def rows_of(system: NeuralSystem) -> list[dict[str, Any]]:
    """Rows of all trainable variables of a network, for both windows of each, first layer first."""
    measured, steps = measure_with_ladder(system, joint=True)
    if isinstance(steps, str):
        raise SystemExit(steps)
    rows = []
    for name in (name for name in system.parameters if name in measured):
        sketch = measured[name]
        searched = fit_power_law(sketch, log_floor=measured.log_floor)
        rows.append({"quantity": name, "window": SEARCHED, **row_of(steps, name, searched)})
        if sketch.log_range is not None:
            low, high = (sketch.quantile(end) for end in QUANTILES)
            if measured.log_floor is not None:
                low = max(low, measured.log_floor)
            if low < high:
                central = fit_power_law(sketch, window=Window.from_logs(low, high), log_floor=measured.log_floor)
                rows.append({"quantity": name, "window": QUANTILE, **row_of(steps, name, central)})
    return rows


def row_of(steps: Ladder, name: str, fit: PowerLawFit) -> dict[str, Any]:
    """One quantity on one window, as plain values."""
    levels = steps.levels(name, fit)
    anatomy, found = steps.anatomy(name, fit), sufficient(levels)
    counted = [level for level in levels if level.agreement is not None]
    return {
        "exponent": fit.exponent,
        "interval": fit.ci95,
        "decades": None if fit.window is None else fit.window.decades,
        "low": None if fit.window is None else fit.window.log_lo,
        "high": None if fit.window is None else fit.window.log_hi,
        "grade": str(fit.grade),
        "levels": {str(level.level): level.to_dict() for level in levels},
        "suffices": None if found is None else found.level,
        "decided": found is not None or (bool(counted) and counted[-1].agreement is Agreement.DISAGREES),
        "explanation": explanation(levels),
        "anatomy": None if anatomy is None else anatomy.to_dict(),
    }


def system_rows(name: str, case: Case, store: Path | None) -> dict[str, Any]:
    """Rows of a network with what its certificate says, from the store if they are there."""
    path = None if store is None else store / f"{name.replace(' ', '_')}.json"
    if path is not None and path.exists():
        return json.loads(path.read_text())
    begun = time.process_time()
    approach = case.train()
    system = approach.system if case.tokens is None else approach.system.tokens(case.tokens)
    trained = time.process_time()
    rows = rows_of(system)
    found = {
        "status": approach.certificate.status.words,
        "samples": len(system),
        "rows": rows,
        "seconds": [trained - begun, time.process_time() - trained],
    }
    if path is not None:
        write_whole(path, json.dumps(found).encode())
    return found


# Page

HEADER = """# The ladder, measured

What each level of [the ladder](ladder.md) says of every trainable variable of trained networks, beside what is
measured. Two windows for each: the one that is searched for, and the one from the 2% to the 50% quantile of the
theory's tables. *k*: measured exponent, and that of a level on the same window. *KS*: distance of `ln|delta|` between
what one half of the samples predicts and what is measured on the other, beside *noise*, the distance of the two
measured halves; *p*: probability of such a distance if the level were right. It does not depend on the window. Level 3
is an identity, which checks the machinery: *3 / noise* is its distance in units of the noise. *Suffices*: the lowest
level that agrees in distance and exponent within {near}; "no" if the highest disagrees, "?" if it cannot be told.

Made by `python validation/ladder.py` (part of `make validate`).
"""


def number(value: float | None, digits: int = 3) -> str:
    """A number in a cell; a dash if there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def level_of(row: Mapping[str, Any], level: int) -> Mapping[str, Any]:
    """Entries of a level; empty if there is none."""
    return row["levels"].get(str(level), {})


def prediction(row: Mapping[str, Any], level: int) -> bool:
    """Whether a level of a row is a prediction that can fail, and gives an exponent beside a measured one."""
    found = level_of(row, level)
    return bool(found) and None not in (found["agreement"], found["exponent"], row["exponent"])


def shares(rows: Sequence[Mapping[str, Any]], level: int) -> str:
    """How often a level gives an exponent as near as counts."""
    there = [row for row in rows if prediction(row, level)]
    near = sum(abs(level_of(row, level)["exponent"] - row["exponent"]) <= NEAR for row in there)
    return f"{near} of {len(there)}"


def outcome(row: Mapping[str, Any]) -> str:
    """Lowest level that suffices, in a cell."""
    if row["suffices"] is not None:
        return str(row["suffices"])
    return "no" if row["decided"] else "?"


def system_table(name: str, found: Mapping[str, Any]) -> str:
    """Section of one network."""
    text = (
        f"\n### {name[0].upper()}{name[1:]}\n\n{found['samples']:,} samples; state: {found['status']}.\n\n"
        "| quantity | window | decades | k | level 0: k | 1: k | KS | p | 2: k | KS | p | 3: k | noise | 3 / noise "
        "| suffices |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    for row in found["rows"]:
        first, second, third = (level_of(row, level) for level in (1, 2, 3))
        cells = [f"`{row['quantity']}`", row["window"], number(row["decades"], 1), number(row["exponent"])]
        cells.append(number(level_of(row, 0).get("exponent")))
        for level in (first, second):
            cells += [number(level.get("exponent")), number(level.get("distance")), number(level.get("p_value"))]
        cells += [number(third.get("exponent")), number(third.get("noise")), number(times_noise(row), 2), outcome(row)]
        text += f"| {' | '.join(cells)} |\n"
    return text


def times_noise(row: Mapping[str, Any]) -> float | None:
    """Distance of the third level in units of the noise."""
    third = level_of(row, 3)
    return third["distance"] / third["noise"] if third and third["noise"] else None


def summary(every: Mapping[str, Mapping[str, Any]]) -> str:
    """Section of what all networks say together."""
    text = (
        "\n## Summary\n\n*Level 1*, *level 2*: how often its exponent is within "
        f"{NEAR} of the measured one, of those that are predictions (an output bias, whose path factor is one number, "
        "has no second level that could fail). *0*, *1*, *2*: how often it is the lowest level that suffices; *no*: "
        "none does; *?*: it cannot be told.\n\n"
        "| network | window | quantities | level 1 | level 2 | 0 | 1 | 2 | no | ? | decided |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    groups = {"flights, twelve compositions": [name for name in every if name in COMPOSITIONS]}
    groups |= {name: [name] for name in every if name not in COMPOSITIONS}
    groups["**all**"] = [*every]
    for title, names in groups.items():
        for window in (SEARCHED, QUANTILE):
            rows = [row for name in names for row in every[name]["rows"] if row["window"] == window]
            if rows:
                outcomes = Counter(outcome(row) for row in rows)
                counts = " | ".join(str(outcomes[kind]) for kind in ("0", "1", "2", "no", "?"))
                decided = sum(row["decided"] for row in rows) / len(rows)
                cells = f"{len(rows)} | {shares(rows, 1)} | {shares(rows, 2)} | {counts} | {decided:.0%}"
                text += f"| {title} | {window} | {cells} |\n"
    return text + third_level(every)


def third_level(every: Mapping[str, Mapping[str, Any]]) -> str:
    """Paragraph on the check of the machinery."""
    ratios = {
        (name, row["quantity"]): ratio
        for name, found in every.items()
        for row in found["rows"]
        if row["window"] == SEARCHED and (ratio := times_noise(row)) is not None
    }
    beyond = {place: ratio for place, ratio in ratios.items() if ratio > WITHIN}
    text = (
        f"\nThe third level is within {WITHIN} times the noise in {len(ratios) - len(beyond)} of {len(ratios)} "
        f"quantities, at the median {sorted(ratios.values())[len(ratios) // 2]:.2f} times."
    )
    if beyond:
        listed = "; ".join(f"{name}: `{quantity}` {ratio:.2f}" for (name, quantity), ratio in beyond.items())
        text += f" Beyond: {listed}."
    return f"{text}\n"


def theory_table(every: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables of the theory beside ours."""
    text = (
        "\n## The theory's tables\n\nFlights with the same shapes and compositions, on the windows between the 2% and "
        "the 50% quantile. The theory's networks were trained by other code, to other weights.\n\n"
        "| network | quantity | theory: k | level 1 | ours: k | level 1 | theory: difference | ours |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    for name, (measured, predicted) in THEORY.items():
        rows = {row["quantity"]: row for row in every.get(name, {"rows": []})["rows"] if row["window"] == QUANTILE}
        ordered = sorted(rows, key=lambda quantity: (list(rows).index(quantity) // 2, "weight" in quantity))
        for quantity, k, told in zip(ordered, measured, predicted, strict=False):
            own, level = rows[quantity]["exponent"], level_of(rows[quantity], 1).get("exponent")
            ours = None if own is None or level is None else level - own
            cells = [number(k), number(told), number(own), number(level), f"{told - k:+.3f}"]
            text += f"| {name} | `{quantity}` | {' | '.join(cells)} | {'–' if ours is None else f'{ours:+.3f}'} |\n"
    return text


def anatomy_table(every: Mapping[str, Mapping[str, Any]]) -> str:
    """Anatomies of the searched windows of the first network."""
    text = (
        "\n## Anatomies\n\nParts of the exponents with their standard errors, from input to output.\n\n"
        "| network | quantity | window | composition | data | path | dependence | sum | measured |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    for name in ("flights, sigmoid+bce", "moons, tanh+mse"):
        for row in every.get(name, {"rows": []})["rows"]:
            parts = row["anatomy"]
            if parts is not None:
                cells = " | ".join(
                    "–" if part is None else f"{part['value']:.3f} ± {part['standard_error']:.3f}"
                    for part in (parts[key] for key in ("composition", "data", "path", "dependence"))
                )
                ends = f"{row['window']}"
                total = f"{number(parts['total'])} | {number(row['exponent'])}"
                text += f"| {name} | `{row['quantity']}` | {ends} | {cells} | {total} |\n"
    return text


def main() -> None:
    """Train, measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, help="folder of rows that are made, one file for each network")
    parser.add_argument("--only", help="networks whose name contains this")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "ladder_measured.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.store is not None:
        arguments.store.mkdir(parents=True, exist_ok=True)
    every = {}
    for name, case in cases().items():
        if arguments.only is None or arguments.only in name:
            every[name] = system_rows(name, case, arguments.store)
            print(name, every[name]["status"], *(f"{part:.0f} s" for part in every[name]["seconds"]), flush=True)
    text = HEADER.format(near=NEAR) + summary(every) + theory_table(every) + anatomy_table(every)
    text += "\n## Network by network\n" + "".join(system_table(name, found) for name, found in every.items())
    write_whole(arguments.out, text.encode())


if __name__ == "__main__":
    main()
