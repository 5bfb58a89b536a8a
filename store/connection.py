"""The connection to a store's file: how it is opened, locked, and what its errors mean."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import schema

logger = logging.getLogger(__name__)
LOCK_SECONDS = 30.0


class StoreError(Exception):
    """A store, or a file of rows, that cannot be read or written: what, which one, what to do."""


class Connection:
    """One SQLite connection that all threads share, one statement at a time.

    Everything raises StoreError, one line, where the file cannot be used: no database, another
    program's, newer, damaged, read-only, full, locked.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._lock = threading.RLock()
        with self.told():
            self._connection = self._connect()
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the file; what was written is there."""
        with self.told(), self._lock:
            self._connection.close()

    def read(self, statement: str, **values: Any) -> list[sqlite3.Row]:
        """The rows that a statement selects."""
        with self.told(), self._lock:
            return self._connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: committed at the end, rolled back where anything is raised."""
        with self.told(), self._lock:
            self._connection.execute("begin immediate")
            try:
                yield self._connection
                self._connection.execute("commit")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("rollback")
                raise

    def _connect(self) -> sqlite3.Connection:
        if Path(self.path).is_dir():
            raise StoreError(f"{self.path} is a folder; a store is a file, name one")
        if not Path(self.path).parent.is_dir():
            raise StoreError(f"{self.path}: there is no such folder; make it first")
        return sqlite3.connect(
            self.path, timeout=LOCK_SECONDS, check_same_thread=False, isolation_level=None
        )

    def _prepare(self) -> None:
        connection = self._connection
        connection.row_factory = sqlite3.Row
        connection.execute("pragma foreign_keys = on")
        lacking = self._lacks_tables()  # asked first: another program's file stays as it is
        self._write_ahead()
        connection.execute("pragma synchronous = normal")
        if lacking:
            with self.writing():
                schema.apply_steps(connection)

    def _lacks_tables(self) -> bool:
        applied = schema.applied_steps(self._connection)
        mine = [step.__name__ for step in schema.STEPS]
        if newer := [name for name in applied if name not in mine]:
            raise StoreError(
                f"{self.path} was written by a newer version ({newer[-1]}); upgrade understudy"
            )
        if not applied and schema.tables(self._connection):
            raise StoreError(f"{self.path} is another program's SQLite file; name another one")
        return applied != mine

    def _write_ahead(self) -> None:
        """Readers do not wait for writers, where the file system can do it."""
        try:
            (mode,) = self._connection.execute("pragma journal_mode = wal").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise
            (mode,) = self._connection.execute("pragma journal_mode = delete").fetchone()
        if mode not in ("wal", "memory"):
            logger.warning(
                "%s: its file system cannot do write-ahead logging, using a rollback journal",
                self.path,
            )

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """What SQLite and JSON raise, as one line that says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {_advice(str(error))}") from error
        except (ValueError, OverflowError) as error:
            reason = " ".join(str(error).split())[:200]
            raise StoreError(f"{self.path}: a row is no valid data: {reason}") from error


def _advice(error: str) -> str:
    known = {
        "disk is full": "the disk is full; what was committed is kept, free space and run again",
        "not a database": "is no SQLite file; name another one",
        "malformed": "the file is damaged; put a copy in its place, or try sqlite3's .recover",
        "readonly": "the file or its folder is read-only; what was committed is kept",
        "locked": f"another process has held it for {LOCK_SECONDS:.0f} s; try again later",
        "unable to open": "cannot be opened or made; is its folder there, and writable?",
        "disk I/O": "the disk failed to read or write; what was committed before is kept",
        "records.run": "a record of a run that the store does not have; start the run first",
        "records.example": "a record of an example that the store does not have; add it first",
    }
    return next((advice for words, advice in known.items() if words in error), error)
