"""Order of checkpoints in time, from the numbers in their names and folders; what leaves it open is refused."""

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from critlearn.dynamics.series import check_times
from critlearn.errors import InvalidInputError

_NUMBER: Final = re.compile(r"([0-9]+)")

_COUNTERS: Final = frozenset(
    {"step", "steps", "globalstep", "s", "iteration", "iterations", "iter", "iters", "it", "update", "updates"}
    | {"batch", "batches", "checkpoint", "checkpoints", "ckpt", "ckpts", "epoch", "epochs", "ep", "e", "time", "t"}
)
"""Words before a number that say that it is a time. A loss has other ones, and may change in any way."""

_COARSE: Final = frozenset({"epoch", "epochs", "ep", "e"})
"""Those of numbers that need not be equally spaced where the steps beside them are."""

_ADVICE: Final = 'rename them so that the step is the only number that changes, or the first one, as in "step100"'


def order_in_time(files: Sequence[str]) -> tuple[list[str], str]:
    """Files in the order of the numbers that change in their paths, and words that say which number is the time.

    >>> order_in_time(["checkpoint-1000/a.safetensors", "checkpoint-500/a.safetensors"])
    (['checkpoint-500/a.safetensors', 'checkpoint-1000/a.safetensors'], 'checkpoint 500 to 1000')

    Raises
    ------
    InvalidInputError
        If the paths differ in more than numbers, or a number that may be the time does not ascend or is not equally
        spaced.
    """
    if len(files) == 1:
        return list(files), ""
    parts = [_NUMBER.split(Path(file).absolute().as_posix()) for file in files]
    for file, part in zip(files, parts, strict=True):
        if part[::2] != parts[0][::2]:
            raise InvalidInputError(
                f'"{files[0]}" and "{file}" differ in more than numbers, so their order in time is not known: {_ADVICE}'
            )
    words, numbers = _with_decimals(parts)
    changing = [place for place, found in enumerate(numbers) if len(set(found)) > 1]
    order = sorted(range(len(files)), key=lambda file: [numbers[place][file] for place in changing])
    ordered = [files[file] for file in order]
    candidates = [place for place in changing if words[place] in _COUNTERS]
    # What stands before the first counter has decided the order, so it may be no loss.
    if candidates[:1] != changing[:1]:
        candidates = changing
    gaps = {place: _gaps([numbers[place][file] for file in order]) for place in candidates}
    for place in candidates:
        if min(gaps[place]) < 0:
            late = next(row for row, gap in enumerate(gaps[place]) if gap < 0)
            raise InvalidInputError(
                f'"{ordered[late]}" and "{ordered[late + 1]}": the order in time is not known, as one number ascends '
                f"and another, which may be the step, descends: {_ADVICE}"
            )
    times = [place for place in candidates if min(gaps[place]) > 0]
    if not times:
        raise InvalidInputError(f"several checkpoints are of the same step, by their names: {_ADVICE}")
    finest = [place for place in times if words[place] not in _COARSE] or times
    for place in finest:
        _check_spacing(gaps[place], words[place])
    time = finest[-1]
    first, last = (float(numbers[time][file]) for file in (order[0], order[-1]))
    return ordered, f"{words[time] or 'number'} {first:.16g} to {last:.16g}"


def _with_decimals(parts: Sequence[Sequence[str]]) -> tuple[list[str], list[list[Fraction]]]:
    """Word before each number, and that number in each path; text and digits alternate in a path.

    Digits after a point are decimals if all paths have as many of them, as "%.2f" writes: of 0.500 and 0.1000 nobody
    knows which is larger.
    """
    texts = parts[0][::2]
    digits = [[part[2 * place + 1] for part in parts] for place in range(len(texts) - 1)]
    words: list[str] = []
    numbers: list[list[Fraction]] = []
    place = 0
    while place < len(digits):
        words.append(_word(texts[place]))
        follows = place + 1 < len(digits) and texts[place + 1] == "."
        if follows and len({len(text) for text in digits[place + 1]}) == 1:
            pairs = zip(digits[place], digits[place + 1], strict=True)
            numbers.append([Fraction(f"{whole}.{decimals}") for whole, decimals in pairs])
            place += 2
        else:
            numbers.append([Fraction(text) for text in digits[place]])
            place += 1
    return words, numbers


def _word(text: str) -> str:
    """Last word of the text before a number, which ends in a separator or not: "step" of "global_step=".

    A folder's name is no word of the number that follows it.
    """
    found = re.search(r"([A-Za-z]+)[^A-Za-z/]*$", text)
    return found[1].lower() if found else ""


def _gaps(numbers: Sequence[Fraction]) -> list[Fraction]:
    """Differences of successive numbers, exactly: as floats, times in nanoseconds would lose digits."""
    return [after - before for before, after in pairwise(numbers)]


def _check_spacing(gaps: Sequence[Fraction], word: str) -> None:
    """Raise if the differences are not equal."""
    times = np.cumsum([0.0, *(float(gap) for gap in gaps)])
    try:
        check_times(times, len(times))
    except InvalidInputError as problem:
        name = f'after "{word}"' if word else "that changes"
        raise InvalidInputError(f"the number {name} in the names of the checkpoints: {problem}") from None
