"""Whole copies of a store's file, made while others read and write it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path


def copy_database(source: sqlite3.Connection, target: Path) -> None:
    """Copy what is committed to the file `target`, which appears whole or not at all.

    The copy is one file (no write-ahead log) that only its owner can read. One step of SQLite's
    backup, so that no writer makes it start again. Raises sqlite3.Error and OSError.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as copy:
            source.backup(copy)
            copy.execute("pragma journal_mode = delete")
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        for rest in (part, *(part.with_name(f"{part.name}{end}") for end in ("-wal", "-shm"))):
            rest.unlink(missing_ok=True)


def open_read_only(path: str | Path, *, timeout: float) -> sqlite3.Connection:
    """A connection that can only read, also where the folder is read-only. Raises sqlite3.Error."""
    uri = f"{Path(path).absolute().as_uri()}?mode=ro"
    connection = _opened(uri, timeout)
    try:
        connection.execute("select 1 from sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        # A write-ahead file needs a log beside it, even to read; without one nobody is writing.
        connection.close()
        unlogged = any(words in str(error) for words in ("unable to open", "readonly"))
        if not unlogged or Path(f"{path}-wal").exists():
            raise
        connection = _opened(f"{uri}&immutable=1", timeout)
    except BaseException:
        connection.close()
        raise
    return connection


def _opened(uri: str, timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, timeout=timeout, check_same_thread=False, isolation_level=None
    )
