"""The tables, as migrations: a store is made and brought up to date by nothing else."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from . import tables_first, tables_now, tables_production

if TYPE_CHECKING:
    from sqlite_utils import Database

SET = "understudy"
_STRICT = (3, 37)  # the first SQLite with STRICT tables


def m001_examples_runs_records(db: Database) -> None:
    """The three tables."""
    for statement in tables_first.STATEMENTS:
        db.execute(statement)


def m002_people_and_provenance(db: Database) -> None:
    """Records known by number; words, terms, flags, reviews, trainings; full text; views."""
    for statement in tables_now.STATEMENTS:
        db.execute(statement)


def m003_stand_ins_and_calls(db: Database) -> None:
    """Stand-ins, their calibrations and calls; where copies of the store were written."""
    for statement in tables_production.STATEMENTS:
        db.execute(statement)


# In order. Add new ones at the end; one that has shipped is never changed.
STEPS = (m001_examples_runs_records, m002_people_and_provenance, m003_stand_ins_and_calls)


def sqlite_lack(version: tuple[int, ...]) -> str | None:
    """What to do about a SQLite that is too old for these tables; None where it is not."""
    if version >= _STRICT:
        return None
    return (
        f"this Python's SQLite is {'.'.join(map(str, version))} and the store needs "
        f"{'.'.join(map(str, _STRICT))} or newer; use a newer Python"
    )


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
