"""docs/store.md, out of the code: the tables as SQLite has them, what they mean, how to ask."""

from __future__ import annotations

import inspect

from . import rows
from .datasette import QUERIES
from .meanings import COLUMNS, FULL_TEXT, TABLES, VIEWS
from .store import Store

_ROWS = {
    "examples": rows.Example,
    "runs": rows.Run,
    "records": rows.Record,
    "terms": rows.Terms,
    "flags": rows.Flag,
    "reviews": rows.Review,
    "trainings": rows.Training,
    "stand_ins": rows.StandIn,
    "calibrations": rows.Calibration,
    "calls": rows.Call,
}
_INTRODUCTION = """# The store

<!-- Written by scripts/store_docs.py out of the code; do not edit. -->

A store is one SQLite file. Everything that is known of a label stands in it: who said it, from
which words, when, at what cost, after how many attempts, with which votes, who corrected it, and
which students learnt from it. Any tool that reads SQLite reads it; writing is understudy's.

    understudy why 17                     record 17's story; also RUN:EXAMPLE, or an example's id
    understudy store stats                what is in it
    understudy store search "preço alto"  the inputs and reasonings that hold these words
    understudy store datasette app.db     writes app.metadata.json and says how to start datasette
    understudy store terms gpt-4o --note "..." --licence "..." --source "..."
    understudy store backup COPY.db       a whole copy, while others read and write
    understudy store verify               the file, references, hashes, JSON and full text
    understudy status                     the chains that a student stands in for, and how it does
    understudy forget 17                  erases that row everywhere; also --keep-days 90

`verify` compares the hashes that there are: the ids of examples and runs, and the fingerprints of
the kept prompts and schemas. What records and reviews say (answers, reasonings, costs) is not
hashed: it finds JSON that is none, not an answer that somebody changed into another one.

`forget` erases rows from tables, full text, free pages and the write-ahead log, and then looks for
pieces of their texts in the file. It names, and leaves alone, what lies outside: copies made by
`understudy store backup` or before a migration, and students that learnt from the rows. Exports,
reports and blocks that the file system freed are beyond what it knows. A row that is asked again in
production is recorded again.

Columns that hold JSON hold it as text (`json_extract` reads it). Rows refer to each other by whole
numbers: `examples.position`, `runs.position`, `records.number`. Times are UTC, ISO 8601.
"""
_DATASETTE = """## In a browser

`understudy store datasette app.db` writes `app.metadata.json`, readable by you alone, and prints
the command to run:

    datasette app.db -m app.metadata.json --setting suggest_facets off

Datasette (`pip install datasette`) then shows the tables and views with their meanings, searches
the full text of `examples`, `records` and `labels`, and offers the queries below. It only reads,
and serves on 127.0.0.1. Suggesting facets is what takes it seconds on a big store.
"""


def schema_page() -> str:
    """The whole of docs/store.md."""
    with Store(":memory:") as store:
        parts = [
            _INTRODUCTION,
            "## Tables\n",
            *(_table(store, name, meaning) for name, meaning in TABLES.items()),
            "## Views\n",
            *(_view(store, name, meaning) for name, meaning in VIEWS.items()),
            "## Full text\n",
            *(f"- `{name}`: {meaning}" for name, meaning in FULL_TEXT.items()),
            f"\n{_DATASETTE}",
            "## Queries\n",
            "An empty value leaves its condition out.\n",
            *(_query(name) for name in QUERIES),
        ]
    return "\n".join(parts)


def columns_of(store: Store, table: str) -> dict[str, tuple[str, bool]]:
    """Each column of a table or view with its type and whether it is never null."""
    found = store.connection.read("select * from pragma_table_info(:name)", name=table)
    return {row["name"]: (row["type"], bool(row["notnull"] or row["pk"])) for row in found}


def indexes_of(store: Store, table: str) -> dict[str, str]:
    """Each index of a table with what it is over."""
    found = store.connection.read(
        'select name, "unique", partial from pragma_index_list(:name) order by seq desc',
        name=table,
    )
    indexes = {}
    for index in found:
        parts = store.connection.read(
            "select name from pragma_index_info(:name) order by seqno", name=index["name"]
        )
        over = ", ".join(part["name"] for part in parts)
        kind = "unique, " if index["unique"] else ""
        where = ", some rows only" if index["partial"] else ""
        indexes[index["name"]] = f"{kind}over {over}{where}"
    return indexes


def _table(store: Store, name: str, meaning: str) -> str:
    told = inspect.cleandoc(_ROWS[name].__doc__ or "") if name in _ROWS else meaning
    lines = [f"### {name}\n", f"{told}\n"]
    lines += ["| column | type | meaning |", "|---|---|---|"]
    for column, (kind, never_null) in columns_of(store, name).items():
        shown = kind.lower() + ("" if never_null else ", or null")
        lines.append(f"| `{column}` | {shown} | {COLUMNS[name][column]} |")
    lines += ["", *(f"- `{k}`: {v}" for k, v in indexes_of(store, name).items())]
    return "\n".join(lines).rstrip() + "\n"


def _view(store: Store, name: str, meaning: str) -> str:
    columns = ", ".join(f"`{column}`" for column in columns_of(store, name))
    return f"### {name}\n\n{meaning}\n\nColumns: {columns}.\n"


def _query(name: str) -> str:
    title, description, sql = QUERIES[name]
    return f"### {title}\n\n{description}\n\n```sql\n{_broken(sql)}\n```\n"


def _broken(sql: str) -> str:
    """The statement with a line for each clause."""
    for clause in ("from", "where", "group by", "order by"):
        sql = sql.replace(f" {clause} ", f"\n{clause} ")
    return sql
