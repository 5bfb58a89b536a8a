"""A server under mixed load from a second process: statuses, crossed answers, memory, latency.

    python -m benchmarks.serve_soak [--minutes M] [--quick] [--seed N]

`understudy serve` runs the embedded base on one thread, behind a key; this process sends it good
requests, streams, tool calls, malformed bodies, 10 MB prompts, hostile schemas, wrong keys, slow
clients and clients that leave, 16 at a time. Good answers show whose they are: a constant that no
other request has, or a prompt whose greedy answer was asked alone beforehand. `errors` counts
wrong statuses and answers out of their schema, `crossed` answers that belong to another request,
`rss_growth` compares the server's memory in the last fifth of the time with the second fifth,
`p95_ms` is that of structured and known answers. The last line is one JSON object: {"requests":
.., "errors": .., "crossed": .., "rss_growth": .., "p95_ms": ..}; exit status 1 for any error or
crossed answer, or, from two minutes on, memory that grew by more than 10 %.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from benchmarks.serve_load import Crossed, Load, timed

WORKERS = 16
MOST_GROWTH = 0.10
JUDGED = 2.0  # minutes from which on the growth is one
GOOD = ("structured", "known answer")


class Seen:
    """What has been seen of one run."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, list[float]] = defaultdict(list)
        self.wrong: Counter[str] = Counter()
        self.crossed = 0
        self.told: Counter[str] = Counter()
        self.memory: list[float] = []

    def add(self, name: str, milliseconds: float, wrong: Exception | None) -> None:
        """One request."""
        self.milliseconds[name].append(milliseconds)
        if isinstance(wrong, Crossed):
            self.crossed += 1
        elif wrong is not None:
            self.wrong[name] += 1
        if wrong is not None:
            self.told[f"{name}: {type(wrong).__name__} {wrong}"[:200]] += 1

    @property
    def figures(self) -> dict[str, float]:
        """The last line."""
        good = [taken for name in GOOD for taken in self.milliseconds[name]]
        return {
            "requests": sum(map(len, self.milliseconds.values())),
            "errors": self.wrong.total(),
            "crossed": self.crossed,
            "rss_growth": round(self.growth(), 4),
            "p95_ms": round(_quantile(good, 0.95), 1),
        }

    def growth(self) -> float:
        """Of the memory, from the second fifth of the time to the last."""
        fifth = max(1, len(self.memory) // 5)
        begin = statistics.median(self.memory[fifth : 2 * fifth] or self.memory)
        return statistics.median(self.memory[-fifth:]) / begin - 1


@contextlib.contextmanager
def serving(log: IO[str]) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """The server's process, its port and its key."""
    key = secrets.token_urlsafe(24)
    command = [sys.executable, "-m", "understudy.distill.cli", "serve", "base=embedded"]
    process = subprocess.Popen(
        [*command, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "UNDERSTUDY_API_KEY": key},
    )
    try:
        assert process.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)/v1", process.stdout.readline())
        if found is None:
            sys.exit("the server does not start")
        yield process, int(found[1]), key
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def soak(load: Load, process: subprocess.Popen[str], seconds: float, seen: Seen) -> None:
    """Load the server for so long, and look at its memory all the while."""
    import psutil

    await load.learn()
    end = time.monotonic() + seconds
    server = psutil.Process(process.pid)

    async def work() -> None:
        while time.monotonic() < end and process.poll() is None:
            seen.add(*await timed(load))

    async def look() -> None:
        while time.monotonic() < end and process.poll() is None:
            seen.memory.append(server.memory_info().rss / 2**20)
            await asyncio.sleep(min(1.0, seconds / 50))

    await asyncio.gather(look(), *(work() for _ in range(WORKERS)))


def main() -> None:
    """Parse, load, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--quick", action="store_true", help="some seconds")
    parser.add_argument("--seed", type=int, default=0, help="of the mix")
    asked = parser.parse_args()
    minutes = 0.1 if asked.quick else asked.minutes
    seen = Seen()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        with path.open("w+") as log, serving(log) as (process, port, key):
            asyncio.run(soak(Load(port, key, seed=asked.seed), process, 60 * minutes, seen))
            _stop(process, seen)
        told = path.read_text()
    if key in told or "Traceback" in told:
        seen.wrong["log"] += 1
        seen.told["the server's log holds a traceback or the key"] += 1
    _print(seen)
    print(json.dumps(seen.figures))
    grown = minutes >= JUDGED and seen.growth() > MOST_GROWTH
    if seen.wrong or seen.crossed or grown:
        sys.exit(1)


def _stop(process: subprocess.Popen[str], seen: Seen) -> None:
    """SIGTERM: it has to end by itself, with status 0. Windows cannot ask it to: it is killed."""
    process.terminate()
    if sys.platform == "win32":
        return
    try:
        status: Any = process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        status = "none"
    if status != 0:
        seen.wrong["ending"] += 1
        seen.told[f"the server ended with status {status}"] += 1


def _print(seen: Seen) -> None:
    print(f"{'kind':16}{'requests':>10}{'wrong':>8}{'median ms':>12}{'p95 ms':>10}")
    for name, taken in sorted(seen.milliseconds.items(), key=lambda one: -len(one[1])):
        print(
            f"{name:16}{len(taken):10}{seen.wrong[name]:8}"
            f"{statistics.median(taken):12.1f}{_quantile(taken, 0.95):10.1f}"
        )
    for line, count in seen.told.most_common(10):
        print(f"{count} x {line}")
    print(f"memory: {min(seen.memory):.0f} to {max(seen.memory):.0f} MB")


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


if __name__ == "__main__":
    main()
