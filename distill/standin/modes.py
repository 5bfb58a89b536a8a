"""Which mode a stand-in is in: what code and store say, kept in step by a thread."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from ...store.connection import StoreError
from ...store.rows import Calibration, Mode, StandIn
from ...store.stand_ins import newest_calibration
from ..redaction import one_line
from ..runs import now
from .fallback import Fallback
from .kept import Kept
from .standing import Standing, checked_standing
from .student import Student, SwapError
from .writing import APP

logger = logging.getLogger(__name__)
EVERY = 0.5  # seconds between two looks into the store
PATIENCE = 1.0  # seconds that a lock of the store is waited for: the app may be waiting, too


class Modes:
    """The mode of the stand-in `name`, as code, command and watch change it.

    The store's row is read every EVERY seconds off the caller's path. A mode that the code asks for
    is in force when built, unless somebody else (a command, the watch) changed the row last: that
    holds until it is changed there again, so that a restart undoes no rollback. What cannot be (no
    student, no valid calibration) stays with the teacher, is logged once, and is looked at again.
    Where the checks show that the student agrees less than was asked, the mode goes to record, in
    the store and so in every process. What is written late undoes nothing that came in between. A
    store put in another's place is told the mode in force, as at the start; one that is gone is not
    made anew before its next call. `on_alarm` is called with the reason of a change that the app
    did not ask for.
    """

    def __init__(
        self,
        path: str | Path,
        name: str,
        task: str,
        *,
        asked: Mode | None,
        agreement: float | None,
        student: Student | None,
        on_alarm: Callable[[str], None] | None = None,
    ) -> None:
        self.path, self.name, self.task = path, name, task
        self.student, self.agreement, self.on_alarm = student, agreement, on_alarm
        self._lock = threading.RLock()
        self._told: set[str] = set()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._row: StandIn | None = None
        self._unsaved: tuple[StandIn | None, StandIn] | None = None  # over which row, and the row
        self._over, self._starting = False, True
        self.fallback = Fallback(path, name, student, patience=PATIENCE, lose=self._lose)
        self._kept = Kept(path, name, patience=PATIENCE, anew=self._anew)
        self.standing = Standing()
        self._begin(asked)
        self._kept.close()  # an app may fork before its first call

    def now(self) -> Standing:
        """The mode in force; the first call in a process starts the thread that looks after it."""
        if self._pid != os.getpid():
            self._start()
        return self.standing

    def set(self, mode: Mode) -> None:
        """Change the mode, here at once and in the store. Raises SwapError where it cannot be."""
        if self._over:
            raise SwapError(f"{self.name} is closed, and its chain answers; swap it anew")
        with self._lock:
            before = self._read() or self._row
            self.standing = self._checked_now(mode)
            self._unsaved, self._starting = (before, self._row_of(mode)), False
            faster = self._save()
            told = self._take_up(faster) if faster is not None else None
        self._alarm(told)

    def look(self) -> None:
        """Take up what the store says now. Never raises."""
        with self._lock:
            if self._over:
                return
            row = self._read()
            if self._starting and row is not None and row.reason != APP:
                self._unsaved = self._with_student(row)  # somebody was faster than the first call
            if self._unsaved is not None:
                row = self._save()
            elif row is not None:
                row = self.fallback.row(row, self.standing, self._kept.opened())
            told = self._take_up(row) if row is not None else None
        self._alarm(told)  # the app's own function may take its time, or ask for the mode

    def close(self) -> None:
        """Look no more, and let go of the store; here the teacher answers alone, and what the store
        says of the mode stays."""
        with self._lock:
            self._over, self.standing = True, Standing()
            self._kept.close()

    @property
    def over(self) -> bool:
        """Whether nobody looks any more."""
        return self._over

    def _take_up(self, row: StandIn) -> tuple[Mode, StandIn] | None:
        """The row is in force: from which mode to which row the app is to be told, None for not."""
        changed, self._row, self._starting = row != self._row, row, False
        if changed:
            self._told.clear()
        self.agreement = row.agreement if row.agreement is not None else self.agreement
        before, self.standing = self.standing, self._possible(row.mode)
        return (before.mode, row) if changed and row.reason != APP else None

    def _begin(self, asked: Mode | None) -> None:
        """The mode at the start, see the class."""
        row = self._row = self._read()
        if row is not None and row.task != self.task:
            raise SwapError(
                f"{self.path} knows {self.name} as a stand-in of task {row.task}, not {self.task}; "
                "give another name="
            )
        if row is not None and self.agreement is None:
            self.agreement = row.agreement  # what was promised is not taken back by a word left out
        wanted: Mode = asked or (row.mode if row is not None else "record")
        standing = self._checked_now(wanted) if asked else self._possible(wanted)
        if row is not None and row.reason != APP:
            if asked and asked != row.mode:
                logger.warning(
                    "%s stays in mode %s, set there on %s (%s), though the code says %s: change it "
                    "with understudy mode",
                    self.name,
                    row.mode,
                    row.changed,
                    row.reason or "by command",
                    asked,
                )
            self.agreement = row.agreement if row.agreement is not None else self.agreement
            self.standing = self._possible(row.mode)
            self._unsaved = self._with_student(row)
            return
        self.standing = standing
        known = row is not None and (row.mode, row.agreement) == (wanted, self.agreement)
        if row is None or not known or self._with_student(row):
            self._unsaved = row, self._row_of(wanted)

    def _with_student(self, row: StandIn) -> tuple[StandIn, StandIn] | None:
        """Somebody else's row, and it with this app's student; None where it names that one.
        What another student answered tells nothing of this one: what is counted begins anew."""
        given = self.student.given if self.student else row.student
        if given == row.student:
            return None
        since = now() if row.mode in ("cascade", "student") else row.changed
        return row, row.model_copy(update={"student": given, "changed": since})

    def _row_of(self, mode: Mode) -> StandIn:
        return StandIn(
            name=self.name,
            task=self.task,
            mode=mode,
            agreement=self.agreement,
            student=self.student.given if self.student else None,
            reason=APP,
            changed=now(),
        )

    def _checked_now(self, mode: Mode) -> Standing:
        """The mode as it is asked for; the teacher alone for as long as the store cannot be read.
        Raises SwapError where it cannot be."""
        try:
            return checked_standing(
                self.name,
                mode,
                student=self.student,
                agreement=self.agreement,
                calibration=self._calibration,
            )
        except StoreError as error:
            self._lose(error)
            return Standing()

    def _possible(self, mode: Mode) -> Standing:
        """The mode as it is asked for, or the teacher alone."""
        try:
            return self._checked_now(mode)
        except SwapError as error:
            self._tell(f"mode {mode} is asked for, and the teacher answers: {error}")
            return Standing()

    def _calibration(self, student: Student) -> Calibration | None:
        store = self._kept.opened()
        if store is None:
            return None
        return newest_calibration(
            store, task=self.task, student=student.run.id, agreement=self.agreement
        )

    def _read(self) -> StandIn | None:
        try:
            return self._kept.read()
        except StoreError as error:
            self._lose(error)
            return None

    def _anew(self) -> None:
        """Another store is at the path: it is told the mode in force, as at the start."""
        self.fallback.reset()
        row = self._unsaved[1] if self._unsaved is not None else self._row
        self._unsaved, self._starting = (None, row) if row is not None else None, True

    def _save(self) -> StandIn | None:
        """Write what is not in the store yet; what cannot be written now is tried again. Given is
        the row of somebody who was faster, and holds; None where nobody was."""
        assert self._unsaved is not None
        if self._kept.gone:
            return None
        try:
            faster = self._kept.write(*self._unsaved)
        except StoreError as error:
            self._lose(error)
            return None
        if faster is None:
            self._row, self._starting = self._unsaved[1], False
        elif self._starting:
            return None  # the next look takes it up, with this app's student
        self._unsaved = None
        return faster

    def _lose(self, error: Exception) -> None:
        self._kept.close()
        if "older version" in str(error):  # whoever writes first brings it up to date, or makes it
            return
        self._tell(f"its mode cannot be kept in the store for now: {one_line(error)}")

    def _alarm(self, told: tuple[Mode, StandIn] | None) -> None:
        if told is None:
            return
        before, row = told
        reason = row.reason or "by command"
        logger.warning("%s goes from mode %s to %s: %s", self.name, before, row.mode, reason)
        if self.on_alarm is not None and row.reason:
            try:
                self.on_alarm(row.reason)
            except BaseException as error:  # noqa: BLE001 - the app's own, which may call exit
                self._tell(f"on_alarm failed: {one_line(error)}")

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            logger.warning("%s: %s (said once)", self.name, line)

    def _start(self) -> None:
        """A thread of this process's own: a forked child has its parent's lock and connection."""
        if self._pid and self._pid != os.getpid():
            self._lock = threading.RLock()
        with self._lock:
            if self._pid == os.getpid():
                return
            if self._pid:
                self._kept.leave()
            self._pid = os.getpid()
            self._thread = threading.Thread(
                target=_looking, args=(weakref.ref(self),), name=f"mode of {self.name}", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter is ending
                self._tell(one_line(error))


_OVER = threading.Event()  # the interpreter ends: nobody looks any more


def _looking(modes: weakref.ref[Modes]) -> None:
    while True:
        here = modes()
        if here is None or here.over:
            return
        try:
            here.look()
        except Exception as error:  # noqa: BLE001 - the thread lives as long as its stand-in
            here._lose(error)
        del here
        if _OVER.wait(EVERY):
            return


atexit.register(_OVER.set)
