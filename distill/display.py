"""What the command line shows: how far a run is, as bars or lines, and the table of figures."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..store.rows import Example, Record, Score
    from ..store.totals import RunTotals
    from .failures import Failure
    from .results import Report

RowProgress = Callable[[int, int, "Record"], None]
StepProgress = Callable[[int, int, float | None], None]
WINDOW = 60.0  # seconds: rates are those of the last minute
REDRAWN = 0.1  # seconds between two states of a bar
SPOKEN = 10.0  # seconds between two lines at first; later a twentieth of the time gone


@contextlib.contextmanager
def row_bars() -> Iterator[Callable[[str], RowProgress]]:
    """Progress per system: called with its name, gives the labelling loop's callback.

    A bar on a terminal and in a notebook, else a line on standard error every ten seconds or ten
    percent: rows, rows per second, dollars where a row says its cost, failed share, time left.
    """
    with _screen() as screen:

        def of(name: str) -> RowProgress:
            meter = _Meter(name, "rows")

            def update(done: int, total: int, record: Record) -> None:
                meter.add(record)
                screen.draw(meter.at(done, total))

            return update

        yield of


@contextlib.contextmanager
def step_bars() -> Iterator[Callable[[str], StepProgress]]:
    """The same per student: called with its name, gives the trainer's callback."""
    with _screen() as screen:

        def of(name: str) -> StepProgress:
            meter = _Meter(name, "steps")

            def update(step: int, total: int, loss: float | None) -> None:
                meter.loss = loss
                screen.draw(meter.at(step, total))

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


def print_failures(failures: Sequence[Failure], *, stderr: bool = False) -> None:
    """Print what failed, how often, on which row for one, and what to do about it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="what failed")
    table.add_column("rows", justify="right")
    table.add_column("why", overflow="fold", ratio=3)
    table.add_column("for example", overflow="fold", min_width=16)
    table.add_column("what to do", overflow="fold", ratio=2)
    for failure in failures:
        cells = (f"{failure.rows:,}", failure.why, failure.example, failure.advice)
        table.add_row(*map(Text, cells))  # Text: what a model wrote is no markup
    Console(stderr=stderr).print(table)


def row_lines(example: Example, record: Record) -> Iterator[str]:
    """One labelled row to look at: inputs in short, answer, reasoning, tokens, cost, seconds."""
    yield f"row {example.id} of {_short(example.split, 40)}"
    for name, text in example.inputs.items():
        yield f"  {name}: {_short(text, 200)}"
    if record.answer is None:
        yield f"  no answer: {_short(record.error or '', 500)}"
    else:
        yield f"  answer: {_short(json.dumps(record.answer, ensure_ascii=False), 1000)}"
    if record.reasoning:
        yield f"  reasoning: {_short(record.reasoning, 1000)}"
    cost = "cost unknown" if record.cost is None else dollars(record.cost)
    seconds = f"{record.seconds:.1f} s"
    calls = f"{record.attempts} call{'s' if record.attempts != 1 else ''}"
    yield "  " + ", ".join(filter(None, (calls, tokens(record), cost, seconds)))


def tokens(of: RunTotals | Record) -> str:
    """The tokens in words; empty where the model does not say."""
    if of.input_tokens is None:
        return ""
    cached = f" ({of.cached_tokens:,} cached)" if of.cached_tokens else ""
    thought = f" ({of.reasoning_tokens:,} reasoning)" if of.reasoning_tokens else ""
    return f"{of.input_tokens:,} tokens in{cached}, {of.output_tokens or 0:,} out{thought}"


def dollars(cost: float) -> str:
    """A sum of money, small ones to two digits: $12.40, $0.0012."""
    if 0 < cost < 0.1:
        return f"${cost:.{1 - math.floor(math.log10(cost))}f}"
    return f"${cost:,.2f}"


def duration(seconds: float) -> str:
    """About how long that is: 40 s, 12 min, 3 h 10 min."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _short(text: str, longest: int) -> str:
    """Text of others as a terminal may have it: one line, not too long, no control characters."""
    from ..store.columns import printable

    line = " ".join(text.split())
    return printable(line[:longest]) + ("…" if len(line) > longest else "")


def _cell(score: Score | None) -> str:
    if score is None or score.value is None:
        return "–"
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


class _Meter:
    """How far one system is, how fast, at what cost."""

    def __init__(self, name: str, unit: str) -> None:
        self.name, self.unit = name, unit
        self.done = self.total = self.failed = self.seen = 0
        self.cost: float | None = None
        self.loss: float | None = None
        self.started = self.now = time.monotonic()
        self._marks = deque([(self.started, 0)])

    def add(self, record: Record) -> None:
        self.seen += 1
        self.failed += record.answer is None
        if record.cost is not None:
            self.cost = (self.cost or 0.0) + record.cost

    def at(self, done: int, total: int) -> _Meter:
        self.done, self.total, self.now = done, total, time.monotonic()
        if self.now - self._marks[-1][0] >= 1:
            self._marks.append((self.now, done))
            while self.now - self._marks[0][0] > WINDOW:
                self._marks.popleft()
        return self

    @property
    def count(self) -> str:
        return f"{self.done:,}/{self.total:,} {self.unit}"

    @property
    def facts(self) -> str:
        """Everything but the count, as one line."""
        said = []
        rate = self._rate()
        if rate:
            said.append(f"{rate:,.1f} {self.unit}/s")
        if self.cost is not None:
            said.append(dollars(self.cost))
        if self.seen:
            said.append(f"{_percent(self.failed / self.seen)} failed")
        if self.loss is not None:
            said.append(f"loss {self.loss:.3f}")
        if rate and self.done < self.total:
            said.append(f"ETA {duration((self.total - self.done) / rate)}")
        return "  ".join(said)

    def _rate(self) -> float | None:
        since, done = self._marks[0]
        return (self.done - done) / (self.now - since) if self.now > since else None


class _Screen(Protocol):
    def draw(self, meter: _Meter) -> None: ...

    def close(self) -> None: ...


@contextlib.contextmanager
def _screen() -> Iterator[_Screen]:
    from rich.console import Console

    console = Console(stderr=True)
    alive = console.is_jupyter or (sys.stderr.isatty() and console.is_interactive)
    screen: _Screen = _Bars(console) if alive else _Lines()
    try:
        yield screen
    finally:
        screen.close()


class _Bars:
    """Bars that appear when there is something to show, so that an error stands alone."""

    def __init__(self, console: Any) -> None:
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
            TextColumn("{task.fields[facts]}", markup=False, table_column=Column(no_wrap=True)),
            console=console,
            expand=True,
        )
        self.of: dict[int, Any] = {}
        self.drawn: dict[int, float] = {}
        self.meters: dict[int, _Meter] = {}

    def draw(self, meter: _Meter) -> None:
        key = id(meter)
        if key not in self.of:
            self.bars.start()
            self.of[key] = self.bars.add_task(meter.name, total=None, facts="")
            self.meters[key] = meter
        elif meter.now - self.drawn[key] < REDRAWN and meter.done < meter.total:
            return
        self._update(key, meter)

    def close(self) -> None:
        for key, meter in self.meters.items():
            self._update(key, meter)
        if self.meters:
            self.bars.stop()

    def _update(self, key: int, meter: _Meter) -> None:
        self.drawn[key] = meter.now
        facts = f"{meter.count}  {meter.facts}"
        self.bars.update(self.of[key], completed=meter.done, total=meter.total, facts=facts)


class _Lines:
    """Lines on standard error: a log, where nobody can watch a bar."""

    def __init__(self) -> None:
        self.meters: dict[int, _Meter] = {}
        self.said: dict[int, tuple[float, int]] = {}

    def draw(self, meter: _Meter) -> None:
        key = id(meter)
        self.meters[key] = meter
        when, done = self.said.setdefault(key, (meter.started, 0))
        quiet = meter.now - when
        tenth = 10 * meter.done // max(1, meter.total) > 10 * done // max(1, meter.total)
        often = max(SPOKEN, (meter.now - meter.started) / 20)
        if meter.done >= meter.total or quiet >= often or (tenth and quiet >= 1):
            self._say(key, meter)

    def close(self) -> None:
        for key, meter in self.meters.items():
            if self.said[key][1] != meter.done:
                self._say(key, meter)

    def _say(self, key: int, meter: _Meter) -> None:
        self.said[key] = (meter.now, meter.done)
        sys.stderr.write(f"{meter.name} {meter.count}  {meter.facts}".rstrip() + "\n")
        sys.stderr.flush()


def _percent(share: float) -> str:
    return "0 %" if not share else f"{100 * share:.1f} %"
