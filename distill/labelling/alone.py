"""One process at a time fills a run: two would buy the same rows twice."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ...store.rows import Run
from ...store.store import Store
from .limits import LabellingError


@contextlib.contextmanager
def alone(store: Store, run: Run) -> Iterator[None]:
    """Hold the run for this block. Raises LabellingError where somebody else holds it.

    An SQLite lock on a file beside the store: on every system it goes with the process that holds
    it, however that ends.
    """
    if str(store.path) == ":memory:":
        yield
        return
    path = Path(f"{store.path}-{run.id}.lock")
    lock = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        lock.execute("begin exclusive")
    except sqlite3.OperationalError as error:
        lock.close()
        if "locked" not in str(error):
            raise LabellingError(
                f"{path}: {error}; a run needs this file beside the store"
            ) from error
        raise LabellingError(
            f"run {run.id} of {store.path} is being labelled by another process, and both would "
            "pay for the same rows; wait for its end or stop it"
        ) from error
    try:
        yield
    finally:
        lock.close()
        with contextlib.suppress(OSError):
            path.unlink()
