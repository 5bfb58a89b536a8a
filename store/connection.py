"""The connection to a store's file: how it is opened, locked, and what its errors mean."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import file_systems, schema
from .copies import copy_database, has_log, open_read_only, remove_empty_log
from .one_writer import OneWriter, Taken

logger = logging.getLogger(__name__)
LOCK_SECONDS = 30.0
_KEPT_LOG = 64 * 2**20  # bytes: a write-ahead log that one import made long is cut to this
_told_slow: set[str] = set()  # the paths whose drive was spoken of


class StoreError(Exception):
    """A store, or a file of rows, that cannot be read or written: what, which one, what to do."""


class Connection:
    """One SQLite connection that all threads share, one statement at a time.

    An older store is copied beside itself and then brought up to date; `read_only` changes nothing
    and refuses one. Everything raises StoreError, one line, where the file cannot be used: no
    database, another program's, newer, damaged, read-only, full, locked.
    """

    def __init__(
        self, path: str | Path, *, read_only: bool = False, patience: float | None = None
    ) -> None:
        self.path = str(path)
        self.read_only = read_only
        self.patience = LOCK_SECONDS if patience is None else patience
        self._lock = threading.RLock()
        self._writer: OneWriter | None = None  # where the drive allows one only
        if lack := schema.sqlite_lack(sqlite3.sqlite_version_info):
            raise StoreError(f"{path}: {lack}")
        with self.told():
            self._connection = self._connect()
            try:
                self._prepare_in_turn()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the file; what was written is there."""
        with self.told(), self._lock:
            self._connection.close()
            if self._writer:
                self._writer.release()
            if self.read_only:
                remove_empty_log(self.path)

    def read(self, statement: str, **values: Any) -> list[sqlite3.Row]:
        """The rows that a statement selects."""
        with self.told(), self._lock:
            return self._connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: committed at the end, rolled back where anything is raised."""
        with self.told(), self._lock:
            self._check_writable()
            self._connection.execute("begin immediate")
            try:
                yield self._connection
                self._connection.execute("commit")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("rollback")
                raise

    @contextlib.contextmanager
    def bare(self) -> Iterator[sqlite3.Connection]:
        """The connection without a transaction, for what SQLite does outside of one."""
        with self.told(), self._lock:
            yield self._connection

    def _check_writable(self) -> None:
        if self.read_only:
            raise StoreError(f"{self.path} is opened read-only; open it for writing to change it")
        if self._writer:
            try:
                self._writer.take()
            except (Taken, OSError) as error:
                raise StoreError(f"{self.path}: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        if Path(self.path).is_dir():
            raise StoreError(f"{self.path} is a folder; a store is a file, name one")
        if not Path(self.path).parent.is_dir():
            raise StoreError(f"{self.path}: there is no such folder; make it first")
        if self.read_only:
            return open_read_only(self.path, timeout=self.patience)
        if self.path != ":memory:":
            with contextlib.suppress(OSError):  # SQLite says what is wrong with the path
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return sqlite3.connect(
            self.path, timeout=self.patience, check_same_thread=False, isolation_level=None
        )

    def _prepare_in_turn(self) -> None:
        """SQLite does not wait where several change a new file's journal at once: wait here."""
        until = time.monotonic() + self.patience
        while True:
            try:
                return self._prepare()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def _prepare(self) -> None:
        connection = self._connection
        connection.row_factory = sqlite3.Row
        connection.execute("pragma foreign_keys = on")
        drive = None if self.read_only else file_systems.shared_drive(self.path)
        if drive and has_log(self.path):  # copied there: readable alone, without shared memory
            connection.execute("pragma locking_mode = exclusive")
        lacking = self._lacks_tables()  # asked first: another program's file stays as it is
        if self.read_only:
            if lacking:
                raise StoreError(
                    f"{self.path} is of an older version; {self._writable_place()}open it once "
                    "for writing, which copies it and brings it up to date"
                )
            return
        self._choose_journal(drive)
        if lacking:
            self._migrate()

    def _writable_place(self) -> str:
        places = (self.path, Path(self.path).absolute().parent)
        able = all(os.access(place, os.W_OK) for place in places)
        return "" if able else "copy it to where you can write, and there "

    def _lacks_tables(self) -> bool:
        there = schema.tables(
            self._connection
        )  # first: tables are made with the note of their steps
        applied = schema.applied_steps(self._connection)
        mine = [step.__name__ for step in schema.STEPS]
        if newer := [name for name in applied if name not in mine]:
            raise StoreError(
                f"{self.path} was written by a newer version ({newer[-1]}); upgrade understudy"
            )
        if there and not applied:
            raise StoreError(f"{self.path} is another program's SQLite file; name another one")
        return applied != mine

    def _migrate(self) -> None:
        """Bring the file up to date, once: of two processes the second finds it done."""
        with self.writing() as connection:
            if not self._lacks_tables():
                return
            applied = schema.applied_steps(connection)
            if applied:
                self._check_references()  # a row without its example could not be moved
                self._copy_before(schema.STEPS[len(applied)].__name__.split("_")[0])
            schema.apply_steps(connection)
            self._check_references()

    def _check_references(self) -> None:
        if broken := self._connection.execute("pragma foreign_key_check").fetchall():
            raise StoreError(
                f"{self.path}: {len(broken)} rows refer to rows that are not there, first in "
                f"{broken[0][0]}; it cannot be brought up to date and stays as it was"
            )

    def _copy_before(self, step: str) -> None:
        target = Path(f"{self.path}.before-{step}")
        number = 1
        while target.exists():  # of an earlier file of this name: a copy is never overwritten
            number += 1
            target = Path(f"{self.path}.before-{step}.{number}")
        with contextlib.closing(open_read_only(self.path, timeout=LOCK_SECONDS)) as reader:
            try:
                copy_database(reader, target)
            except OSError as error:
                reason = error.strerror or error
                raise StoreError(f"{target}: the copy cannot be written: {reason}") from error
        logger.warning(
            "%s is of an older version: copied to %s, now brought up to date", self.path, target
        )

    def _choose_journal(self, drive: str | None) -> None:
        """Readers do not wait for writers, where the drive can do it; else one process writes."""
        connection = self._connection
        if drive is None and self._writes_ahead():
            connection.execute("pragma synchronous = normal")
            connection.execute(f"pragma journal_size_limit = {_KEPT_LOG}")
            return
        connection.execute("pragma journal_mode = delete")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma locking_mode = normal")
        self._lacks_tables()  # a read: only then the lock of a moment ago is given back
        self._writer = OneWriter(self.path)
        where = str(Path(self.path).resolve())
        if where not in _told_slow:
            _told_slow.add(where)
            logger.warning(
                "%s: its file system%s cannot do write-ahead logging, using a rollback journal; "
                "one process can write it at a time",
                self.path,
                f" ({drive})" if drive else "",
            )

    def _writes_ahead(self) -> bool:
        try:
            (mode,) = self._connection.execute("pragma journal_mode = wal").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise
            return False
        return mode in ("wal", "memory")

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """What SQLite and JSON raise, as one line that says what to do."""
        with told(self.path, self.patience):
            yield


@contextlib.contextmanager
def told(path: str | Path, patience: float | None = None) -> Iterator[None]:
    """What SQLite and JSON raise on the file `path`, as one StoreError that says what to do."""
    waited = LOCK_SECONDS if patience is None else patience
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {_advice(str(error), waited)}") from error
    except (ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StoreError(f"{path}: a row is no valid data: {reason}") from error


def _advice(error: str, waited: float) -> str:
    known = {
        "disk is full": "the disk is full; what was committed is kept, free space and run again",
        "not a database": "is no SQLite file; name another one",
        "malformed": "the file is damaged; put a copy in its place, or try sqlite3's .recover",
        "readonly": "the file or its folder is read-only; what was committed is kept",
        "locked": f"another process has held it for {waited:.3g} s; try again later",
        "unable to open": "cannot be opened or made; is its folder there, and writable?",
        "disk I/O": "the disk failed to read or write; what was committed before is kept",
        "no such module: fts5": f"this Python's SQLite {sqlite3.sqlite_version} has no full-text "
        "search (FTS5); use a Python whose SQLite has it",
        "records.run": "a record of a run that the store does not have; start the run first",
        "records.example": "a record of an example that the store does not have; add it first",
    }
    return next((advice for words, advice in known.items() if words in error), error)
