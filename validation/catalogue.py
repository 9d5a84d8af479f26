"""Measured against predicted exponents of every composition of the catalogue: writes ``docs/catalogue_exponents.md``.

python validation/catalogue.py [--store DIR] [--processes N]

Stopped, it goes on where it was if a store is given.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import pandas as pd

from critlearn.comparison.agreement import DECIDED, Agreement
from critlearn.studies import load_results, load_study
from critlearn.studies.sweep.engines.local import run_locally
from critlearn.studies.sweep.run import sweep
from critlearn.studies.sweep.study.schema import shipped_file
from critlearn.whole_files import write_whole

PAGE = Path(__file__).resolve().parent.parent / "docs" / "catalogue_exponents.md"
HEADER = """# Every composition: measured and predicted exponents

The study `studies/exponents.yaml`: fluctuations of the bias of `y = w x + b`, two classes, uniform inputs on
(-0.3, 2.3), 200,000 samples, trained to local learning equilibrium. Measured exponents are held against what the
predicted density gives on the measured window. 13 losses, of which three need a bounded activation.

Made by `python validation/catalogue.py` (part of `make validate`).

"""


def main() -> None:
    """Run what is missing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    study = load_study(shipped_file("exponents"))
    with tempfile.TemporaryDirectory() as scratch:
        store = arguments.store or scratch
        for _ in sweep(study, store, partial(run_locally, processes=arguments.processes)):
            pass
        table = load_results(store)
    write_whole(PAGE, (HEADER + page(table)).encode())


def page(table: pd.DataFrame) -> str:
    """Counts, the table of all compositions, and every row in which measurement and prediction do not agree."""
    failed = table[table["status"] != "finished"]
    done = table[table["status"] == "finished"]
    laws, certified = done[done["verdict"] == "power law"], done["certified"].astype(bool)
    decided = laws[laws["agreement"].isin(DECIDED)]
    agreeing = decided["agreement"] == Agreement.AGREES
    apart = (decided["measured_exponent"] - decided["predicted_exponent"]).astype(float).abs()
    out = [
        f"{len(done)} compositions, {int(certified.sum())} at certified equilibrium, {len(failed)} failed. "
        f"A power law over a decade or more is established for {len(laws)}; for {len(decided)} of them there is a "
        f"prediction on the same window, and it agrees in {int(agreeing.sum())}. The two are apart by "
        f"{apart.median():.3f} in the median, and by {apart.max():.3f} at most.\n",
        "Measured / predicted; a dash where no power law is established, an asterisk where they do not agree, brackets "
        "where the training did not reach a certified equilibrium.\n",
    ]
    losses = list(dict.fromkeys(table["loss"]))
    out += ["| | " + " | ".join(losses) + " |", "| --- " * (len(losses) + 1) + "|"]
    for activation in dict.fromkeys(table["activation"]):
        told = [_told(done[(done["activation"] == activation) & (done["loss"] == loss)]) for loss in losses]
        out.append(f"| {activation} | " + " | ".join(told) + " |")
    odd = decided[~agreeing]
    if len(odd):
        out += ["\nNot agreeing:\n", "| composition | measured | 95% interval | decades | predicted on the window |"]
        out.append("| --- " * 5 + "|")
    for _, row in odd.iterrows():
        out.append(
            f"| {row['activation']} + {row['loss']} | {row['measured_exponent']:.3f} | {row['ci_low']:.3f} to "
            f"{row['ci_high']:.3f} | {row['decades']:.1f} | {row['predicted_exponent']:.3f} |"
        )
    reasons = done.loc[done["verdict"] != "power law", "verdict"].value_counts()
    out.append("\nVerdicts of the others: " + ", ".join(f"{name} {count}" for name, count in reasons.items()) + ".")
    return "\n".join(out) + "\n"


def _told(rows: pd.DataFrame) -> str:
    """One composition in few characters."""
    if rows.empty:
        return ""
    row = rows.iloc[0]
    if row["verdict"] != "power law":
        return "–" if row["certified"] else "(–)"
    predicted = "?" if pd.isna(row["predicted_exponent"]) else f"{row['predicted_exponent']:.2f}"
    mark = "\\*" if row["agreement"] == Agreement.DISAGREES else ""
    told = f"{row['measured_exponent']:.2f} / {predicted}{mark}"
    return told if row["certified"] else f"({told})"


if __name__ == "__main__":
    main()
