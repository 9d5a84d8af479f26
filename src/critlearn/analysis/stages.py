"""A bar for the stages of an analysis."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from critlearn.analysis.road import Progress as StageProgress


@contextmanager
def stage_bar(*, shown: bool) -> Iterator[StageProgress | None]:
    """Callback for `analyze` that draws a bar for the present stage; None where it is not wanted or seen by no one."""
    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(stage: str, done: int, total: int) -> None:
            if bar.tasks[0].description != stage:
                # The time that is left is told from the speed of the present stage.
                bar.reset(task)
            bar.update(task, description=stage, completed=done, total=total or None)

        yield tell
