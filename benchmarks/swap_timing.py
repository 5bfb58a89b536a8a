"""What an app's caller waits more: calls at their times, bare and wrapped ones in turn."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.runnables import Runnable

from understudy.distill.redaction import key_redactor
from understudy.distill.standin.redactors import without_personal

from .swap_app import chain, question, wrapping

RATE = 200  # calls a second
THREADS = 8


def by_threads(app: Runnable[Any, Any], seconds: float, took: list[float]) -> None:
    """RATE calls a second from THREADS threads, each at its time."""
    begin = time.perf_counter()
    places = itertools.count()

    def ask() -> None:
        while (place := next(places)) < seconds * RATE:
            asked = question()
            time.sleep(max(0.0, begin + place / RATE - time.perf_counter()))
            start = time.perf_counter()
            app.invoke(asked)
            took.append(time.perf_counter() - start)

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def by_event_loop(app: Runnable[Any, Any], seconds: float, took: list[float]) -> None:
    """RATE calls a second from one event loop, each at its time."""

    async def ask(asked: dict[str, str]) -> None:
        start = time.perf_counter()
        await app.ainvoke(asked)
        took.append(time.perf_counter() - start)

    async def all_of_them() -> None:
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for place in range(int(seconds * RATE)):
                asked = question()
                await asyncio.sleep(max(0.0, begin + place / RATE - time.perf_counter()))
                group.create_task(ask(asked))

    asyncio.run(all_of_them())


Drive = Callable[[Runnable[Any, Any], float, list[float]], None]
WAYS: dict[str, Drive] = {"8 threads": by_threads, "event loop": by_event_loop}


def overhead(bare: Runnable[Any, Any], wrapped: Any, drive: Drive, rounds: int) -> dict[str, float]:
    """Milliseconds that the wrapped chain takes more, at the median and the 99th percentile.

    Each round is a second of both; a figure is the median of the rounds, so that what else the
    machine does in some of them counts for little.
    """
    found: dict[str, list[float]] = {}
    drive(bare, 0.25, [])
    drive(wrapped, 0.25, [])
    for number in range(rounds):
        pair = [("bare", bare), ("wrapped", wrapped)]
        here = {}
        for name, app in pair if number % 2 else reversed(pair):
            drive(app, 1.0, took := [])
            wrapped.flush(10)
            here |= {f"{name} p{n}": 1000 * quantile(took, n / 100) for n in (50, 99)}
        here |= {p: here[f"wrapped {p}"] - here[f"bare {p}"] for p in ("p50", "p99")}
        for name, value in here.items():
            found.setdefault(name, []).append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def direct(calls: int, folder: Path) -> dict[str, dict[str, float]]:
    """The difference call by call, one thread, at its own speed: of the clock and the processor."""
    bare, gaps = chain(0.0), dict[str, list[float]](direct=[], processor=[])
    with wrapping(chain(0.0), folder / "direct.db", bound=100_000) as wrapped:
        for number in range(calls):
            asked = question()
            apps = (bare, wrapped) if number % 2 else (wrapped, bare)
            took = [timed(app, asked) for app in apps]
            for kind, values in enumerate(gaps.values()):
                gap = took[1][kind] - took[0][kind]
                values.append(gap if number % 2 else -gap)
            time.sleep(0.002)
    return {
        name: {f"p{n}": 1000 * quantile(values, n / 100) for n in (50, 99)}
        for name, values in gaps.items()
    }


def timed(app: Runnable[Any, Any], asked: Any) -> tuple[float, float]:
    """Seconds of one call, and of this thread's processor time."""
    start, busy = time.perf_counter(), time.thread_time()
    app.invoke(asked)
    return time.perf_counter() - start, time.thread_time() - busy


def quantile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def redaction_ms() -> float:
    """The median of redacting one text."""
    keys, text, took = key_redactor(), question()["text"], []
    for _ in range(300):
        start = time.perf_counter()
        keys(without_personal(text))
        took.append(time.perf_counter() - start)
    return 1000 * statistics.median(took)
