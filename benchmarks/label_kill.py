"""One labelling run whose process is killed (SIGKILL) at random moments until the last row.

    python -m benchmarks.label_kill [--quick] [--kills N] [--seed N]

A child process labels against the teacher server; it is killed a random time after its first call
(one in five: after its start), and started again with the same call. After each kill the rows in
the store are noted with the server's count of requests for them. At the end: `lost` rows that are
not labelled; `labelled_twice` rows with more than one record; `bought_again` requests for rows that
were in the store when a kill came. What is in flight at a kill is asked again, nothing else: more
requests than rows plus in-flight calls of all kills end the benchmark with status 1, as does any
of the three. The last line is one JSON object:
{"kills": .., "lost": .., "labelled_twice": .., "bought_again": ..}.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ["LANGSMITH_TRACING_V2"] = "false"

from benchmarks.teacher_server import Served, serving
from benchmarks.teacher_task import new_store, row_of, task
from understudy.store import Store

AT_ONCE, AT_THE_END = 16, 64
LATENCY = (0.05, 0.15)
LONGEST_LIFE = 0.6  # seconds
ROWS_PER_KILL = 80  # more than are labelled between two kills
PRELOAD = ["langchain_openai", "openai.resources.chat", "aiohttp", "genai_prices.data_snapshot"]
PRELOAD += ["understudy.distill.labelling.label", "benchmarks.teacher_task"]


def work(path: str, url: str, concurrency: int) -> None:
    """The child: one call of `label`."""
    from benchmarks.teacher_task import teacher
    from understudy.distill.labelling.label import label

    with Store(path) as store:
        label(task, teacher(url), store, concurrency=concurrency)


class Killed:
    """One run, and what was known of it at each kill."""

    def __init__(self, served: Served, path: Path, rows: int) -> None:
        self.served, self.path, self.rows = served, path, rows
        with new_store(path, rows) as store:
            self.names = {one.id: row_of(one) for one in store.iter_examples(task.name)}
        self.asked: dict[str, int] = {}  # requests for a row when it was first seen in the store
        self.kills = 0
        way = "spawn" if sys.platform == "win32" else "forkserver"
        self.context = multiprocessing.get_context(way)
        if way == "forkserver":  # the libraries are loaded once for all of them
            self.context.set_forkserver_preload(PRELOAD)

    def start(self, concurrency: int) -> Any:
        """A child at work."""
        arguments = (str(self.path), self.served.url, concurrency)
        child = self.context.Process(target=work, args=arguments)
        child.start()
        return child

    def kill(self, after: float, *, starting: bool) -> None:
        """Start a child, kill it so long after its start or first call, note what is stored."""
        before = self.served.requests()
        child = self.start(AT_ONCE)
        while not starting and self.served.requests() == before and child.exitcode is None:
            time.sleep(0.01)
        child.join(after)
        if child.exitcode is not None:
            sys.exit(f"the run ended (status {child.exitcode}) after {self.kills} kills")
        child.kill()
        child.join()
        self.kills += 1
        stored, counts = self.stored(), self.served.ledger()["rows"]
        for row in stored:
            self.asked.setdefault(row, counts[row][0])

    def stored(self) -> Counter[str]:
        """The rows in the store, and how many records each has in all runs."""
        with Store(self.path, read_only=True) as store:
            return Counter(
                self.names[record.example]
                for run in store.runs(task.name)
                for record in store.iter_records(run.id)
                if record.answer is not None
            )

    def figures(self) -> dict[str, int]:
        """What the store and the server's books say at the end."""
        stored, rows = self.stored(), self.served.ledger()["rows"]
        return {
            "kills": self.kills,
            "lost": self.rows - len(stored),
            "labelled_twice": sum(count > 1 for count in stored.values()),
            "bought_again": sum(rows[row][0] - count for row, count in self.asked.items()),
        }


def main() -> None:
    """Parse, kill, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="5 kills")
    parser.add_argument("--kills", type=int, help="default 100")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    asked = parser.parse_args()
    kills = asked.kills or (5 if asked.quick else 100)
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder, serving(latency=LATENCY) as served:
        killed = Killed(served, Path(folder) / "u.db", kills * ROWS_PER_KILL)
        _warm_up(killed, Path(folder) / "warm.db")
        for _ in range(kills):
            killed.kill(rng.uniform(0, LONGEST_LIFE), starting=rng.random() < 0.2)
            if killed.kills % 20 == 0:
                print(f"{killed.kills} kills, {len(killed.asked):,} rows seen in the store")
        last = killed.start(AT_THE_END)
        last.join()
        figures, requests = killed.figures(), served.ledger()["requests"]
    again, most = requests - killed.rows, kills * AT_ONCE
    print(
        f"{killed.rows:,} rows, {len(killed.asked):,} of them stored before the last kill; "
        f"{requests:,} requests: {again} calls were in flight at a kill, of at most {most}"
    )
    print(json.dumps(figures))
    if last.exitcode or again > most or any(figures[name] for name in figures if name != "kills"):
        sys.exit(1)


def _warm_up(killed: Killed, path: Path) -> None:
    """One small run of another store, so that the first child starts as quickly as the others."""
    with new_store(path, 1):
        pass
    child = killed.context.Process(target=work, args=(str(path), killed.served.url, 1))
    child.start()
    child.join()
    if child.exitcode:
        sys.exit("a run that nobody killed failed")
    killed.served.reset(latency=LATENCY)


if __name__ == "__main__":
    main()
