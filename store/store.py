"""The Store: one SQLite file that remembers every example, run and record."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from . import schema
from .rows import Example, Record, Row, Run
from .statements import ADD_RECORD, PAIRS, insert_into, row_of, values_of

logger = logging.getLogger(__name__)
LOCK_SECONDS = 30.0


class StoreError(Exception):
    """A store, or a file of rows, that cannot be read or written: what, which one, what to do."""


class Added(Row):
    """What `add_examples` did, in rows: `new` ones, and ones `known` before.

    Of the known, `gold_filled` had no gold and now have; `gold_differs` came with another gold
    than the one they have, which was kept.
    """

    new: int
    known: int
    gold_filled: int
    gold_differs: int


class Store:
    """The store in the file `path`, made where there is none; or in memory, for ":memory:".

    `create=False` refuses a path where there is no file. Several threads may share a store, and
    several processes may open one file at once. Every method that writes has committed when it
    returns. Every method raises StoreError, one line, where the file cannot be used: no database,
    another program's, newer, damaged, read-only, full, locked.
    """

    def __init__(self, path: str | Path, *, create: bool = True) -> None:
        self.path = str(path)
        if not create and not Path(path).exists():
            raise StoreError(f"there is no store {path}; run distill first, or give --store")
        self._lock = threading.RLock()  # one connection for all threads: no two statements at once
        with self._told():
            self._connection = self._connect()
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was written is there."""
        with self._told(), self._lock:
            self._connection.close()

    def add_examples(self, examples: Iterable[Example]) -> Added:
        """Remember examples, all or none. A known one keeps its split, and its gold if it has one.

        Two examples are the same where task and id are.
        """
        rows = list(examples)  # before the file is locked: where they come from may be slow
        counts = dict.fromkeys(Added.model_fields, 0)
        with self._writing() as connection:
            for example in rows:
                counts[_add_example(connection, example)] += 1
        counts["known"] += counts["gold_filled"] + counts["gold_differs"]
        return Added(**counts)

    def examples(
        self, task: str, *, split: str | None = None, limit: int | None = None
    ) -> list[Example]:
        """The task's examples (of one split) in the order they came; `limit` is per split."""
        rows = self._read(
            "select * from (select *, row_number() over (partition by split order by position) "
            "as place from examples where task = :task and (:split is null or split = :split)) "
            "where :limit is null or place <= :limit order by position",
            task=task,
            split=split,
            limit=limit,
        )
        with self._told():
            return [row_of(Example, row) for row in rows]

    def splits(self, task: str) -> dict[str, int]:
        """How many examples of the task each split holds."""
        rows = self._read(
            "select split, count(*) as n from examples where task = :task "
            "group by split order by min(position)",
            task=task,
        )
        return {row["split"]: row["n"] for row in rows}

    def start_run(self, run: Run) -> Run:
        """Remember a run; one that is known is returned as it was started."""
        with self._writing() as connection:
            connection.execute(
                insert_into("runs", Run, "on conflict (id) do nothing"), values_of(run)
            )
        return self.run(run.id)

    def finish_run(self, run_id: str, finished: str) -> None:
        """Say when the run had answered all it was asked."""
        with self._writing() as connection:
            done = connection.execute(
                "update runs set finished = ? where id = ?", (finished, run_id)
            )
            if not done.rowcount:
                raise StoreError(f"{self.path} has no run {run_id}")

    def run(self, run_id: str) -> Run:
        """The run of this id. Raises StoreError where there is none."""
        rows = self._read("select * from runs where id = :id", id=run_id)
        if not rows:
            raise StoreError(f"{self.path} has no run {run_id}")
        with self._told():
            return row_of(Run, rows[0])

    def runs(self, task: str | None = None, role: str | None = None) -> list[Run]:
        """The runs (of a task, of a role), newest first."""
        rows = self._read(
            "select * from runs where (:task is null or task = :task) "
            "and (:role is null or role = :role) "
            "order by coalesce(finished, started) desc, position desc",
            task=task,
            role=role,
        )
        with self._told():
            return [row_of(Run, row) for row in rows]

    def add_record(self, record: Record) -> bool:
        """Remember what a run answered to an example; False, and nothing done, where it has an
        answer already.

        An earlier failure is replaced, but what was paid for is not forgotten: attempts, tokens,
        cost and seconds add up, and its raw text stays where the new record brings none. Raises
        StoreError where the store does not have the run or the example.
        """
        with self._writing() as connection:
            return connection.execute(ADD_RECORD, values_of(record)).rowcount > 0

    def records(self, run_id: str, *, split: str | None = None) -> list[Record]:
        """The run's records (on one split) in the order of the examples."""
        rows = self._read(f"select r.* {PAIRS}", run=run_id, split=split)
        with self._told():
            return [row_of(Record, row) for row in rows]

    def pairs(self, run_id: str, *, split: str | None = None) -> list[tuple[Example, Record]]:
        """The run's examples (of one split) with what it answered, in the examples' order."""
        rows = self._read(f"select e.*, r.* {PAIRS}", run=run_id, split=split)
        with self._told():
            return [(row_of(Example, row), row_of(Record, row)) for row in rows]

    def answered(self, run_id: str) -> set[str]:
        """The ids of the examples that need not be asked again: answered, or failed with a text.

        A failure without any text brought nothing, so it is asked again.
        """
        rows = self._read(
            "select example from records where run = :run "
            "and (answer is not null or raw is not null)",
            run=run_id,
        )
        return {row["example"] for row in rows}

    def _connect(self) -> sqlite3.Connection:
        if Path(self.path).is_dir():
            raise StoreError(f"{self.path} is a folder; a store is a file, name one")
        if not Path(self.path).parent.is_dir():
            raise StoreError(f"{self.path}: there is no such folder; make it first")
        return sqlite3.connect(
            self.path, timeout=LOCK_SECONDS, check_same_thread=False, isolation_level=None
        )

    def _prepare(self) -> None:
        connection = self._connection
        connection.row_factory = sqlite3.Row
        connection.execute("pragma foreign_keys = on")
        lacking = self._lacks_tables()  # asked first: another program's file stays as it is
        self._write_ahead()
        connection.execute("pragma synchronous = normal")
        if lacking:
            with self._writing():
                schema.apply_steps(connection)

    def _lacks_tables(self) -> bool:
        applied = schema.applied_steps(self._connection)
        mine = [step.__name__ for step in schema.STEPS]
        if newer := [name for name in applied if name not in mine]:
            raise StoreError(
                f"{self.path} was written by a newer version ({newer[-1]}); upgrade understudy"
            )
        if not applied and schema.tables(self._connection):
            raise StoreError(f"{self.path} is another program's SQLite file; name another one")
        return applied != mine

    def _write_ahead(self) -> None:
        """Readers do not wait for writers, where the file system can do it."""
        try:
            (mode,) = self._connection.execute("pragma journal_mode = wal").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise
            (mode,) = self._connection.execute("pragma journal_mode = delete").fetchone()
        if mode not in ("wal", "memory"):
            logger.warning(
                "%s: its file system cannot do write-ahead logging, using a rollback journal",
                self.path,
            )

    def _read(self, statement: str, **values: Any) -> list[sqlite3.Row]:
        with self._told(), self._lock:
            return self._connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._told(), self._lock:
            self._connection.execute("begin immediate")
            try:
                yield self._connection
                self._connection.execute("commit")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("rollback")
                raise

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What SQLite and JSON raise, as one line that says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {_advice(str(error))}") from error
        except (ValueError, OverflowError) as error:
            reason = " ".join(str(error).split())[:200]
            raise StoreError(f"{self.path}: a row is no valid data: {reason}") from error


def _advice(error: str) -> str:
    known = {
        "disk is full": "the disk is full; what was committed is kept, free space and run again",
        "not a database": "is no SQLite file; name another one",
        "malformed": "the file is damaged; put a copy in its place, or try sqlite3's .recover",
        "readonly": "the file or its folder is read-only; what was committed is kept",
        "locked": f"another process has held it for {LOCK_SECONDS:.0f} s; try again later",
        "unable to open": "cannot be opened or made; is its folder there, and writable?",
        "disk I/O": "the disk failed to read or write; what was committed before is kept",
        "records.task": "a record of a run that the store does not have; start the run first",
        "FOREIGN KEY": "a record of an example that the store does not have; add it first",
    }
    return next((advice for words, advice in known.items() if words in error), error)


def _add_example(connection: sqlite3.Connection, example: Example) -> str:
    """Which field of Added this example counts in."""
    values = values_of(example)
    insert = insert_into("examples", Example, "on conflict (task, id) do nothing")
    if connection.execute(insert, values).rowcount:
        return "new"
    if example.gold is None:
        return "known"
    select = "select gold from examples where task = :task and id = :id"
    (gold,) = connection.execute(select, values).fetchone()
    if gold is None:
        connection.execute(
            "update examples set gold = :gold where task = :task and id = :id", values
        )
        return "gold_filled"
    return "known" if json.loads(gold) == json.loads(values["gold"]) else "gold_differs"
