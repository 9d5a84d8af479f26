"""Tables of results as text."""

from collections.abc import Iterable, Iterator

from critlearn.inference import PowerLawFit

Rows = Iterator[tuple[object, ...]]


def table(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
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
