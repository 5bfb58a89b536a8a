"""How fast the store writes and reads, beside sqlite3 writing the same rows into the same file.

    python -m benchmarks.store [--quick] [--rows N] [--folder FOLDER]

Ingest: examples and records with reasoning (`add_examples`, `add_records`), beside executemany of
the same prepared rows in one transaction into the same tables, indexes and full text; each in a
process of its own, without the making of the rows; the share is of processor time, that of the
wall clock is printed beside; memory from a tenth of the way on. Commits: `add_record` beside one
writer doing the same commits under the same pragmas, in turns. Four processes write at once, and
every row is looked for. Then the queries that the program uses, each found to go through an index,
and the totals of a report. The last line is one JSON object: {"ingest_share": ..,
"commit_share": .., "worst_query_p95_ms": .., "report_totals_s": .., "rss_growth_mb": ..}. Exit
status 1 where a row is lost or a query scans a big table.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks import store_rows as made
from benchmarks.store_queries import measure_queries
from understudy.store import Store
from understudy.store.care import verify
from understudy.store.totals import answer_counts, gold_counts, run_totals, split_totals

CHUNK = 2_000  # rows made at once
BLOCK = 200  # commits of one side in turn
PATHS = [f"{part}.{name}" for part in ("f1", "f2", "f3") for name in made.CLASSES]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rows")
    parser.add_argument("--rows", type=int, help="examples, and as many records; default 500,000")
    parser.add_argument("--folder", type=Path, help="where the files go; default: a temporary one")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)  # a process of this benchmark
    asked = parser.parse_args()
    rows = asked.rows or (10_000 if asked.quick else 500_000)
    if asked.part:
        name, path = asked.part
        print(json.dumps(PARTS[name](Path(path), rows)))
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        figures = _measure(Path(folder), rows, quick=asked.quick)
    print(json.dumps(figures))


def _measure(folder: Path, rows: int, *, quick: bool) -> dict[str, float]:
    raw = _part("raw", folder / "raw.db", rows)
    (folder / "raw.db").unlink()
    own = _part("own", folder / "own.db", rows)
    print(f"ingest of {rows:,} examples and {own['records']:,} records")
    print(f"  {'':8} {'processor s':>12} {'rows/s':>10} {'wall-clock s':>13} {'rows/s':>10}")
    written = rows + own["records"]
    for side, found in (("sqlite3", raw), ("store", own)):
        busy, wall = found["seconds"], found["wall"]
        print(
            f"  {side:8} {busy:12.1f} {written / busy:10,.0f} {wall:13.1f} {written / wall:10,.0f}"
        )
    print(
        f"  {'share':8} {raw['seconds'] / own['seconds']:12.3f} {'':10} "
        f"{raw['wall'] / own['wall']:13.3f}"
    )
    print(
        f"  memory {own['rss_mb']:.0f} MB at the end, {own['growth_mb']:.1f} MB more than at 10 %"
    )
    commit = _commit_share(folder, 1_000 if quick else 6_000)
    _write_at_once(folder, 250 if quick else 2_000)
    with Store(folder / "own.db") as store:
        worst = measure_queries(store, rows, repeats=60 if quick else 200)
        totals = _totals(store)
    return {
        "ingest_share": round(raw["seconds"] / own["seconds"], 3),
        "commit_share": round(commit, 3),
        "worst_query_p95_ms": round(worst, 2),
        "report_totals_s": round(totals, 3),
        "rss_growth_mb": round(own["growth_mb"], 1),
    }


def _part(name: str, path: Path, rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.store", "--part", name, str(path)]
    ended = subprocess.run(
        [*command, "--rows", str(rows)], stdout=subprocess.PIPE, text=True, check=True
    )
    figures: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return figures


class Source:
    """Rows made a chunk at a time; the time that making them takes, and the memory in between."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.wall = 0.0
        self.memory: list[float] = []

    def rows(self, make: Callable[[range], Any], count: int) -> Iterator[Any]:
        """What `make` makes of each chunk of numbers up to `count`."""
        for first in range(0, count, CHUNK):
            start, clock = time.process_time(), time.perf_counter()
            chunk = list(make(range(first, min(count, first + CHUNK))))
            self.memory.append(_memory())
            self.seconds += time.process_time() - start
            self.wall += time.perf_counter() - clock
            yield from chunk

    def times_since(self, start: float, clock: float) -> dict[str, float]:
        """Processor and wall-clock seconds since then, without the making of the rows."""
        return {
            "seconds": time.process_time() - start - self.seconds,
            "wall": time.perf_counter() - clock - self.wall,
        }


def _ingest_raw(path: Path, rows: int) -> dict[str, float]:
    source = Source()
    connection = made.raw_connection(path)
    start, clock = time.process_time(), time.perf_counter()
    connection.execute("begin immediate")
    connection.executemany(made.insert("examples"), source.rows(made.example_cells, rows))
    before = 0
    for position, (run, count) in enumerate(made.spread(rows), start=1):

        def cells(numbers: range, run: Any = run, at: int = position, before: int = before) -> Any:
            return made.record_cells(run, numbers, position=at, before=before)

        connection.executemany(made.insert("records"), source.rows(cells, count))
        before += count
    connection.execute("commit")
    times = source.times_since(start, clock)
    connection.close()
    return times


def _ingest_own(path: Path, rows: int) -> dict[str, float]:
    source = Source()
    with Store(path) as store:
        for run in made.runs():
            store.start_run(run)
        start, clock = time.process_time(), time.perf_counter()
        store.add_examples(source.rows(made.examples, rows))
        records = itertools.chain.from_iterable(
            source.rows(lambda numbers, run=run: made.records(run, numbers), count)
            for run, count in made.spread(rows)
        )
        written = store.add_records(records)
        times = source.times_since(start, clock)
    early = source.memory[len(source.memory) // 10]
    late = source.memory[len(source.memory) // 10 :]
    return {
        **times,
        "records": written,
        "rss_mb": source.memory[-1],
        "growth_mb": max(late) - early,
    }


def _memory() -> float:
    """Megabytes that this process holds now."""
    return float(psutil.Process().memory_info().rss) / 1e6


def _commit_share(folder: Path, commits: int) -> float:
    """The rate of `add_record` in shares of sqlite3's rate with the same commits, in turns."""
    (run, *_), numbers = made.runs(), range(commits)
    raw = made.raw_connection(folder / "raw_commits.db")
    raw.executemany(made.insert("examples"), made.example_cells(numbers))
    rows = list(made.record_cells(run, numbers, position=1, before=0))
    told = made.records(run, numbers)
    seconds = {"sqlite3": 0.0, "store": 0.0}
    with Store(folder / "own_commits.db") as store:
        store.start_run(run)
        store.add_examples(made.examples(numbers))
        for first in range(0, commits, BLOCK):
            start = time.perf_counter()
            for row in rows[first : first + BLOCK]:
                raw.execute("begin immediate")
                raw.execute(made.insert("records"), row)
                raw.execute("commit")
            between = time.perf_counter()
            for record in told[first : first + BLOCK]:
                store.add_record(record)
            seconds["sqlite3"] += between - start
            seconds["store"] += time.perf_counter() - between
    raw.close()
    print(f"{commits:,} records, each committed")
    for side, took in seconds.items():
        print(f"  {side:8} {commits / took:10,.0f} commits/s")
    return seconds["sqlite3"] / seconds["store"]


def _write_slice(path: Path, rows: int) -> dict[str, float]:
    """One of several writers: `path` is FILE:NUMBER, and it writes the NUMBERth `rows` records."""
    file, _, number = str(path).rpartition(":")
    mine = range(int(number) * rows, (int(number) + 1) * rows)
    (run, *_) = made.runs()
    with Store(file) as store:
        return {"written": sum(map(store.add_record, made.records(run, mine)))}


def _write_at_once(folder: Path, each: int) -> None:
    """Four processes commit records into one file; ends the benchmark where one is missing."""
    path, writers = folder / "four.db", 4
    (run, *_) = made.runs()
    with Store(path) as store:
        store.start_run(run)
        store.add_examples(made.examples(range(writers * each)))
        command = [sys.executable, "-m", "benchmarks.store", "--rows", str(each), "--part"]
        started = [
            subprocess.Popen([*command, "slice", f"{path}:{n}"], stdout=subprocess.DEVNULL)
            for n in range(writers)
        ]
        statuses = [process.wait() for process in started]
        wanted = made.records(run, range(writers * each))
        kept = {record.example: record for record in store.iter_records(run.id)}
        lost = sum(kept.get(record.example) != record for record in wanted)
        problems = verify(store)
    print(
        f"4 processes wrote {writers * each:,} records at once: {lost} lost, {problems or 'whole'}"
    )
    if lost or problems or any(statuses):
        sys.exit("rows were lost")


def _totals(store: Store) -> float:
    """Seconds for what a report adds up: runs, splits, classes of the largest run and of gold."""
    start = time.perf_counter()
    rows = sum(total.rows for total in run_totals(store))
    splits = split_totals(store, made.TASK)
    said = answer_counts(store, made.runs()[0].id, PATHS)
    gold = gold_counts(store, made.TASK, PATHS)
    seconds = time.perf_counter() - start
    print(
        f"totals of a report: {seconds:.2f} s for {rows:,} records, "
        f"{sum(split.examples for split in splits):,} examples, "
        f"{sum(said['f1.emocao'].values()):,} answers, {sum(gold['f1.emocao'].values()):,} gold"
    )
    return seconds


PARTS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "raw": _ingest_raw,
    "own": _ingest_own,
    "slice": _write_slice,
}

if __name__ == "__main__":
    main()
