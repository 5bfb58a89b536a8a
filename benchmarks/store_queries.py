"""The queries that the program asks of a store, timed one by one, and which index each uses."""

from __future__ import annotations

import itertools
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import store_rows as made
from understudy.store import Store, example_id
from understudy.store.flags import flags, set_flags
from understudy.store.provenance import add_training, trainings_of
from understudy.store.reviews import add_review, answered_example, closing_review
from understudy.store.rows import Flag, Review, Training
from understudy.store.search import search
from understudy.store.story import find_records, why


def measure_queries(store: Store, rows: int, *, repeats: int) -> float:
    """Print the 95th percentile of each query in milliseconds; returns the worst.

    Ends the benchmark where one of them reads a big table, or an index of one, from end to end.
    """
    _fill(store, rows)
    print(f"{'query':34} {'median ms':>10} {'p95 ms':>8} {'processor p95 ms':>17}")
    worst = 0.0
    for name, ask in _queries(store, rows).items():
        scans = _scans(store, ask)
        if scans:
            sys.exit(f"{name} scans: {scans}")
        times, busy = [], []
        for _ in range(repeats):
            start = time.perf_counter(), time.process_time()
            ask()
            times.append(1000 * (time.perf_counter() - start[0]))
            busy.append(1000 * (time.process_time() - start[1]))
        median, p95, worked = _at(times, 0.5), _at(times, 0.95), _at(busy, 0.95)
        print(f"{name:34} {median:10.2f} {p95:8.2f} {worked:17.2f}")
        worst = max(worst, p95)
    return worst


def _at(figures: list[float], share: float) -> float:
    return sorted(figures)[int(share * len(figures))]


def _fill(store: Store, rows: int) -> None:
    """Flags, reviews and a training for the queries that ask for them."""
    numbers = range(0, rows // 2, max(1, rows // 400))
    ids = [example_id(made.inputs(number)) for number in numbers]
    run = made.runs()[0].id
    for rule in ("conflict", "duplicate"):
        set_flags(store, made.TASK, rule, [Flag(example=one, rule=rule, score=0.5) for one in ids])
    for one in ids:
        add_review(
            store,
            made.TASK,
            Review(
                example=one,
                run=run,
                verdict="correct",
                reviewer="Ana",
                answer={"f1": {"emocao": "Medo"}},
                created=made.CREATED,
            ),
        )
    training = Training(
        folder="runs/label",
        name="label",
        task=made.TASK,
        base="embedded",
        target="label",
        run=run,
        rows_sha256="0" * 64,
        seed=0,
        created=made.CREATED,
    )
    taught = (example_id(made.inputs(number)) for number in range(min(rows // 2, 50_000)))
    add_training(store, training, taught)


def _queries(store: Store, rows: int) -> dict[str, Callable[[], Any]]:
    """Name -> ask it once, of another row each time."""
    rng = random.Random(0)
    runs = made.runs()
    answered = int(rows * made.SHARES[0])
    flagged = range(0, rows // 2, max(1, rows // 400))

    def some() -> str:
        return example_id(made.inputs(rng.randrange(answered)))

    def reviewed() -> str:
        return example_id(made.inputs(rng.choice(flagged)))

    def number() -> int:
        return rng.randint(1, rows)

    def asked() -> str:
        return " ".join(made.word_of_rank(rng.uniform(0, 1)) for _ in range(rng.randint(1, 3)))

    newest = (
        "select * from labels where number > (select max(number) from records) - 100 "
        "order by number desc"
    )
    return {
        "an example by id": lambda: answered_example(store, made.TASK, some()),
        "a record of a run": lambda: store.record(runs[0].id, some()),
        "a record by number": lambda: why(store, number()),
        "records by an example's id": lambda: find_records(store, some()[:10]),
        "a record by run and example": lambda: find_records(store, f"{runs[0].id}:{some()[:10]}"),
        "a page of examples": _pages(lambda: store.iter_examples(made.TASK)),
        "a page of a split": _pages(lambda: store.iter_examples(made.TASK, split="test")),
        "a page of records": _pages(lambda: store.iter_records(runs[0].id)),
        "a page of pairs": _pages(lambda: store.iter_pairs(runs[0].id)),
        "a page of pairs of a split": _pages(lambda: store.iter_pairs(runs[0].id, split="test")),
        "the runs": lambda: store.runs(task=made.TASK),
        "the newest records": lambda: store.connection.read(newest),
        "full text, a page": lambda: search(store, asked(), task=made.TASK),
        "the flags of a rule": lambda: flags(store, made.TASK, "conflict"),
        "the review of an example": lambda: closing_review(store, made.TASK, reviewed(), "Ana"),
        "the lessons of a record": lambda: trainings_of(store, number()),
    }


def _pages(begin: Callable[[], Iterator[Any]]) -> Callable[[], Any]:
    """Read the next page of an iterator, from the start again at its end."""
    from understudy.store.store import PAGE

    if next(begin(), None) is None:
        sys.exit("there is nothing to page through")
    reading = [begin()]

    def ask() -> Any:
        page = list(itertools.islice(reading[0], PAGE))
        if len(page) < PAGE:
            reading[0] = begin()
        return page

    return ask


def _scans(store: Store, ask: Callable[[], Any]) -> list[str]:
    """The steps of the query's plans that read a big table or its index from end to end."""
    asked: list[str] = []
    with store.connection.bare() as connection:
        connection.set_trace_callback(asked.append)
        try:
            ask()
        finally:
            connection.set_trace_callback(None)
        selects = [one for one in asked if one.lstrip().lower().startswith("select")]
        if not selects:
            sys.exit("a query asked nothing")
        plans = [
            row[3] for one in selects for row in connection.execute(f"explain query plan {one}")
        ]
    return [step for step in plans if reads_all(step)]


def reads_all(step: str) -> bool:
    """Whether a step such as "SCAN e" goes over a whole table, whatever it is called there.

    So does "SCAN e USING COVERING INDEX i". Full text answers a match as "SCAN f VIRTUAL TABLE
    INDEX 0:M1".
    """
    small = ("runs", "u", "json_each", "terms", "t", "trainings", "main")  # main: one row of FTS5's
    found = re.match(r"SCAN (\w+)(.*)", step)
    if not found or found[1] in small or "CONSTANT" in step:
        return False
    return not re.search(r"VIRTUAL TABLE INDEX \d+:\w", found[2])
