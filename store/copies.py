"""Whole copies of a store's file, made while others read and write it."""

from __future__ import annotations

import contextlib
import glob
import os
import sqlite3
import time
from pathlib import Path

LEFT_AFTER = 3600.0  # seconds without a write: whoever made this part of a copy is gone


def copy_database(source: sqlite3.Connection, target: Path) -> None:
    """Copy what is committed to the file `target`, which appears whole or not at all.

    The copy is one file (no write-ahead log) that only its owner can read. One step of SQLite's
    backup, so that no writer makes it start again. Raises sqlite3.Error and OSError.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    _remove_left(target)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as copy:
            copy.execute("pragma locking_mode = exclusive")  # no shared memory: it may be a drive
            copy.execute("pragma synchronous = off")  # written out once, below
            source.backup(copy)
            copy.execute("pragma journal_mode = delete")
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        for rest in (part, *(part.with_name(f"{part.name}{end}") for end in ("-wal", "-shm"))):
            rest.unlink(missing_ok=True)


def _remove_left(target: Path) -> None:
    """Remove what copies to this file left behind that were killed, or are this process's own."""
    for part in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        with contextlib.suppress(OSError):
            own = part.name.endswith(f".{os.getpid()}.part")
            if own or time.time() - part.stat().st_mtime > LEFT_AFTER:
                part.unlink()


def is_database(path: str | Path) -> bool:
    """Whether the file begins as SQLite's do: https://sqlite.org/fileformat2.html, header."""
    try:
        with Path(path).open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def database_beside(path: str | Path) -> Path | None:
    """The SQLite file that `path` is, or is the log or lock of; None where it is neither."""
    target = Path(path).resolve()
    ends = ("", "-wal", "-shm", "-journal", ".writer")
    near = (Path(str(target).removesuffix(end)) for end in ends if target.name.endswith(end))
    return next(filter(is_database, near), None)


def has_log(path: str | Path) -> bool:
    """Whether the file says that it is written with a write-ahead log.

    Source: https://sqlite.org/fileformat2.html, bytes 18 and 19 of the header.
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(20)[18:20] == b"\x02\x02"
    except OSError:
        return False


def open_read_only(path: str | Path, *, timeout: float) -> sqlite3.Connection:
    """A connection that can only read, also where the folder is read-only. Raises sqlite3.Error."""
    uri = f"{Path(path).absolute().as_uri()}?mode=ro"
    connection = _opened(uri, timeout)
    try:
        connection.execute("select 1 from sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        # A write-ahead file needs a log beside it, even to read; without one nobody is writing.
        connection.close()
        log = Path(f"{path}-wal")
        if "locked" in str(error) or (log.exists() and log.stat().st_size):
            raise
        connection = _opened(f"{uri}&immutable=1", timeout)
    except BaseException:
        connection.close()
        raise
    return connection


def remove_empty_log(path: str | Path) -> None:
    """Let SQLite remove the empty log that reading has made, unless somebody else is using it."""
    log = Path(f"{path}-wal")
    with contextlib.suppress(OSError, sqlite3.Error):
        if log.stat().st_size == 0:  # a full one is a killed writer's: left to the next that writes
            uri = f"{Path(path).absolute().as_uri()}?mode=rw"
            with contextlib.closing(_opened(uri, timeout=0)) as last:
                last.execute("select 1 from sqlite_master").fetchone()


def _opened(uri: str, timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, timeout=timeout, check_same_thread=False, isolation_level=None
    )
