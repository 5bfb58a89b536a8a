"""The tables of the first schema (m001). It has shipped: never change it, add a migration."""

from __future__ import annotations

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

STATEMENTS = (EXAMPLES, RUNS, RECORDS, *INDEXES)
