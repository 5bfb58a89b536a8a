"""How far a run is: bars on a terminal and in a notebook, lines where nobody can watch."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from .amounts import dollars
from .manners import is_quiet

if TYPE_CHECKING:
    from ..store.rows import Record

RowProgress = Callable[[int, int, "Record"], None]
WINDOW = 60.0  # seconds: rates are those of the last minute
REDRAWN = 0.1  # seconds between two states of a bar
SPOKEN = 10.0  # seconds between two lines at first; later a twentieth of the time gone


class StepProgress(Protocol):
    """Called after each step: its number, of how many, its loss, tokens per second if known."""

    def __call__(
        self, step: int, total: int, loss: float | None, rate: float | None = None, /
    ) -> None: ...


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

            def update(
                step: int, total: int, loss: float | None, rate: float | None = None, /
            ) -> None:
                meter.loss, meter.tokens = loss, rate
                screen.draw(meter.at(step, total))

            return update

        yield of


def duration(seconds: float) -> str:
    """About how long that is: 40 s, 12 min, 3 h 10 min."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


class _Meter:
    """How far one system is, how fast, at what cost."""

    def __init__(self, name: str, unit: str) -> None:
        self.name, self.unit = name, unit
        self.done = self.total = self.failed = self.seen = 0
        self.cost: float | None = None
        self.loss: float | None = None
        self.tokens: float | None = None  # per second
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
        if self.tokens is not None:
            said.append(f"{self.tokens:,.0f} tokens/s")
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

    if is_quiet():
        yield _Silence()
        return
    console = Console(stderr=True)
    if console.is_jupyter:  # where rich can draw no bar without ipywidgets
        alive = importlib.util.find_spec("ipywidgets") is not None
    else:
        alive = sys.stderr.isatty() and console.is_interactive
    screen: _Screen = _Bars(console) if alive else _Lines()
    try:
        yield screen
    finally:
        screen.close()


class _Silence:
    """Nothing, where nobody wants to see it."""

    def draw(self, meter: _Meter) -> None:
        pass

    def close(self) -> None:
        pass


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
