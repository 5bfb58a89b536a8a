"""What becomes of calls below and above the queue's bound: rows, or counted as shed."""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
import threading
from pathlib import Path

from .swap_app import chain, question, wrapping
from .swap_timing import THREADS, timed


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
