"""The tables, as migrations: a store is made and brought up to date by nothing else."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database, Migrations

SET = "understudy"


@functools.cache
def migrations() -> Migrations:
    """The migrations in order. Add new ones at the end; one that has shipped is never changed."""
    from sqlite_utils import Migrations  # drags pandas in where that is installed: not at the top

    steps = Migrations(SET)

    @steps()
    def m001_examples_runs_records(db: Database) -> None:
        for statement in (EXAMPLES, RUNS, RECORDS, *INDEXES):
            db.execute(statement)

    return steps


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
    id text primary key,
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

RECORDS = """
create table records (
    run text not null references runs (id),
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
    primary key (run, example)
) strict
"""

INDEXES = (
    "create index examples_by_split on examples (task, split, position)",
    "create index runs_by_task on runs (task, role, started)",
)
