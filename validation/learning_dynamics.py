"""Headline figures of the literature on learning over time, remade. Writes ``docs/learning_dynamics.md``.

python validation/learning_dynamics.py            # some fifteen minutes on one core
python validation/learning_dynamics.py --only edge

Each section is the table of a script in ``examples/``, or of a study that is shipped.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples"))

import edge_of_stability  # noqa: E402
import random_networks  # noqa: E402
import tail_index  # noqa: E402
import two_axes  # noqa: E402
import updates  # noqa: E402
from tables import Rows, table  # noqa: E402

from critlearn.studies import load_studies  # noqa: E402
from critlearn.studies.sweep.results.store import ResultsStore  # noqa: E402
from critlearn.studies.sweep.run import sweep  # noqa: E402
from critlearn.studies.sweep.study.cells import expand  # noqa: E402
from critlearn.studies.sweep.study.schema import shipped_file  # noqa: E402
from critlearn.whole_files import write_whole  # noqa: E402

NETWORK_COLUMNS = ("step", "batch", "mean loss", "increments", "grade", "iterates", "grade of these")


def network_rows() -> Rows:
    """Run the shipped study of a network, and give a row for each of its cells."""
    (study,) = load_studies(shipped_file("tail-index"))
    with tempfile.TemporaryDirectory() as folder:
        failed = [reason for _, reason in sweep(study, folder) if reason is not None]
        assert not failed, failed
        for cell in expand(study):
            over_time = ResultsStore(folder).record(cell.name)["over_time"]
            config = cell.settings
            tails = (over_time["quantities"][name]["measured"] for name in ("time.increments", "time.iterates"))
            described = [part for fit in tails for part in (_tail(fit), fit["verdict"])]
            yield config["descent_lr"], config["descent_batch_size"], f"{over_time['mean_loss']:.3f}", *described


def _tail(fit: dict[str, Any]) -> str:
    """Exponent of a stored fit with its interval and decades."""
    low, high = fit["ci95_total"]
    return f"{fit['exponent']:.2f} [{low:.2f}, {high:.2f}] over {fit['decades']:.1f}"


SECTIONS: dict[str, tuple[str, str, str, tuple[str, ...], Callable[[], Rows]]] = {
    "line": (
        "Tail index of stochastic gradient descent, by step and batch",
        "python examples/tail_index.py",
        "Descent on a line with normal inputs, a million steps. Kesten's theorem gives the exponent for every batch: "
        "the mean square of a mini-batch is chi squared over its size. The tail is not a function of step / batch "
        "alone.",
        tail_index.COLUMNS,
        tail_index.rows,
    ),
    "network": (
        "Tail index of a network's iterates and increments, by step and batch",
        "critlearn sweep tail-index --store tails && critlearn results tails",
        "64-32-32-10 with tanh on digits, cross-entropy, trained by Adam to equilibrium, which a weight decay of 0.003 "
        "holds; from there 20,000 steps of plain gradient descent, of which the second half is taken. A `Monitor` "
        "follows 64 weights; each is in units of its own root mean square deviation, so that a mixture of scales makes "
        "no tail. Exponents of densities in the largest 3%, over so many decades; theory knows none here (question of "
        "Gurbuzbalaban, Simsekli and Zhu 2021, and of Hodgkinson and Mahoney 2021). Increments fall most "
        "steeply where the step is small and the batch large: with exponents of 7.7 and 6.7 by 64 samples, of 3.7 to "
        "4.8 elsewhere. No tail is a power law over a decade. Iterates have the tails of normal values: as many of "
        "those have 8.0 [2.9, 13.0] over 0.3 decades.",
        NETWORK_COLUMNS,
        network_rows,
    ),
    "avalanches": (
        "Avalanches in random tanh networks at weight scale 1",
        "python examples/random_networks.py",
        "Size and duration of the excursion of a signal's norm above its start, layer by layer (setting of arXiv "
        "2509.22649). The logarithm of the norm is a random walk with steps of variance 1 / (2 width) and drift -1 / "
        "(2 width): excursions have sizes 4/3, durations 3/2 and gamma 3/2, up to some 2 width layers, where the drift "
        "ends them. They are scale-free because a random walk is. Signals begin at a norm of a thousandth, where tanh "
        "is nearly linear, and the widest network is taken to be linear; the size is the norm above its start, summed.",
        random_networks.COLUMNS,
        random_networks.rows,
    ),
    "axes": (
        "The same gradients on two axes",
        "python examples/two_axes.py",
        "A dense network on digits after a thousand steps, gradients of 6,000 mini-batches of 16 at one state "
        "(question of Xie et al. 2023, who found power laws over variables and mostly none over iterations). *KS "
        "passed*: not rejected at 5%, of 30 sets on the window that was found. The tails tell the same, but none is "
        "long enough to be called a law.",
        two_axes.COLUMNS,
        two_axes.rows,
    ),
    "edge": (
        "Edge of stability",
        "python examples/edge_of_stability.py",
        "Full-batch descent, mean squared error, 64-32-32-10 with tanh on 500 digits; the largest curvature every 20 "
        "steps. It rises to 2 / step and hovers there, while the loss goes on falling.",
        edge_of_stability.COLUMNS,
        edge_of_stability.rows,
    ),
    "updates": (
        "Updates, and times between large ones",
        "python examples/updates.py",
        "Plain stochastic gradient descent, rate 0.1, batches of 16, 4,000 steps, 2,000 variables drawn at random (a "
        "small form of PMC12745802; their histograms stand on [a page of their own](dynamics_published.md)). *Least "
        "squares* is a straight line through 200 linear bins, the rest critlearn's fits with their systematic part: on "
        "the widest window, and in the largest 3%. Times between large updates are about as steep after shuffling, "
        "where they are geometric: on linear bins least squares make a power of about 2.2 of steps without any memory.",
        updates.COLUMNS,
        updates.rows,
    ),
}

HEADER = """# Learning over time: figures of others, remade

Made by `python validation/learning_dynamics.py`; each table also by the command that stands above it, in minutes on a
laptop. What the observables mean: [dynamics](dynamics.md).

"""

CLAIMS = (
    (
        "step and batch set the tail index of stochastic gradient descent",
        "yes: on a line as Kesten's theorem says, but for one pair of nine; not by their ratio alone; in a network "
        "with weight decay they change the increments, and no tail is long enough to have an index",
    ),
    (
        "avalanches in random tanh networks at weight scale 1 are scale-free",
        "yes, with the exponents of a random walk, up to some 2 width layers; a random walk is all it takes",
    ),
    (
        "gradients have power laws over variables, mostly none over iterations",
        "in the largest tenth the tests tell the two axes apart as claimed, on windows that are searched for they do "
        "not; neither tail is long enough to be called a law",
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
    parser.add_argument("--only", choices=SECTIONS, help="One section; the others stay as they are.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "learning_dynamics.md")
    arguments = parser.parse_args()
    written = arguments.out.read_text(encoding="utf-8") if arguments.only else ""
    text = HEADER + table(("claim", "here"), iter(CLAIMS))
    for name, (title, command, said, columns, rows) in SECTIONS.items():
        part = f"\n## {title}\n\n    {command}\n\n{said}\n\n"
        if arguments.only in (None, name):
            part += table(columns, rows())
            print(part, flush=True)
        else:
            # Its table, which ends where the next section begins.
            _, _, rest = written.partition(f"\n## {title}\n")
            part += rest[rest.index("\n| ") + 1 :].partition("\n\n## ")[0].rstrip("\n") + "\n"
        text += part
    write_whole(arguments.out, text.encode())


if __name__ == "__main__":
    main()
