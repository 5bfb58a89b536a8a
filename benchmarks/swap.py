"""What recording costs the app that is recorded, on its own path, and what it loses.

    python -m benchmarks.swap [--quick] [--seconds N]

One chain (a 2 kB Portuguese text, a fake chat model that answers at once or after 20 ms) is called
200 times a second, as it is and inside `swap(...)` in mode record, from 8 threads and from one
event loop, for a second each in turn. Overhead is the wrapped chain's quantile less the bare one's,
the median of all rounds: of the median, and of the 99th percentile; a figure is the worst of the
four ways. `direct` is the difference call by call in one thread, and `processor` that of its
processor time: what the work itself takes, whoever else uses the machine. Beside it stand redaction
alone, and mode shadow with a student in another process. Then calls are counted:
below the queue's bound all must be rows; above it (the store held by somebody else) what is shed
must be counted, and the rest must be rows. The last line is one JSON object:
{"p50_ms": .., "p99_ms": .., "lost_below_bound": 0}.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import itertools
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

os.environ["LANGSMITH_TRACING_V2"] = "false"  # texts stay here, and the figures are without it

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel

from understudy.distill.redaction import key_redactor
from understudy.distill.standin.redactors import without_personal
from understudy.distill.standin.swap import swap

RATE = 200  # calls a second
THREADS = 8
SLOW = 0.02  # seconds
NEWS = (
    "O preço do pão subiu 3,5 % em maio, disse a ministra em Brasília; o custo médio, de "
    "R$ 1.234,50 por família, preocupa quem vive do salário mínimo. "
    "Dúvidas: ouvidoria@exemplo.gov.br ou (61) 3333-4444. "
)
_NUMBERS = itertools.count()


class Verdict(BaseModel):
    """The answer."""

    reasoning: str
    mood: Literal["calm", "angry"]


class Teacher(BaseChatModel):
    """Answers the same after `delay` seconds."""

    delay: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "fake"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        if self.delay:
            time.sleep(self.delay)
        return _result()

    async def _agenerate(self, *_: Any, **__: Any) -> ChatResult:
        if self.delay:
            await asyncio.sleep(self.delay)
        return _result()


def _result() -> ChatResult:
    usage = {"input_tokens": 700, "output_tokens": 30, "total_tokens": 730}
    said = AIMessage('{"reasoning": "prices rose", "mood": "angry"}', usage_metadata=usage)
    return ChatResult(generations=[ChatGeneration(message=said)])


def chain(delay: float) -> Runnable[Any, Any]:
    """The app."""
    prompt = ChatPromptTemplate.from_messages([("system", "Judge."), ("human", "{text}")])
    return prompt | Teacher(delay=delay) | PydanticOutputParser(pydantic_object=Verdict)


def question() -> dict[str, str]:
    """2,000 characters that nobody has asked before."""
    return {"text": (f"{next(_NUMBERS)}: " + NEWS * 12)[:2000]}


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


@contextlib.contextmanager
def wrapping(app: Runnable[Any, Any], path: Path, **options: Any) -> Iterator[Any]:
    """The app inside `swap`; closed behind the block."""
    wrapped = swap(app, store=path, **options)
    try:
        yield wrapped
    finally:
        wrapped.close(30)


STUDENT = """
import http.server, json, socketserver, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        end = time.process_time() + 0.003
        while time.process_time() < end: pass
        body = json.dumps({"reasoning": "prices rose", "mood": "angry"}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
server = Server(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def student_elsewhere() -> Iterator[Runnable[Any, Any]]:
    """A student in a process of its own, which computes for 3 ms a row; asked over loopback."""
    process = subprocess.Popen([sys.executable, "-c", STUDENT], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    held = threading.local()

    def ask(asked: dict[str, str]) -> dict[str, Any]:
        if not hasattr(held, "connection"):
            held.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        held.connection.request("POST", "/", json.dumps(asked).encode())
        answer: dict[str, Any] = json.loads(held.connection.getresponse().read())
        return answer

    try:
        yield RunnableLambda(ask, name="student elsewhere")
    finally:
        process.kill()
        process.wait()


def lost_below_bound(folder: Path, calls: int) -> int:
    """Calls at full speed of 8 threads, no more waiting than the bound: how many are no rows."""
    path = folder / "below.db"
    with wrapping(chain(0.0), path, bound=calls) as wrapped:
        parts = [calls // THREADS] * THREADS

        def ask(number: int) -> None:
            for _ in range(number):
                wrapped.invoke(question())

        threads = [threading.Thread(target=ask, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wrapped.flush(60)
    asked = sum(parts)
    print(f"below the bound: {asked:,} calls, {rows_in(path):,} rows")
    return asked - rows_in(path)


def shed_above_bound(folder: Path, calls: int, bound: int) -> tuple[int, int]:
    """The store is held, so the queue runs full: (calls shed and counted, calls nobody counted)."""
    path = folder / "above.db"
    with wrapping(chain(0.0), path, bound=bound) as wrapped:
        wrapped.invoke(question())
        wrapped.flush(10)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("begin immediate")
            took = [timed(wrapped, question())[0] for _ in range(calls)]
            other.execute("rollback")
        wrapped.flush(60)
        shed = wrapped.counts["shed"]
    kept = rows_in(path) - 1
    print(
        f"above the bound of {bound:,}: {calls:,} calls while the store was held, {shed:,} shed "
        f"and counted, {kept:,} rows; median call {1000 * statistics.median(took):.2f} ms, longest "
        f"{1000 * max(took):.1f} ms"
    )
    return shed, calls - shed - kept


def rows_in(path: Path) -> int:
    """How many calls the store holds."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("select count(*) from calls").fetchone()[0])


def redaction_ms() -> float:
    """The median of redacting one text."""
    keys, text, took = key_redactor(), question()["text"], []
    for _ in range(300):
        start = time.perf_counter()
        keys(without_personal(text))
        took.append(time.perf_counter() - start)
    return 1000 * statistics.median(took)


def show(name: str, found: dict[str, float]) -> None:
    """One line of the table."""
    bare = f"{found['bare p50']:8.2f} {found['bare p99']:8.2f}" if "bare p50" in found else " " * 17
    print(f"{name:34} {bare} {found['p50']:+10.3f} {found['p99']:+10.3f}")


def main() -> None:
    """Measure, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few seconds of each")
    parser.add_argument("--seconds", type=int, help="of each way, bare and wrapped")
    options = parser.parse_args()
    rounds = options.seconds or (2 if options.quick else 20)
    worst = {"p50": -1e9, "p99": -1e9}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        heads = (("bare p50", 8), ("p99", 8), ("p50 more", 10), ("p99 more", 10))
        print(f"{'ms, at 200 calls/s':34}", *(f"{head:>{width}}" for head, width in heads))
        for (way, drive), delay in itertools.product(WAYS.items(), (0.0, SLOW)):
            with wrapping(chain(delay), folder / f"{way}{delay}.db") as wrapped:
                found = overhead(chain(delay), wrapped, drive, rounds)
            show(f"record, {way}, model {1000 * delay:.0f} ms", found)
            worst = {p: max(worst[p], found[p]) for p in worst}
        with student_elsewhere() as student:
            for way, drive in WAYS.items():
                path, mode = folder / f"shadow {way}.db", {"student": student, "mode": "shadow"}
                with wrapping(chain(SLOW), path, **mode) as wrapped:
                    found = overhead(chain(SLOW), wrapped, drive, rounds)
                    shed = wrapped.counts["shed"]
                show(f"shadow, {way}, model 20 ms", found)
                print(f"  {shed:,} shed; the student in another process")
        for kind, gaps in direct(200 if options.quick else 2000, folder).items():
            show(f"record, {kind}, model 0 ms", gaps)
        print(f"redaction of 2,000 characters alone: {redaction_ms():.3f} ms")
        lost = lost_below_bound(folder, 800 if options.quick else 8000)
        _, uncounted = shed_above_bound(folder, *((400, 100) if options.quick else (4000, 1000)))
        print(f"lost and not counted above the bound: {uncounted}")
    figures = {"p50_ms": round(worst["p50"], 3), "p99_ms": round(worst["p99"], 3)}
    print(json.dumps({**figures, "lost_below_bound": lost + uncounted}))


if __name__ == "__main__":
    main()
