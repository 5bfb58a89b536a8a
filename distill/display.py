"""What the command line shows: a bar per system or student, and the table of an evaluation."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..store.rows import Record, Score
    from .results import Report

RowProgress = Callable[[int, int, "Record"], None]
StepProgress = Callable[[int, int, float | None], None]


@contextlib.contextmanager
def row_bars() -> Iterator[Callable[[str], RowProgress]]:
    """A bar per system: called with its name, gives the labelling loop's progress callback."""
    with _bars() as bars:

        def of(name: str) -> RowProgress:
            show = _bar(bars, name)
            return lambda done, total, record: show(done, total, name)

        yield of


@contextlib.contextmanager
def step_bars() -> Iterator[Callable[[str], StepProgress]]:
    """A bar per student: called with its name, gives the trainer's progress callback."""
    with _bars() as bars:

        def of(name: str) -> StepProgress:
            show = _bar(bars, name)

            def update(step: int, total: int, loss: float | None) -> None:
                show(step, total, name if loss is None else f"{name}  loss {loss:.3f}")

            return update

        yield of


def print_table(report: Report) -> None:
    """Print `exact` of every system on every split, with intervals."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = f"exact: share of answer parts that are right ({report.task})"
    table = Table(title=Text(title))  # Text: names of splits and students are no markup
    table.add_column("system")
    for split in report.splits:
        table.add_column(Text(f"{split.name} (n={split.rows})"), justify="right")
    for system in report.systems:
        results = [system.splits.get(split.name) for split in report.splits]
        table.add_row(
            Text(system.name), *(_cell(result.exact if result else None) for result in results)
        )
    Console().print(table)


def _cell(score: Score | None) -> str:
    if score is None or score.value is None:
        return "–"
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


def _bar(bars: Any, name: str) -> Callable[[int, int, str], None]:
    """A bar that appears when there is something to show, so that an error stands alone."""

    @functools.cache
    def bar() -> Any:
        bars.start()
        return bars.add_task(name, total=None)

    return lambda done, total, text: bars.update(
        bar(), completed=done, total=total, description=text
    )


@contextlib.contextmanager
def _bars() -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    try:
        yield bars
    finally:
        if bars.tasks:
            bars.stop()
