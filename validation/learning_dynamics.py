"""Headline figures of the literature on learning over time, remade. Writes ``docs/learning_dynamics.md``.

python validation/learning_dynamics.py            # some ten minutes on one core
python validation/learning_dynamics.py --only edge
"""

import argparse
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.integrate
import scipy.optimize
import scipy.stats
import torch
from sklearn.datasets import load_digits
from torch import nn

from critlearn.dynamics import find_avalanches, fit_tail, mean_size, sketch_in_time, waiting_times
from critlearn.inference import PowerLawFit, fit_power_law
from critlearn.whole_files import write_whole

ROOT = Path(__file__).parents[1]
Rows = Iterator[tuple[object, ...]]


def table(columns: tuple[str, ...], rows: Rows) -> str:
    """Table of a page."""
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def shown(fit: PowerLawFit | None) -> str:
    """Exponent with its interval."""
    if fit is None or fit.exponent is None or fit.ci95_total is None:
        return "–"
    return f"{fit.exponent:.2f} [{fit.ci95_total[0]:.2f}, {fit.ci95_total[1]:.2f}]"


def described(fit: PowerLawFit) -> tuple[str, str]:
    """Exponent with its interval and decades, and the grade."""
    return f"{shown(fit)} over {fit.decades or 0:.1f} decades", str(fit.grade)


def least_squares(values: np.ndarray) -> float:
    """Slope of a straight line through a histogram on 200 linear bins, both axes logarithmic."""
    counts, edges = np.histogram(values, 200)
    kept = counts > 0
    return -float(np.polyfit(np.log((edges[1:] + edges[:-1])[kept] / 2), np.log(counts[kept]), 1)[0])


# --- tail index of stochastic gradient descent ---


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


def kesten_rows() -> Rows:
    """Measured and predicted tails by step and batch."""
    for step, batch in ((0.5, 1), (0.7, 1), (0.9, 1), (0.7, 2), (0.9, 2), (1.2, 2), (1.2, 4), (1.4, 4), (1.6, 8)):
        series = regression(step, batch, 1_000_000, 1)
        predicted = 1 + kesten_alpha(step, batch)
        fits = [fit_tail(sketch_in_time(values)) for values in (series, np.diff(series))]
        inside = [fit.ci95_total[0] <= predicted <= fit.ci95_total[1] for fit in fits]
        held = f"{'yes' if inside[0] else 'no'}, {'yes' if inside[1] else 'no'}"
        yield step, batch, f"{step / batch:.2f}", f"{predicted:.2f}", *map(shown, fits), held


# --- avalanches in random networks ---


def tanh_avalanches(width: int, number: int, longest: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and durations of excursions of a signal's norm above its start, in a random tanh network of scale 1.

    A layer of new weights, normal of variance 1 / width, makes of a vector of norm r a normal one of norm r on average:
    only the norm is needed. Beyond a thousand units the tanh of signals as small as these is the identity.
    """
    generator = np.random.default_rng(seed)
    start = 1e-3
    sizes, durations = np.zeros(number), np.zeros(number)
    alive, norm = np.arange(number), np.full(number, start)
    for _ in range(longest):
        if width <= 1000:
            states = np.tanh(norm[:, None] * generator.standard_normal((len(norm), width)))
            norm = np.sqrt((states**2).mean(axis=1))
        else:
            norm = norm * np.sqrt(generator.chisquare(width, len(norm)) / width)
        kept = norm > start
        alive, norm = alive[kept], norm[kept]
        sizes[alive] += norm / start - 1
        durations[alive] += 1
    # Those that have not ended are of unknown size.
    sizes[alive], durations[alive] = 0, 0
    return sizes[durations > 0], durations[durations > 0]


def avalanche_rows() -> Rows:
    """Exponents by width."""
    for width, number, longest in ((100, 40_000, 2000), (1000, 8000, 4000), (10_000, 100_000, 20_000)):
        sizes, durations = tanh_avalanches(width, number, longest, 1)
        fits = fit_power_law(sizes), fit_power_law(durations)
        pairs = zip(sizes, durations, strict=True)
        series = np.concatenate([np.append(np.full(int(t), s / t), 0.0) for s, t in pairs])
        mean = mean_size(find_avalanches(np.concatenate([[0.0], series])), fits[1].window)
        gamma = "–" if mean.exponent is None else f"{mean.exponent:.2f} +- {mean.total_error:.2f}"
        yield f"{width:,}", f"{len(sizes):,}", *(f"{shown(fit)} ({fit.grade})" for fit in fits), gamma


# --- networks on data ---


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Images of digits, 8 x 8, and their classes."""
    held = load_digits()
    return torch.tensor(held.data / 16 - 0.3, dtype=torch.float32), torch.tensor(held.target)


def perceptron(hidden: int = 64) -> nn.Module:
    """Network of two hidden layers."""
    return nn.Sequential(nn.Linear(64, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 10))


def convolutional() -> nn.Module:
    """Network of two convolutions."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


class CharacterTransformer(nn.Module):
    """Transformer of one layer that predicts the next character."""

    def __init__(self, characters: int, length: int, width: int = 32) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(characters, width), nn.Parameter(0.1 * torch.randn(length, width))
        self.layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
        self.read = nn.Linear(width, characters)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        """Scores of the next characters, (sample, character, place)."""
        return self.read(self.layer(self.embed(text) + self.place, src_mask=self.mask)).transpose(1, 2)


def text_batches(length: int) -> tuple[int, Callable[[torch.Generator], tuple[torch.Tensor, torch.Tensor]]]:
    """Number of characters, and a source of batches, of the standard library's own prose and code."""
    text = "".join(inspect.getsource(module) for module in (argparse, inspect))
    known = {character: number for number, character in enumerate(sorted(set(text)))}
    coded = torch.tensor([known[character] for character in text])

    def batch(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        starts = torch.randint(len(coded) - length - 1, (16,), generator=generator)
        pieces = torch.stack([coded[start : start + length + 1] for start in starts.tolist()])
        return pieces[:, :-1], pieces[:, 1:]

    return len(known), batch


def tasks() -> Iterator[tuple[str, nn.Module, Callable[[torch.Generator], tuple[torch.Tensor, torch.Tensor]]]]:
    """Networks with their sources of batches."""
    x, t = digits()

    def batch(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = torch.randint(len(x), (16,), generator=generator)
        return x[chosen], t[chosen]

    yield "dense 64-64-64-10 on digits", perceptron(), batch
    yield "convolutional 8-16-10 on digits", convolutional(), batch
    characters, texts = text_batches(32)
    yield "character transformer", CharacterTransformer(characters, 32), texts


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


def update_rows(steps: int = 4000) -> Rows:
    """Updates, and times between large ones, by both ways of fitting, early and late in training."""
    for name, model, batch in tasks():
        updates = trained(model, batch, steps)
        for part, rows in (("first quarter", updates[: steps // 4]), ("last quarter", updates[-steps // 4 :])):
            sizes = np.abs(rows[rows != 0]).astype(np.float64)
            sketch = sketch_in_time(rows)
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


def _sought(sizes: np.ndarray, *, tail: bool) -> PowerLawFit:
    """Fit with a window anywhere, or in the largest tenth and to infinity."""
    if not tail:
        return fit_power_law(sizes)
    return fit_power_law(sizes, side="large", log_floor=float(np.log(np.quantile(sizes, 0.9))))


def axis_rows(batches: int = 6000) -> Rows:
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
            fits = [_sought(part[part > 0].astype(np.float64), tail="tail" in sought) for part in parts]
            known = [fit for fit in fits if fit.exponent is not None]
            passed = sum((fit.p_value or 0) > 0.05 for fit in known)
            grades = Counter(str(fit.grade) for fit in fits)
            yield (
                name, sought, f"{np.median([f.exponent for f in known]):.2f}",
                f"{np.median([f.decades for f in known]):.1f}", f"{passed} of {len(fits)}",
                ", ".join(f"{word} {number}" for word, number in grades.most_common()),
            )  # fmt: skip


def sharpness(loss: torch.Tensor, variables: list[torch.Tensor], vector: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Largest curvature of a loss by ten power iterations from a vector, and the vector they end at."""
    gradient = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, variables, create_graph=True)])
    value = 0.0
    for _ in range(10):
        product = torch.autograd.grad(gradient @ vector, variables, retain_graph=True)
        moved = torch.cat([part.reshape(-1) for part in product])
        value, vector = float(moved @ vector), moved / moved.norm()
    return value, vector


def edge_rows(steps: int = 4000) -> Rows:
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


SECTIONS: dict[str, tuple[str, str, tuple[str, ...], Callable[[], Rows]]] = {
    "kesten": (
        "Tail index of stochastic gradient descent, by step and batch",
        "Descent on a line with normal inputs, a million steps. Kesten's theorem gives the exponent for every "
        "batch: the mean square of a mini-batch is chi squared over its size. The tail is not a function of step /"
        " batch alone.",
        ("step", "batch", "step / batch", "1 + alpha", "iterates", "increments", "inside"),
        kesten_rows,
    ),
    "avalanches": (
        "Avalanches in random tanh networks at weight scale 1",
        "Size and duration of the excursion of a signal's norm above its start, layer by layer (setting of arXiv "
        "2509.22649). The logarithm of the norm is a random walk with steps of variance 1 / (2 width) and drift -1"
        " / (2 width): excursions have sizes 4/3, durations 3/2 and gamma 3/2, up to some 2 width layers, where "
        "the drift ends them. They are scale-free because a random walk is.",
        ("width", "avalanches", "sizes", "durations", "gamma"),
        avalanche_rows,
    ),
    "axes": (
        "The same gradients on two axes",
        "A dense network on digits after a thousand steps, gradients of 6,000 mini-batches of 16 at one state "
        "(question of Xie et al. 2023, who found power laws over variables and mostly none over iterations). *KS "
        "passed*: not rejected at 5%, of 30 sets on the window that was found. The tails tell the same, but none is "
        "long enough to be called a law.",
        ("over", "sought", "median exponent", "median decades", "KS passed", "grades"),
        axis_rows,
    ),
    "edge": (
        "Edge of stability",
        "Full-batch descent, mean squared error, 64-32-32-10 with tanh on 500 digits; the largest curvature every "
        "20 steps. It rises to 2 / step and hovers there, while the loss goes on falling.",
        (
            *("step", "2 / step", "curvature at first", "reached 2 / step at"),
            *("mean, second half", "range", "loss at first", "at last"),
        ),
        edge_rows,
    ),
    "updates": (
        "Updates, and times between large ones",
        "Plain stochastic gradient descent, rate 0.1, batches of 16, 4,000 steps, 2,000 variables drawn at random "
        "(a small form of PMC12745802; their histograms stand on [a page of their own](dynamics_published.md)). "
        "*Least squares* is a straight line through 200 linear bins, the rest critlearn's fits with their "
        "systematic part: on the widest window, and in the largest 3%. Times between large updates are about as "
        "steep after shuffling, where they are geometric: on linear bins least squares make a power of about 2.2 "
        "of steps without any memory.",
        ("network", "values", "least squares", "widest window", "grade", "largest 3%", "grade of that"),
        update_rows,
    ),
}  # fmt: skip

HEADER = """# Learning over time: figures of others, remade

Made by `python validation/learning_dynamics.py`. What the observables mean: [dynamics](dynamics.md).

"""

CLAIMS = (
    (
        "step and batch set the tail index of stochastic gradient descent",
        "yes: on a line as Kesten's theorem says, but for one pair of nine; not by their ratio alone",
    ),
    (
        "avalanches in random tanh networks at weight scale 1 are scale-free",
        "yes, with the exponents of a random walk, up to some 2 width layers; a random walk is all it takes",
    ),
    (
        "gradients have power laws over variables, mostly none over iterations",
        "the tests tell the two axes apart as claimed; neither tail is long enough to be called a law",
    ),
    ("curvature rises to 2 / step and hovers there", "yes, to a few percent"),
    (
        "updates, and times between large ones, are power laws",
        "a straight line says so; most fits of tails drift or are short, and times without memory give the same line",
    ),
)
"""Claims of others, and what is found here."""


def main() -> None:
    """Run the sections and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SECTIONS, help="One section, printed and not written.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "learning_dynamics.md")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    text = HEADER + table(("claim", "here"), iter(CLAIMS))
    for name, (title, said, columns, rows) in SECTIONS.items():
        if arguments.only in (None, name):
            part = f"\n## {title}\n\n{said}\n\n{table(columns, rows())}"
            print(part, flush=True)
            text += part
    if arguments.only is None:
        write_whole(arguments.out, text.encode())


if __name__ == "__main__":
    main()
