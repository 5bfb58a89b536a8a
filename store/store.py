"""The Store: one SQLite file that remembers every example, run and record."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from .connection import Connection, StoreError
from .rows import Example, Record, Row, Run
from .statements import (
    ADD_RECORD,
    INSERT_EXAMPLE,
    ONE_RECORD,
    PAIRS,
    RECORD,
    RUN_POSITION,
    Kind,
    cells_of,
    insert_into,
    record_cells,
    row_of,
    values_of,
)

_OF_SPLIT = {True: "", False: "and split = :split"}  # two statements: each has its own index
PAGE = 100  # rows read at once: a reader of many rows holds no more


class Added(Row):
    """What `add_examples` did, in rows: `new` ones, and ones `known` before.

    Of the known, `gold_filled` had no gold and now have; `gold_differs` came with another gold
    than the one they have, which was kept. Of the new, `split_of_group` went where the task has
    their group, not where they asked to.
    """

    new: int
    known: int
    gold_filled: int
    gold_differs: int
    split_of_group: int = 0


class Store:
    """The store in the file `path`, made where there is none; or in memory, for ":memory:".

    `create=False` refuses a path where there is no file; `read_only` also changes nothing in one
    (not even its version), and every method that writes raises StoreError. `patience` is how many
    seconds a lock of another process is waited for (default: 30). Several threads may
    share a store, and several processes may open one file at once. Every method that writes has
    committed when it returns. Every method raises StoreError, one line, where the file cannot be
    used: no database, another program's, newer, damaged, read-only, full, locked.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        create: bool = True,
        read_only: bool = False,
        patience: float | None = None,
    ) -> None:
        if (read_only or not create) and not Path(path).exists():
            raise StoreError(f"there is no store {path}; run distill first, or give --store")
        self.connection = Connection(path, read_only=read_only, patience=patience)
        self.path = self.connection.path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was written is there."""
        self.connection.close()

    def add_examples(self, examples: Iterable[Example]) -> Added:
        """Remember examples, all or none. A known one keeps its split, and its gold if it has one.

        A new one of a group that the task has goes into the split where that is.
        Two examples are the same where task and id are. They are taken one at a time, so there may
        be any number; the file is locked for other writers until the last one.
        """
        counts = dict.fromkeys(Added.model_fields, 0)
        with self.connection.writing() as connection:
            cursor = connection.cursor()
            for example in examples:
                counts[add_example(cursor, example)] += 1
        counts["known"] += counts["gold_filled"] + counts["gold_differs"]
        counts["new"] += counts["split_of_group"]
        return Added(**counts)

    def examples(
        self, task: str, *, split: str | None = None, limit: int | None = None
    ) -> list[Example]:
        """The task's examples (of one split) in the order they came; `limit` is per split."""
        return list(self.iter_examples(task, split=split, limit=limit))

    def iter_examples(
        self, task: str, *, split: str | None = None, limit: int | None = None
    ) -> Iterator[Example]:
        """The same, a page at a time: any number of them in little memory."""
        ends = None if limit is None else self._ends(task, limit)
        statement = (
            "select * from examples where task = :task and position > :after "
            f"{_OF_SPLIT[split is None]} order by position limit :page"
        )
        for row in self._pages(statement, task=task, split=split):
            if ends is None or row["position"] <= ends[row["split"]]:
                yield self._made(Example, row)

    def example(self, task: str, example_id: str) -> Example | None:
        """The task's example of this id; None where there is none."""
        found = self.connection.read(
            "select * from examples where task = :task and id = :id", task=task, id=example_id
        )
        return self._made(Example, found[0]) if found else None

    def splits(self, task: str) -> dict[str, int]:
        """How many examples of the task each split holds."""
        rows = self.connection.read(
            "select split, count(*) as n from examples where task = :task "
            "group by split order by min(position)",
            task=task,
        )
        return {row["split"]: row["n"] for row in rows}

    def start_run(self, run: Run) -> Run:
        """Remember a run; one that is known is returned as it was started."""
        with self.connection.writing() as connection:
            connection.execute(
                insert_into("runs", Run, "on conflict (id) do nothing"), values_of(run)
            )
        return self.run(run.id)

    def finish_run(self, run_id: str, finished: str) -> None:
        """Say when the run had answered all it was asked."""
        with self.connection.writing() as connection:
            done = connection.execute(
                "update runs set finished = ? where id = ?", (finished, run_id)
            )
            if not done.rowcount:
                raise StoreError(f"{self.path} has no run {run_id}")

    def run(self, run_id: str) -> Run:
        """The run of this id. Raises StoreError where there is none."""
        rows = self.connection.read("select * from runs where id = :id", id=run_id)
        if not rows:
            raise StoreError(f"{self.path} has no run {run_id}")
        return self._made(Run, rows[0])

    def runs(self, task: str | None = None, role: str | None = None) -> list[Run]:
        """The runs (of a task, of a role), newest first."""
        rows = self.connection.read(
            "select * from runs where (:task is null or task = :task) "
            "and (:role is null or role = :role) "
            "order by coalesce(finished, started) desc, position desc",
            task=task,
            role=role,
        )
        return [self._made(Run, row) for row in rows]

    def add_record(self, record: Record) -> bool:
        """Remember what a run answered to an example; False, and nothing done, where it has an
        answer already.

        An earlier failure is replaced, but what was paid for is not forgotten: attempts, tokens,
        cost and seconds add up, and its raw text stays where the new record brings none. Raises
        StoreError where the store does not have the run or the example.
        """
        with self.connection.writing() as connection:
            return connection.execute(ADD_RECORD, record_cells(connection, record)).rowcount > 0

    def add_records(self, records: Iterable[Record]) -> int:
        """`add_record` for many, all or none; returns how many were written.

        They are taken one at a time, so there may be any number; the file is locked for other
        writers until the last one.
        """
        runs: dict[str, tuple[int | None, str | None]] = {}
        with self.connection.writing() as connection:
            rows = (record_cells(connection, record, runs=runs) for record in records)
            return connection.executemany(ADD_RECORD, rows).rowcount

    def record(self, run_id: str, example_id: str) -> Record | None:
        """What the run answered to this example of its task; None where it was not asked."""
        rows = self.connection.read(ONE_RECORD, run=run_id, example=example_id)
        return self._made(Record, rows[0]) if rows else None

    def records(self, run_id: str, *, split: str | None = None) -> list[Record]:
        """The run's records (on one split) in the order of the examples."""
        return list(self.iter_records(run_id, split=split))

    def iter_records(self, run_id: str, *, split: str | None = None) -> Iterator[Record]:
        """The same, a page at a time: any number of them in little memory."""
        statement = f"select e.position, {RECORD} {PAIRS}"
        for row in self._pages(statement, run=run_id, split=split):
            yield self._made(Record, row)

    def pairs(self, run_id: str, *, split: str | None = None) -> list[tuple[Example, Record]]:
        """The run's examples (of one split) with what it answered, in the examples' order."""
        return list(self.iter_pairs(run_id, split=split))

    def iter_pairs(
        self, run_id: str, *, split: str | None = None
    ) -> Iterator[tuple[Example, Record]]:
        """The same, a page at a time: any number of them in little memory."""
        for row in self._pages(f"select e.*, {RECORD} {PAIRS}", run=run_id, split=split):
            yield self._made(Example, row), self._made(Record, row)

    def answered(self, run_id: str) -> set[str]:
        """The ids of the examples that need not be asked again: answered, or failed with a text.

        A failure without any text brought nothing, so it is asked again.
        """
        rows = self.connection.read(
            "select e.id as example from records r join examples e on e.position = r.example "
            f"where r.run = {RUN_POSITION} and (r.answer is not null or r.raw is not null)",
            run=run_id,
        )
        return {row["example"] for row in rows}

    def _ends(self, task: str, limit: int) -> dict[str, int]:
        """Per split the position of its `limit`th example, or of its last."""
        ends = {}
        for split in self.splits(task):
            (end,) = self.connection.read(
                "select max(position) as position from (select position from examples "
                "where task = :task and split = :split order by position limit :limit)",
                task=task,
                split=split,
                limit=limit,
            )
            ends[split] = end["position"] or 0
        return ends

    def _pages(self, statement: str, **values: Any) -> Iterator[sqlite3.Row]:
        """The rows of a statement that goes on behind :after and reads :page of them at once."""
        after = 0
        while page := self.connection.read(statement, after=after, page=PAGE, **values):
            yield from page
            after = page[-1]["position"]

    def _made(self, kind: type[Kind], row: sqlite3.Row) -> Kind:
        with self.connection.told():
            return row_of(kind, row)


def add_example(cursor: sqlite3.Cursor, example: Example) -> str:
    """Which field of Added this example counts in."""
    asked, example = example, _beside_its_group(cursor, example)
    if cursor.execute(INSERT_EXAMPLE, cells_of(example)).rowcount:
        return "new" if example is asked else "split_of_group"
    if example.gold is None:
        return "known"
    values = values_of(example)
    select = "select gold from examples where task = :task and id = :id"
    (gold,) = cursor.execute(select, values).fetchone()
    if gold is None:
        cursor.execute("update examples set gold = :gold where task = :task and id = :id", values)
        return "gold_filled"
    return "known" if json.loads(gold) == json.loads(values["gold"]) else "gold_differs"


def _beside_its_group(cursor: sqlite3.Cursor, example: Example) -> Example:
    """The example in the split where the task has its group."""
    if example.group is None:
        return example
    select = 'select split from examples where task = ? and "group" = ? limit 1'
    found = cursor.execute(select, (example.task, example.group)).fetchone()
    if found is None or found["split"] == example.split:
        return example
    return example.model_copy(update={"split": found["split"]})
