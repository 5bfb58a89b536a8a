"""The Store: one SQLite file that remembers every example, run and record."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .rows import Example, Record, Row, Run
from .schema import migrations

if TYPE_CHECKING:
    from sqlite_utils import Database

logger = logging.getLogger(__name__)
LOCK_SECONDS = 30.0
_JSON = {"inputs", "gold", "parameters", "versions", "answer", "confidence"}
_SUMMED = ("attempts", "input_tokens", "output_tokens", "cost", "seconds")


class StoreError(Exception):
    """A store that cannot be read or written: what, which one, what to do."""


class Added(Row):
    """What `add_examples` did: new rows, rows known before, and known rows whose gold was filled.

    `gold_differs` counts known rows that came with another gold; theirs was kept as it was.
    """

    new: int = 0
    known: int = 0
    gold_filled: int = 0
    gold_differs: int = 0


class Store:
    """A store at `path`, or in memory for ":memory:"; made where there is none.

    Safe to use from several threads and from several processes at once; every method that writes
    commits before it returns. Raises StoreError where the file cannot be used.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._lock = threading.RLock()
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
        with self._lock:
            self._connection.close()

    def add_examples(self, examples: Iterable[Example]) -> Added:
        """Remember examples. One that is known keeps its split; a gold it lacks is filled in."""
        counts = dict.fromkeys(Added.model_fields, 0)
        with self._writing() as connection:
            for example in examples:
                counts[self._add_example(connection, example)] += 1
        counts["known"] += counts["gold_filled"] + counts["gold_differs"]
        return Added(**counts)

    def examples(
        self, task: str, *, split: str | None = None, limit: int | None = None
    ) -> list[Example]:
        """The task's examples (of one split) in the order they came; `limit` is per split."""
        rows = self._read(
            "select e.* from (select *, row_number() over "
            "(partition by split order by position) as place from examples where task = ?) e "
            "where (? is null or split = ?) and (? is null or place <= ?) order by position",
            (task, split, split, limit, limit),
        )
        return [Example(**_fields(row, Example)) for row in rows]

    def splits(self, task: str) -> dict[str, int]:
        """How many examples of the task each split holds."""
        rows = self._read(
            "select split, count(*) as n from examples where task = ? group by split "
            "order by min(position)",
            (task,),
        )
        return {row["split"]: row["n"] for row in rows}

    def start_run(self, run: Run) -> Run:
        """Remember a run; one that is known is returned as it was started."""
        with self._writing() as connection:
            connection.execute(_insert("runs", Run, "on conflict (id) do nothing"), _values(run))
        return self.run(run.id)

    def finish_run(self, run_id: str, finished: str) -> None:
        """Say when the run had answered all it was asked."""
        with self._writing() as connection:
            connection.execute("update runs set finished = ? where id = ?", (finished, run_id))

    def run(self, run_id: str) -> Run:
        """The run of this id. Raises StoreError where there is none."""
        rows = self._read("select * from runs where id = ?", (run_id,))
        if not rows:
            raise StoreError(f"{self.path} has no run {run_id}")
        return Run(**_fields(rows[0], Run))

    def runs(self, task: str | None = None, role: str | None = None) -> list[Run]:
        """The runs (of a task, of a role), newest first."""
        rows = self._read(
            "select * from runs where (? is null or task = ?) and (? is null or role = ?) "
            "order by started desc, rowid desc",
            (task, task, role, role),
        )
        return [Run(**_fields(row, Run)) for row in rows]

    def add_record(self, record: Record) -> bool:
        """Remember what a run answered to an example; False where it has an answer already.

        A record that replaces a failure adds up attempts, tokens, cost and seconds: what was paid
        for is not forgotten.
        """
        sums = ", ".join(
            f"{name} = case when excluded.{name} is null and records.{name} is null then null "
            f"else coalesce(records.{name}, 0) + coalesce(excluded.{name}, 0) end"
            for name in _SUMMED
        )
        kept = ", ".join(
            f"{name} = excluded.{name}"
            for name in Record.model_fields
            if name not in (*_SUMMED, "run", "example")
        )
        conflict = (
            f"on conflict (run, example) do update set {sums}, {kept} where records.answer is null"
        )
        with self._writing() as connection:
            cursor = connection.execute(_insert("records", Record, conflict), _values(record))
            return cursor.rowcount > 0

    def records(self, run_id: str, *, split: str | None = None) -> list[Record]:
        """The run's records (on one split) in the order of the examples."""
        return [record for _, record in self.pairs(run_id, split=split)]

    def pairs(self, run_id: str, *, split: str | None = None) -> list[tuple[Example, Record]]:
        """The run's examples (of one split) with what it answered, in the examples' order."""
        rows = self._read(
            'select e.task, e.id, e.split, e.inputs, e.gold, e."group", r.* from records r '
            "join runs on runs.id = r.run "
            "join examples e on e.task = runs.task and e.id = r.example "
            "where r.run = ? and (? is null or e.split = ?) order by e.position",
            (run_id, split, split),
        )
        return [(Example(**_fields(r, Example)), Record(**_fields(r, Record))) for r in rows]

    def answered(self, run_id: str) -> set[str]:
        """The examples that need not be asked again: answered, or failed with a text to show.

        A failure without any text brought nothing and cost nothing, so it is asked again.
        """
        rows = self._read(
            "select example from records where run = ? and (answer is not null or raw is not null)",
            (run_id,),
        )
        return {row["example"] for row in rows}

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=LOCK_SECONDS, check_same_thread=False, isolation_level=None
        )
        connection.row_factory = sqlite3.Row
        return connection

    def _prepare(self) -> None:
        from sqlite_utils import Database

        connection = self._connection
        connection.execute("pragma foreign_keys = on")
        mode = connection.execute("pragma journal_mode = wal").fetchone()[0]
        if mode not in ("wal", "memory"):
            logger.warning("%s: no write-ahead log on this file system, using a journal", self.path)
        connection.execute("pragma synchronous = normal")
        connection.execute("begin immediate")  # two processes may open a new store at once
        try:
            database = Database(connection)
            self._refuse_newer(database)
            migrations().apply(database)
        except BaseException:
            connection.rollback()
            raise
        connection.commit()

    def _refuse_newer(self, database: Database) -> None:
        mine = {migration.name for migration in migrations().pending(_empty())}
        newer = sorted({step.name for step in migrations().applied(database)} - mine)
        if newer:
            raise StoreError(
                f"{self.path} was written by a newer version of understudy ({newer[-1]}); upgrade"
            )

    def _add_example(self, connection: sqlite3.Connection, example: Example) -> str:
        cursor = connection.execute(
            _insert("examples", Example, "on conflict (task, id) do nothing"), _values(example)
        )
        if cursor.rowcount:
            return "new"
        if example.gold is None:
            return "known"
        key = (example.task, example.id)
        found = connection.execute("select gold from examples where task = ? and id = ?", key)
        gold = found.fetchone()["gold"]
        if gold is None:
            connection.execute(
                "update examples set gold = ? where task = ? and id = ?",
                (_dumped(example.gold), *key),
            )
            return "gold_filled"
        return "known" if json.loads(gold) == example.gold else "gold_differs"

    def _read(self, statement: str, values: tuple[Any, ...]) -> list[sqlite3.Row]:
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
        """SQLite's errors as one line that says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {_advice(str(error))}") from error


def _advice(error: str) -> str:
    known = {
        "disk is full": "the disk is full; what was committed is kept, free space and run again",
        "not a database": "not an Understudy store (not a SQLite file); give another --store",
        "malformed": "the file is damaged; restore a copy, or sqlite3 FILE .recover",
        "readonly": "the file or its folder is read-only; change its rights",
        "locked": f"another process has held it for {LOCK_SECONDS:.0f} s; try again later",
        "unable to open": "cannot be opened; is it a folder, or does its folder not exist?",
    }
    return next((advice for word, advice in known.items() if word in error), error)


def _empty() -> Database:
    from sqlite_utils import Database

    return Database(memory=True)


def _insert(table: str, kind: type[Row], conflict: str) -> str:
    names = list(kind.model_fields)
    columns = ", ".join(f'"{name}"' for name in names)
    return f"insert into {table} ({columns}) values ({', '.join('?' * len(names))}) {conflict}"


def _values(row: Row) -> list[Any]:
    data = row.model_dump(mode="json")
    return [_dumped(value) if name in _JSON else value for name, value in data.items()]


def _dumped(value: Any) -> str | None:
    if value is None:
        return None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _fields(row: sqlite3.Row, kind: type[Row]) -> dict[str, Any]:
    return {
        name: json.loads(row[name]) if name in _JSON and row[name] is not None else row[name]
        for name in kind.model_fields
    }
