"""Is everything in a store what it says it is: the file, references, hashes, JSON, full text."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .provenance import fingerprint_of
from .rows import Run, example_id, run_id
from .statements import JSON_COLUMNS
from .store import Store

Check = Callable[[sqlite3.Connection], Iterable[str]]
_HASH = re.compile(r"[0-9a-f]{16}")
_NOT_IDENTITY = {"id", "name", "versions", "started", "finished"}
_IDENTITY = [name for name in Run.model_fields if name not in _NOT_IDENTITY]
_FULL_TEXT = {
    "examples_fts": "select position, text from example_texts",
    "records_fts": "select number, reasoning from records where reasoning is not null",
}


def verify(store: Store) -> list[str]:
    """What is wrong with the store, a line for each kind of problem; empty where it is whole.

    Checked are the file's structure, references between rows, JSON columns, that ids are the hashes
    of what they name, and fingerprints of the kept words, that reviews hold what they must, and the
    full text against what it indexes. What records and reviews say is hashed nowhere.
    Reads everything and changes nothing, so a store opened read-only may be checked. An id that
    does not look like a hash (16 hex digits) was given by hand and is left alone.
    """
    problems: list[str] = []
    with store.connection.bare() as connection:
        connection.execute("begin")  # all checks see one moment, while others write
        try:
            for check in _CHECKS:
                problems += _found_by(check, connection)
        finally:
            with contextlib.suppress(sqlite3.Error):  # a damaged file may have ended it
                connection.execute("rollback")
    return list(dict.fromkeys(problems))


def _found_by(check: Check, connection: sqlite3.Connection) -> list[str]:
    try:
        return list(check(connection))
    except (sqlite3.Error, TypeError, ValueError) as error:  # TypeError: a cell of another type
        told = " ".join(str(error).split())[:200]
        return [f"the check of {check.__name__.strip('_').replace('_', ' ')} stopped: {told}"]


def _structure(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute("pragma integrity_check"):
        if line != "ok":
            yield f"the file is damaged: {' '.join(line.split())[:500]}"


def _references(connection: sqlite3.Connection) -> Iterator[str]:
    found = [(row[0], row[2]) for row in connection.execute("pragma foreign_key_check")]
    for table, other in dict.fromkeys(found):
        yield f"{found.count((table, other))} rows of {table} refer to none of {other}"


def _json_columns(connection: sqlite3.Connection) -> Iterator[str]:
    for table in ("examples", "runs", "records", "flags", "reviews", "calibrations", "calls"):
        columns = [row["name"] for row in connection.execute(f"pragma table_info({table})")]
        held = [name for name in columns if name in JSON_COLUMNS]
        counts = ", ".join(
            f"count(*) filter (where {name} is not null and not json_valid({name}))"
            for name in held
        )
        for name, count in zip(
            held, connection.execute(f"select {counts} from {table}").fetchone(), strict=True
        ):
            if count:
                yield f"{count} rows of {table} hold no JSON in {name}"


def _example_ids(connection: sqlite3.Connection) -> Iterable[str]:
    rows = connection.execute("select id, inputs from examples")
    wrong = [id_ for id_, inputs in rows if _HASH.fullmatch(id_) and not _names(id_, inputs)]
    return _told(wrong, "examples have another id than the hash of their inputs")


def _names(id_: str, inputs: str) -> bool:
    try:
        return example_id(json.loads(inputs)) == id_
    except (ValueError, TypeError, RecursionError):
        return False


def _run_ids(connection: sqlite3.Connection) -> Iterable[str]:
    rows = connection.execute(f"select id, {', '.join(_IDENTITY)} from runs")
    wrong = [row["id"] for row in rows if _HASH.fullmatch(row["id"]) and not _is_run(row)]
    return _told(wrong, "runs have another id than the hash of who was asked what")


def _is_run(row: sqlite3.Row) -> bool:
    try:
        facts = {name: row[name] for name in _IDENTITY}
        facts["parameters"] = json.loads(row["parameters"])
        return run_id(**facts) == str(row["id"])
    except (ValueError, TypeError, RecursionError):
        return False


def _words(connection: sqlite3.Connection) -> Iterable[str]:
    rows = connection.execute("select fingerprint, kind, text from words")
    wrong = [words for words, kind, text in rows if not _are_words(words, kind, text)]
    return _told(wrong, "kept words have another fingerprint than their text")


def _are_words(words: str, kind: Any, text: str) -> bool:
    try:
        return fingerprint_of(kind, text) == words
    except (ValueError, TypeError, RecursionError):
        return False


def _reviews(connection: sqlite3.Connection) -> Iterable[str]:
    rows = connection.execute(
        "select id from reviews where verdict = 'correct' and answer is null "
        "or length(trim(reviewer)) = 0"
    )
    return _told([row["id"] for row in rows], "reviews have no reviewer or no corrected answer")


def _full_text(connection: sqlite3.Connection) -> Iterator[str]:
    for table, content in _FULL_TEXT.items():
        (made,) = connection.execute(
            "select sql from sqlite_master where name = ?", (table,)
        ).fetchone() or ("",)
        if not (tokenize := re.search(r"tokenize\s*=\s*'[^']*'", made)):
            yield f"the full text {table} is missing"
            continue
        if _differs(connection, table, content, tokenize[0]):
            yield f"the full text {table} is not that of its rows"


def _differs(connection: sqlite3.Connection, table: str, content: str, tokenize: str) -> bool:
    """Compare with an index made anew: per row how many words, per word how often and where."""
    try:
        connection.execute(
            f"create virtual table temp.anew using fts5 (text, content = '', {tokenize})"
        )
        connection.execute(f"insert into temp.anew (rowid, text) {content}")
        connection.execute(
            f"create virtual table temp.kept_words using fts5vocab (main, {table}, row)"
        )
        connection.execute("create virtual table temp.anew_words using fts5vocab (temp, anew, row)")
        sizes = "select id, sz from {} where sz <> x'00'"  # a row without a word may be left out
        pairs = (
            (sizes.format(f"main.{table}_docsize"), sizes.format("temp.anew_docsize")),
            *(
                (
                    f"select term, doc, cnt from temp.{name}"
                    for name in ("kept_words", "anew_words")
                ),
            ),
        )
        return any(_unequal(connection, kept, anew) for kept, anew in pairs)
    finally:
        for name in ("kept_words", "anew_words", "anew"):
            connection.execute(f"drop table if exists temp.{name}")


def _unequal(connection: sqlite3.Connection, one: str, other: str) -> bool:
    both = (f"select * from ({a} except {b}) limit 1" for a, b in ((one, other), (other, one)))
    return any(connection.execute(statement).fetchone() for statement in both)


def _told(wrong: list[Any], what: str) -> list[str]:
    return [f"{len(wrong)} {what}, first {wrong[0]}"] if wrong else []


_CHECKS: tuple[Check, ...] = (
    _structure,
    _references,
    _json_columns,
    _example_ids,
    _run_ids,
    _words,
    _reviews,
    _full_text,
)
