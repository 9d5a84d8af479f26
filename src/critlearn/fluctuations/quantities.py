"""Quantities to be measured beside every variable, every layer and the pool of all; series of single entries."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from numbers import Integral
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from critlearn.errors import InvalidInputError, unknown_name
from critlearn.numerics.validation import check_integer, check_seed

AXES: Final = ("sample", "position")
"""What is counted as one change."""

CHOSEN: Final = 1000
"""Entries whose exact series are kept by default: 8 MB for each 1,000 samples."""


@dataclass(frozen=True)
class Quantities:
    """Further quantities to count, and the averages that are formed or removed before counting.

    Parameters
    ----------
    units
        Names of variables (``hidden1.weight``) whose output units are also counted apart, as ``hidden1.weight[3]``:
        all entries with first index 3, over samples.
    samples
        Numbers of samples whose changes are also counted apart, as ``all[sample 7]``: the distribution over variables
        of a single sample.
    series
        Entries whose changes are kept exactly, sample by sample: True for 1,000, or a number, to be drawn at random
        from all entries (reproducible by `seed`), or flat indices by name of the variable. By default none are kept,
        as series grow with the number of samples.
    mini_batch
        Number of successive samples whose mean change is taken as one change; samples left over are not used. A mean
        that cancels to within rounding counts as an exact zero.
    without_drift
        Subtract from each change the mean over the data set, which takes a pass of its own; what cancels to within
        rounding counts as an exact zero.
    only
        Names of the variables that are measured, or patterns of them: ``("blocks.3.*", "head.weight")``; by default
        all trainable ones. Nothing has to be frozen for it, and gradients of the others are not formed.
    variables
        Number of entries of each variable that are counted, drawn at random (reproducible by `seed`): of a large
        network at nearly the cost of its pass. A smaller variable is counted whole. A layer, and the pool of
        all, take the same share of the entries of each of their variables. By default all are counted.
    seed
        Decides which entries are drawn.
    axis
        ``"sample"``, or ``"position"`` for the contribution of each position of a sequence to the change of its sample:
        error times activity there, before they are summed over the sequence. It comes from the same pass. It is not the
        change under that token's own loss, whose errors reach all earlier positions: see `NeuralSystem.tokens`.

    Raises
    ------
    InvalidInputError
        If an argument has the wrong type, a number is out of range, a sample is named twice, units or series are asked
        for of entries that are drawn, or positions together with what is formed of whole samples.
    """

    units: tuple[str, ...] = ()
    samples: tuple[int, ...] = ()
    series: bool | int | Mapping[str, tuple[int, ...]] = False
    mini_batch: int = 1
    without_drift: bool = False
    only: tuple[str, ...] = ()
    variables: int | None = None
    seed: int = 0
    axis: str = "sample"

    def __post_init__(self) -> None:
        """Raise if something cannot be measured."""
        _check_names("units", self.units, "hidden1.weight")
        _check_names("only", self.only, "blocks.3.*")
        _check_samples(self.samples)
        _check_series(self.series)
        check_integer("mini_batch", self.mini_batch)
        check_seed(self.seed)
        if self.mini_batch < 1:
            raise InvalidInputError(f"a mini-batch needs at least one sample; got {self.mini_batch}")
        if self.axis not in AXES:
            raise unknown_name("axis", str(self.axis), AXES)
        if self.axis == "position" and (self.samples or self.series or self.mini_batch > 1 or self.without_drift):
            raise InvalidInputError(
                'axis="position" counts contributions within samples: leave out samples, series, mini_batch and '
                "without_drift, which are about whole ones"
            )
        if self.variables is None:
            return
        check_integer("variables", self.variables)
        if self.variables < 1:
            raise InvalidInputError(f"at least one entry of each variable must be counted; got {self.variables}")
        if self.units or self.series:
            raise InvalidInputError("units and series are not those of drawn entries: leave out variables=")

    def names(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Variables that are measured, with their numbers of entries.

        Parameters
        ----------
        sizes
            Number of entries of each trainable variable.

        Raises
        ------
        InvalidInputError
            If a pattern of `only` fits no variable.
        """
        if not self.only:
            return dict(sizes)
        for pattern in self.only:
            if not any(_fits(name, pattern) for name in sizes):
                raise unknown_name("trainable variable", pattern, sizes)
        return {name: size for name, size in sizes.items() if any(_fits(name, pattern) for pattern in self.only)}

    def drawn(self, sizes: Mapping[str, int]) -> dict[str, Int64[np.ndarray, " entry"]]:
        """Flat indices of the entries of each variable that are counted, in random order; none if all are."""
        if self.variables is None:
            return {}
        generator = np.random.default_rng(self.seed)
        return {name: generator.choice(size, min(size, self.variables), replace=False) for name, size in sizes.items()}

    def chosen(self, sizes: Mapping[str, int]) -> dict[str, Int64[np.ndarray, " entry"]]:
        """Flat indices of the entries whose series are kept, ascending, by name of the variable.

        Parameters
        ----------
        sizes
            Number of entries of each variable.

        Raises
        ------
        InvalidInputError
            If a variable is unknown or an index is outside it.
        """
        if not isinstance(self.series, Mapping):
            number = CHOSEN if self.series is True else int(self.series)
            return _drawn(min(number, sum(sizes.values())), sizes, self.seed)
        for name, index in self.series.items():
            check_name(name, sizes)
            if any(not 0 <= entry < sizes[name] for entry in index):
                raise InvalidInputError(f'entries of "{name}" are numbered 0..{sizes[name] - 1}; got {tuple(index)}')
        return {name: np.array(index, dtype=np.int64) for name, index in self.series.items()}


def _fits(name: str, pattern: str) -> bool:
    """Whether a pattern is that of a variable, or of a layer that it belongs to."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _check_names(what: str, names: object, example: str) -> None:
    """Raise if names are not a collection of texts."""
    if isinstance(names, str) or not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise InvalidInputError(f'{what} are given by a tuple of names, as ("{example}",); got {names!r}')


def _check_samples(samples: Iterable[int]) -> None:
    """Raise if the samples are not numbers from 0 on, or one is named twice."""
    if not _integers(samples):
        raise InvalidInputError(f"samples are given by a tuple of their numbers, as (7,); got {samples!r}")
    for sample, times in Counter(samples).items():
        if sample < 0:
            raise InvalidInputError(f"samples are counted from 0; got {sample}")
        if times > 1:
            raise InvalidInputError(f"each sample is counted apart once; {sample} is named twice")


def _check_series(series: object) -> None:
    """Raise if the series are neither their number nor flat indices by name of the variable."""
    if isinstance(series, Mapping):
        for name, index in series.items():
            if not _integers(index):
                raise InvalidInputError(
                    f'series of "{name}" are given by a tuple of flat indices, as (0, 3); got {index!r}'
                )
    elif not isinstance(series, int | np.integer):
        raise InvalidInputError(
            "series are given by their number, or by a mapping of variables' names to tuples of flat indices, as "
            f'{{"hidden1.weight": (0, 3)}}; got {series!r}'
        )
    elif series < 0:
        raise InvalidInputError(f"the number of series must not be negative; got {series}")


def _integers(value: object) -> bool:
    """Whether a value is a collection of whole numbers."""
    return isinstance(value, Iterable) and all(isinstance(part, Integral) for part in value)


def check_name(name: str, sizes: Mapping[str, int]) -> None:
    """Raise if a name is not that of a trainable variable."""
    if name not in sizes:
        raise unknown_name("trainable variable", name, sizes)


def _drawn(number: int, sizes: Mapping[str, int], seed: int) -> dict[str, Int64[np.ndarray, " entry"]]:
    """Entries drawn without replacement from all variables."""
    if not number:
        return {}
    ends = np.cumsum(list(sizes.values()))
    drawn: set[int] = set()
    generator = np.random.default_rng(seed)
    # Not `choice` without replacement, which would shuffle every entry of the network.
    while len(drawn) < number:
        drawn.update(generator.integers(0, ends[-1], number - len(drawn)).tolist())
    flat = np.sort(np.fromiter(drawn, dtype=np.int64))
    # Entries are numbered through all variables; each belongs to the first variable that ends beyond it.
    owner = np.searchsorted(ends, flat, side="right")
    starts = ends - list(sizes.values())
    return {name: flat[owner == at] - starts[at] for at, name in enumerate(sizes) if (owner == at).any()}


@dataclass(frozen=True, eq=False)
class Series:
    """Exact changes of some entries, sample by sample.

    Parameters
    ----------
    entries
        Flat indices of the entries, by name of the variable.
    log_size
        ``ln|delta|`` by name, ``-inf`` for an exact zero; samples are in the order in which they came.
    negative
        Signs.
    """

    entries: Mapping[str, Int64[np.ndarray, " entry"]] = field(default_factory=dict)
    log_size: Mapping[str, Float64[np.ndarray, "sample entry"]] = field(default_factory=dict)
    negative: Mapping[str, Bool[np.ndarray, "sample entry"]] = field(default_factory=dict)

    def followed_by(self, later: "Series") -> "Series":
        """Series of the same entries over the samples of both, of which the other's come later."""
        if set(self.entries) != set(later.entries) or any(
            not np.array_equal(index, later.entries[name]) for name, index in self.entries.items()
        ):
            raise InvalidInputError("only series of the same entries can be joined")
        return Series(
            self.entries,
            {name: np.concatenate([part, later.log_size[name]]) for name, part in self.log_size.items()},
            {name: np.concatenate([part, later.negative[name]]) for name, part in self.negative.items()},
        )

    def values(self, name: str) -> Float64[np.ndarray, "sample entry"]:
        """Changes of the chosen entries of a variable as plain numbers; below the smallest number they read as zero."""
        check_name(name, {known: 0 for known in self.entries})
        with np.errstate(under="ignore"):
            return np.where(self.negative[name], -1.0, 1.0) * np.exp(self.log_size[name])
