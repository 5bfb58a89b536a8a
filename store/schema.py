"""The tables, as migrations: a store is made and brought up to date by nothing else."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database

SET = "understudy"


def m001_examples_runs_records(db: Database) -> None:
    """The three tables."""
    for statement in (EXAMPLES, RUNS, RECORDS, *INDEXES):
        db.execute(statement)


# In order. Add new ones at the end; one that has shipped is never changed.
STEPS = (m001_examples_runs_records,)


def applied_steps(connection: sqlite3.Connection) -> list[str]:
    """The names of the migrations that this file has seen; none where it is new or no store."""
    if "_sqlite_migrations" not in tables(connection):
        return []
    found = connection.execute(
        "select name from _sqlite_migrations where migration_set = ? order by id", (SET,)
    )
    return [name for (name,) in found]


def tables(connection: sqlite3.Connection) -> set[str]:
    """The names of the tables in the file."""
    found = connection.execute("select name from sqlite_master where type = 'table'")
    return {name for (name,) in found}


def apply_steps(connection: sqlite3.Connection) -> None:
    """Apply what is missing, inside the transaction that is open."""
    # Half a second with pandas installed, which it imports; most openings have nothing to apply.
    from sqlite_utils import Database, Migrations

    migrations = Migrations(SET)
    for step in STEPS:
        migrations()(step)
    migrations.apply(Database(connection))


# position keeps the order of import, also through a VACUUM
EXAMPLES = """
create table examples (
    position integer primary key,
    task text not null,
    id text not null,
    split text not null,
    inputs text not null,
    gold text,
    "group" text,
    unique (task, id)
) strict
"""

RUNS = """
create table runs (
    position integer primary key,
    id text not null unique,
    name text not null,
    task text not null,
    role text not null,
    model text not null,
    strategy text not null,
    target text not null,
    words text not null,
    answers text not null,
    parameters text not null,
    versions text not null,
    started text not null,
    finished text
) strict
"""

# task is the run's own: with it a record can only be of an example that is there
RECORDS = """
create table records (
    run text not null references runs (id),
    task text not null,
    example text not null,
    reasoning text,
    answer text,
    raw text,
    error text,
    attempts integer not null,
    input_tokens integer,
    output_tokens integer,
    cost real,
    seconds real not null,
    confidence text,
    model text,
    created text not null,
    primary key (run, example),
    foreign key (task, example) references examples (task, id)
) strict
"""

INDEXES = (
    "create index examples_by_split on examples (task, split, position)",
    "create index runs_by_task on runs (task, role, started)",
)
