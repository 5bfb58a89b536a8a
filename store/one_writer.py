"""The one process that may write a store whose file system cannot keep several apart."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_HELD: dict[str, int] = {}  # lock file -> how many connections of this process hold it
_GUARD = threading.Lock()
_TRIES = 5


class Taken(Exception):
    """Another process holds the lock: who, and what to do."""


class OneWriter:
    """The file `NAME.writer` beside the store, which says who writes: held by one process at once.

    It is made at the first write and removed by `release`. One that a process of this machine left
    behind when it was killed is taken over.
    """

    def __init__(self, store: str | Path) -> None:
        self.path = Path(f"{store}.writer").absolute()
        self._held = False

    def take(self) -> None:
        """Hold the lock from now on. Raises Taken, and OSError where no file can be made."""
        if self._held:
            return
        with _GUARD:
            count = _HELD.get(str(self.path), 0)
            if not count:
                _claim(self.path)
            _HELD[str(self.path)] = count + 1
            self._held = True

    def release(self) -> None:
        """Let others write; the last connection of this process removes the file."""
        if not self._held:
            return
        with _GUARD:
            self._held = False
            _HELD[str(self.path)] -= 1
            if not _HELD[str(self.path)]:
                with contextlib.suppress(OSError):
                    self.path.unlink()


def _claim(path: Path) -> None:
    for _ in range(_TRIES):
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            if _took_over(path):
                return
            time.sleep(0.05)  # made a moment ago and not yet written, or just removed
        else:
            _write(handle)
            os.close(handle)
            return
    raise Taken(f"another process may write it; if none does, delete {path}")


def _took_over(path: Path) -> bool:
    """Make a dead process's lock ours; False where it is worth another look. Raises Taken."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        with _alone(handle):
            holder = _holder(handle)
            if holder is None or os.fstat(handle).st_ino != path.stat().st_ino:
                return False
            host, pid = holder
            if host != socket.gethostname() or _alive(pid):
                raise Taken(
                    f"process {pid} on {host} is writing it, and its drive allows one writer at a "
                    f"time; wait for it, or delete {path} if that process is gone"
                )
            _write(handle)
            return True
    except FileNotFoundError:
        return False
    finally:
        os.close(handle)


def _write(handle: int) -> None:
    text = json.dumps({"host": socket.gethostname(), "pid": os.getpid()})
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, text.encode())


def _holder(handle: int) -> tuple[str, int] | None:
    try:
        data: Any = json.loads(os.read(handle, 1000))
        return str(data["host"]), int(data["pid"])
    except (ValueError, TypeError, KeyError):
        return None


@contextlib.contextmanager
def _alone(handle: int) -> Iterator[None]:
    """Of several processes of this machine that find a dead one's lock, one at a time looks."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with contextlib.suppress(OSError):  # a drive without locks: as good as it gets
        fcntl.flock(handle, fcntl.LOCK_EX)
    yield


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # a lock that this process does not hold: left by one that had its number
    if sys.platform == "win32":  # os.kill would end it
        import ctypes

        kernel = ctypes.windll.kernel32
        if not (process := kernel.OpenProcess(0x1000, False, pid)):  # query limited information
            return False
        kernel.CloseHandle(process)
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
