"""A progress bar for measurements."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(description: str = "fluctuations") -> Iterator[Callable[[int, int], None]]:
    """Callback for `measure` that draws a bar on standard error while the context lasts.

    >>> with progress_bar() as progress:  # doctest: +SKIP
    ...     measure(system, progress=progress)
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, samples: bar.update(task, completed=done, total=samples or None)
