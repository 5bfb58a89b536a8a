"""The row of a stand-in in the store at a path, where a file may be gone, or another by now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...store.rows import StandIn
from ...store.stand_ins import replace_stand_in, stand_in
from ...store.store import Store
from .writing import APP, which_file

_GONE = (-1, -1)  # its number may be given to the next file
_LEFT: list[Any] = []  # connections of a parent process: not even closed in a forked child


class Kept:
    """The row of the stand-in `name` in the store at `path`; `anew` is called when another file has
    been put in the place of the one that was read. A lock is waited for `patience` seconds. Not for
    two threads at once."""

    def __init__(
        self, path: str | Path, name: str, *, patience: float, anew: Callable[[], None]
    ) -> None:
        self.path, self.name, self.patience, self.anew = path, name, patience, anew
        self._store: Store | None = None
        self._file: tuple[int, int] | None = None

    def opened(self) -> Store | None:
        """The store for reading, None where no file is. Raises StoreError."""
        found = which_file(self.path) if Path(self.path).is_file() else None
        if found is None:
            self.close()
            self._file = self._file and _GONE
            return None
        if found != self._file:
            self.close()
            before, self._file = self._file, found
            if before is not None:
                self.anew()
        if self._store is None:
            self._store = Store(self.path, create=False, read_only=True, patience=self.patience)
        return self._store

    def read(self) -> StandIn | None:
        """The row, None where none is. Raises StoreError."""
        store = self.opened()
        return stand_in(store, self.name) if store is not None else None

    @property
    def gone(self) -> bool:
        """Whether there was a file, and is none."""
        return self._file is not None and which_file(self.path) is None

    def write(self, before: StandIn | None, row: StandIn) -> StandIn | None:
        """Write the row over `before`, or over what the app has said meanwhile in another process,
        but over nobody else's: that is given, and None where there was none. Raises StoreError."""
        with Store(self.path, patience=self.patience) as store:
            while not replace_stand_in(store, before, row):
                before = stand_in(store, self.name)
                if before is not None and before.reason != APP:
                    return before
        return None

    def close(self) -> None:
        """Let go of the store; it is opened again when it is needed."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def leave(self) -> None:
        """A forked child has its parent's connection: it is left alone."""
        _LEFT.append(self._store)
        self._store = None
