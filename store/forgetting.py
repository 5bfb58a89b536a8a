"""Forgetting rows: out of every table, the full text, the log and the free pages, and looked for.

What lies outside of the store is named, not touched: copies of it, and students that learnt from
the rows. Exports and reports are nobody's to know here.
"""

from __future__ import annotations

import contextlib
import datetime
import glob
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .connection import StoreError
from .copies import open_read_only
from .rows import Training
from .statements import row_of
from .store import Store
from .traces import look_for, probes_of

_SHORTEST_QUOTE = 20  # characters: a prompt that says less of an input does not quote it
_DOOMED = "(select position from temp.doomed where position is not null)"
_THEIR_RECORDS = f"(select number from records where example in {_DOOMED})"
# In this order: what refers to a row goes before it.
_DELETES = {
    "lessons": f"record in {_THEIR_RECORDS}",
    "reviews": f"example in {_DOOMED}",
    "flags": f"example in {_DOOMED}",
    "records": f"example in {_DOOMED}",
    "calls": "example in (select id from temp.doomed)",
    "examples": f"position in {_DOOMED}",
}


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What was forgotten, or would be: `rows` per table; `students` learnt from it.

    `copies` are files with a copy of the store that hold a row of it (or cannot be read), `moved`
    where copies were written that are not there any more. `left` says where else in the store a
    text of it stands, in rows of their own. `looked_for` is how many pieces of the texts were
    looked for in the files, and not found beyond `left`; 0 where nothing was erased yet.
    """

    examples: tuple[str, ...]
    rows: dict[str, int]
    students: tuple[Training, ...] = ()
    copies: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    looked_for: int = 0


def would_forget(store: Store, examples: Sequence[str], *, before: str | None = None) -> Forgotten:
    """What `forget` would do; nothing is changed."""
    with _doomed(store, examples, before) as connection:
        rows = {
            table: connection.execute(f"select count(*) from {table} where {those}").fetchone()[0]
            for table, those in _rules(before).items()
        }
        texts = _texts(connection)
        rows["words"] = len(_quoting(connection, texts))
        students = _students(connection)
    copies, moved = _copies(store, examples)
    return Forgotten(
        examples=tuple(examples), rows=rows, students=students, copies=copies, moved=moved
    )


def forget(store: Store, examples: Sequence[str], *, before: str | None = None) -> Forgotten:
    """Erase the examples of these ids, in every task, and all that was said of them.

    Gone are records, reviews, flags, lessons, calls and kept prompts that quote them, from the
    tables, the full text, the free pages and the write-ahead log; pieces of their texts are then
    looked for in the files. `before` (UTC, ISO 8601) also erases all calls from before then.

    Others may have the store open; it is rewritten, which takes room for a second one. Raises
    StoreError where the file cannot be rewritten or a piece is found that no row holds; what stands
    in the tables is gone by then, and the same command goes on.
    """
    with _doomed(store, examples, before) as connection:
        texts, students = _texts(connection), _students(connection)
    copies, moved = _copies(store, examples)
    with store.connection.bare() as connection:
        connection.execute("pragma secure_delete = on")
    with _doomed(store, examples, before), store.connection.writing() as connection:
        rows = {
            table: connection.execute(f"delete from {table} where {those}").rowcount
            for table, those in _rules(before).items()
        }
        quoting = _quoting(connection, texts)
        connection.executemany("delete from words where fingerprint = ?", quoting)
        rows["words"] = len(quoting)
        for table in ("examples_fts", "records_fts"):
            connection.execute(f"insert into {table} ({table}) values ('optimize')")
    _rewrite(store)
    probes = probes_of(
        texts, size=0 if store.path == ":memory:" else Path(store.path).stat().st_size
    )
    left = look_for(store, probes)
    return Forgotten(
        examples=tuple(examples),
        rows=rows,
        students=students,
        copies=copies,
        moved=moved,
        left=left,
        looked_for=len(probes),
    )


def outdated(store: Store, days: float) -> tuple[list[str], list[str], str]:
    """Production rows last asked more than `days` days ago: the ids of those to forget, the ids of
    those that a student learnt from, and the time that separates old from new (UTC, ISO 8601).

    A production row has a call, and neither gold nor a group, which come from a file or a person.
    """
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
    before = since.isoformat(timespec="milliseconds")
    rows = store.connection.read(
        "select e.id, exists (select 1 from records r join lessons l on l.record = r.number "
        "where r.example = e.position) as taught from examples e where e.gold is null "
        'and e."group" is null and e.id in (select example from calls group by example '
        "having max(at) < :before) order by e.position",
        before=before,
    )
    taught = {row["id"] for row in rows if row["taught"]}
    free = [row["id"] for row in rows if row["id"] not in taught]
    return list(dict.fromkeys(free)), sorted(taught), before


def _rules(before: str | None) -> dict[str, str]:
    """Per table which rows go."""
    old = f" or at < '{before}'" if before else ""
    return {**_DELETES, "calls": _DELETES["calls"] + old}


@contextlib.contextmanager
def _doomed(
    store: Store, examples: Sequence[str], before: str | None
) -> Iterator[sqlite3.Connection]:
    """The connection with the table temp.doomed: the ids, and the positions of their examples."""
    if before is not None:
        datetime.datetime.fromisoformat(before)  # it is written into a statement
    with store.connection.bare() as connection:
        connection.execute("drop table if exists temp.doomed")
        connection.execute("create temp table doomed (id text, position integer)")
        connection.execute(
            "insert into temp.doomed select j.value, e.position from json_each(?) j "
            "left join examples e on e.id = j.value",
            (json.dumps(list(examples)),),
        )
        try:
            yield connection
        finally:
            connection.execute("drop table if exists temp.doomed")


def _texts(connection: sqlite3.Connection) -> list[str]:
    """The inputs, reasonings, replies and corrections that are to go."""
    found = connection.execute(
        "select j.value from examples e, json_each(e.inputs) j where e.position in "
        f"{_DOOMED} union select j.value from records r, json_each(json_array(r.reasoning, r.raw)) "
        f"j where r.example in {_DOOMED} union "
        f"select reasoning from reviews where example in {_DOOMED}"
    )
    return [text for (text,) in found if isinstance(text, str) and text.strip()]


def _quoting(connection: sqlite3.Connection, texts: Sequence[str]) -> list[tuple[str]]:
    """The kept prompts that hold one of the texts: few-shot examples are part of a prompt."""
    long = [json.dumps(t, ensure_ascii=False)[1:-1] for t in texts if len(t) >= _SHORTEST_QUOTE]
    prompts = connection.execute("select fingerprint, text from words where kind = 'prompt'")
    return [(words,) for words, prompt in prompts if any(text in prompt for text in long)]


def _students(connection: sqlite3.Connection) -> tuple[Training, ...]:
    rows = connection.execute(
        "select t.folder, t.name, t.task, t.base, t.target, u.id as run, t.rows_sha256, t.seed, "
        "t.created from trainings t join runs u on u.position = t.run where t.number in "
        f"(select training from lessons where record in {_THEIR_RECORDS}) order by t.number"
    )
    return tuple(row_of(Training, row) for row in rows)


def _rewrite(store: Store) -> None:
    """The file without its free pages, and an empty log. Raises StoreError where others keep it."""
    with store.connection.bare() as connection:
        connection.execute("vacuum")
        if store.path == ":memory:":
            return
        busy, *_ = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
    if busy:
        raise StoreError(
            f"{store.path}: the rows are deleted, but somebody who reads the file keeps its log "
            "from being emptied; run the same command again, or stop the reader"
        )


def _copies(store: Store, examples: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The copies of the store that are known and hold one of the examples; and those not there."""
    if store.path == ":memory:":
        return (), ()
    noted = {row["path"] for row in store.connection.read("select path from backups")}
    here = Path(store.path).absolute()
    name = glob.escape(here.name)
    beside = [*here.parent.glob(f"{name}.before-*"), *here.parent.glob(f".{name}.*.part")]
    paths = sorted(noted | {str(path) for path in beside})
    moved = [path for path in paths if not Path(path).exists()]
    held = [path for path in paths if path not in moved and _holds(path, examples)]
    return tuple(held), tuple(moved)


def _holds(path: str, examples: Sequence[str]) -> bool:
    """Whether the copy has one of the examples; one that cannot be read may have it."""
    select = "select 1 from examples where id in (select value from json_each(?)) limit 1"
    try:
        with contextlib.closing(open_read_only(path, timeout=1.0)) as connection:
            return connection.execute(select, (json.dumps(list(examples)),)).fetchone() is not None
    except sqlite3.Error:
        return True
