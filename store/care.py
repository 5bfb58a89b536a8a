"""Keeping a store whole: copies made while it is used, checks, and space given back."""

from __future__ import annotations

import contextlib
import datetime
import logging
import sqlite3
import threading
from pathlib import Path
from typing import Self

from .checks import verify
from .connection import LOCK_SECONDS, StoreError, told
from .copies import copy_database, database_beside, is_database, open_read_only
from .schema import applied_steps
from .store import Store

__all__ = ["Backups", "backup", "vacuum", "verify"]
logger = logging.getLogger(__name__)


def backup(store: Store, path: str | Path) -> Path:
    """Copy the store to the file `path`, over an earlier copy, while others read and write.

    The copy is whole, one file, readable by its owner alone, and a store itself; it appears at the
    end or not at all. Raises StoreError where it cannot be written, or `path` is a store in use or
    a file that is no store.
    """
    target = check_target(store, path)
    with told(target), contextlib.ExitStack() as stack:
        if store.path == ":memory:":
            source = stack.enter_context(store.connection.bare())
        else:  # a connection of its own: the store's other threads do not wait for the copy
            reader = open_read_only(store.path, timeout=LOCK_SECONDS)
            source = stack.enter_context(contextlib.closing(reader))
        try:
            copy_database(source, target)
        except OSError as error:
            raise StoreError(f"{target}: cannot be written: {error.strerror or error}") from error
    _note(store, target)
    return target


def _note(store: Store, target: Path) -> None:
    """Remember where a copy is: what is forgotten here still stands there. A store that cannot be
    written is copied all the same."""
    made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with contextlib.suppress(StoreError), store.connection.writing() as connection:
        connection.execute(
            "insert into backups (path, made) values (?, ?) "
            "on conflict (path) do update set made = excluded.made",
            (str(target.absolute()), made),
        )


def check_target(store: Store, path: str | Path) -> Path:
    """Where a copy may be written. Raises StoreError."""
    target = Path(path)
    if target.is_dir():
        raise StoreError(f"{target} is a folder; name a file to copy the store to")
    if not target.parent.is_dir():
        raise StoreError(f"{target}: there is no such folder; make it first")
    if target.exists() and Path(store.path).exists() and target.samefile(store.path):
        raise StoreError(f"{target} is the store itself; name another file to copy it to")
    if Path(f"{target}-wal").exists():
        raise StoreError(f"{target} is a store in use; name another file, or close it first")
    if database_beside(target) not in (None, target.resolve()):
        raise StoreError(f"{target} belongs to another store; name another file")
    if target.exists() and not _is_store(target):
        raise StoreError(f"{target} is there and is no store; name another file, or remove it")
    return target


def _is_store(path: Path) -> bool:
    """Whether the file is a store of any version."""
    if not is_database(path):
        return False
    try:
        with contextlib.closing(open_read_only(path, timeout=LOCK_SECONDS)) as connection:
            return bool(applied_steps(connection))
    except sqlite3.Error:
        return False


class Backups:
    """Copies the store to `path` every `minutes` while the block runs, and once at its end.

    A copy that fails within the block is a warning, and the next one is tried; at the end of a
    block that raised nothing it raises StoreError.
    """

    def __init__(self, store: Store, path: str | Path, *, minutes: float = 10.0) -> None:
        self.store = store
        self.path = Path(path)
        self.seconds = 60 * minutes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._copy_again, name="backups", daemon=True)

    def __enter__(self) -> Self:
        check_target(self.store, self.path)  # said now, not after minutes of paid work
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if kind is None:
            backup(self.store, self.path)
        else:
            self._try()

    def _copy_again(self) -> None:
        while not self._over.wait(self.seconds):
            self._try()

    def _try(self) -> None:
        try:
            backup(self.store, self.path)
        except StoreError as error:
            logger.warning("no backup was made: %s", error)


def vacuum(store: Store) -> tuple[int, int]:
    """Give unused space back to the disk and tidy the full text: the file's bytes before and after.

    Waits for nobody: raises StoreError where another process holds the file. In memory: (0, 0).
    """
    before = _size(store)
    with store.connection.writing() as connection:
        for table in ("examples_fts", "records_fts"):
            connection.execute(f"insert into {table} ({table}) values ('optimize')")
    with store.connection.bare() as connection:
        connection.execute("vacuum")
        connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    return before, _size(store)


def reclaimable(store: Store) -> int:
    """The bytes that nothing uses any more, which is about what `vacuum` gives back."""
    with store.connection.bare() as connection:
        pages = connection.execute("pragma freelist_count").fetchone()[0]
        return int(pages * connection.execute("pragma page_size").fetchone()[0])


def _size(store: Store) -> int:
    files = (Path(store.path), Path(f"{store.path}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
