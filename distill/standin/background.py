"""Work off the caller's path: a bounded queue and one thread, which sheds load rather than block.

What does not fit is counted and dropped: an app that waits for its own log is worse than a log with
a gap in it.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..redaction import one_line

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
AT_EXIT = 5.0  # seconds that all queues together may take to drain when the interpreter ends
LINGER = 0.05  # seconds in which a batch gathers: a killed process loses no more than that
IDLE = 10.0  # seconds without work after which the thread ends; the next item starts another
MOST = 256  # items in a batch


@dataclass(frozen=True)
class Counts:
    """What became of the items: taken into the queue, shed, worked off, and lost in `work`."""

    taken: int = 0
    shed: int = 0
    done: int = 0
    failed: int = 0


class Background(Generic[Item]):
    """Items that `work` takes in batches, in the order they came, on a daemon thread of its own.

    At most `bound` items wait; one more is shed. The thread starts with the first item and ends
    when there is nothing to do for IDLE seconds, or at `close`; before it ends it calls `rest`. A
    forked child starts empty: what waits is its parent's. `linger` is how long a batch gathers.
    What `work` raises is logged once for each kind of error, and its items are counted as failed.
    """

    def __init__(
        self,
        bound: int,
        work: Callable[[list[Item]], None],
        name: str,
        *,
        rest: Callable[[], None] = lambda: None,
        linger: float = LINGER,
    ) -> None:
        self.bound, self.work, self.name, self.rest = bound, work, name, rest
        self.linger = linger
        self._told: set[str] = set()
        self._begin()
        _ALL.add(self)

    def put(self, item: Item) -> bool:
        """Queue the item; False where it was shed. Never blocks for work, never raises."""
        with self._lock:
            if self._closed or len(self._waiting) >= self.bound:
                self._shed += 1
                return False
            self._waiting.append(item)
            self._taken += 1
            start = self._thread is None
            if start:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._wake.set()
        return self._started() if start else True

    @property
    def counts(self) -> Counts:
        """What became of the items so far."""
        with self._lock:
            return Counts(self._taken, self._shed, self._done, self._failed)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until what was queued before has been worked off; False where time ran out."""
        end = time.monotonic() + timeout
        with self._lock:
            wanted = self._taken
            self._hurry = True
        self._wake.set()
        with self._settled:
            while self._done + self._failed < wanted:
                left = end - time.monotonic()
                if left <= 0 or not self._settled.wait(left):
                    return False
        return True

    def close(self, timeout: float = AT_EXIT) -> bool:
        """Take nothing more, work off what waits, end the thread; False where time ran out."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            with contextlib.suppress(RuntimeError):  # it was never started: no thread to be had
                thread.join(timeout)
            return not thread.is_alive()
        return True

    def give_up(self) -> list[Item]:
        """Take nothing more, and hand back what waits: nobody works it off any more."""
        with self._settled:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            self._failed += len(left)
            self._settled.notify_all()
        self._wake.set()
        _ALL.discard(self)
        return left

    _waiting: deque[Item]
    _thread: threading.Thread | None
    _taken: int
    _shed: int
    _done: int
    _failed: int

    def _begin(self) -> None:
        """Empty, without a thread: at the beginning, and in a forked child."""
        self._lock = threading.RLock()  # a signal's handler may ask the chain, too
        self._settled = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._waiting = deque()
        self._thread = None
        self._closed = self._hurry = False
        self._taken = self._shed = self._done = self._failed = 0

    def _started(self) -> bool:
        thread = self._thread
        try:
            if thread is not None:
                thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            with self._lock:
                self._thread = None
                self._failed += len(self._waiting)
                self._waiting.clear()
            self._tell(error)
            return False
        return True

    def _run(self) -> None:
        while batch := self._next_batch():
            failed = 0
            try:
                self.work(batch)
            except Exception as error:  # noqa: BLE001 - the app goes on, whatever went wrong here
                failed = len(batch)
                self._tell(error)
            with self._settled:
                self._failed += failed
                self._done += len(batch) - failed
                self._settled.notify_all()

    def _next_batch(self) -> list[Item]:
        """The next items; none where the thread is to end, which is then nobody's any more."""
        while True:
            woken = self._wake.wait(IDLE)
            if not self._closed and not self._hurry and self.linger:
                self._gather()
            with self._lock:
                batch = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
                if batch:
                    return batch
                self._wake.clear()
                self._hurry = False
                over = self._closed or not woken
            if over and self._rested():
                return []

    def _gather(self) -> None:
        end = time.monotonic() + self.linger
        while len(self._waiting) < min(MOST, self.bound) and not (self._closed or self._hurry):
            if (left := end - time.monotonic()) <= 0:
                break
            time.sleep(min(left, 0.01))

    def _rested(self) -> bool:
        """Whether the thread ends now: not where an item came while it put things away."""
        try:
            self.rest()
        except Exception as error:  # noqa: BLE001 - as above
            self._tell(error)
        with self._lock:
            if self._waiting:
                return False
            self._thread = None
            return True

    def _tell(self, error: BaseException) -> None:
        kind = f"{type(error).__name__}: {str(error)[:60]}"
        if kind not in self._told and len(self._told) < MOST:
            self._told.add(kind)
            logger.warning("%s: %s (said once; counted from now on)", self.name, one_line(error))


_ALL: weakref.WeakSet[Background[Any]] = weakref.WeakSet()


def _drain_all() -> None:
    """At the interpreter's end: what waits is worked off, within AT_EXIT seconds."""
    end = time.monotonic() + AT_EXIT
    for background in list(_ALL):
        background.close(max(0.0, end - time.monotonic()))


def _forked() -> None:
    for background in list(_ALL):
        background._begin()


atexit.register(_drain_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
