"""Back to the teacher: where the student agrees less than was asked, the app does not wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...store.connection import StoreError
from ...store.rows import StandIn
from ...store.stand_ins import replace_stand_in, stand_in
from ...store.store import Store
from ..guarantee.promise import Promise
from ..runs import now
from .standing import Standing
from .student import Student


class Fallback:
    """Judges the stand-in `name` by the checks of its student, and writes its row where it falls.

    Each process judges its own student. Where the row names another, as while a new student is
    brought out and this process still has the old one, only this process goes back to the teacher.
    `lose` is told what the store raises. The row in the store is replaced only as long as it is the
    one that was judged: a command, the watch or another process may have been faster.
    """

    def __init__(
        self,
        path: str | Path,
        name: str,
        student: Student | None,
        *,
        patience: float,
        lose: Callable[[Exception], None],
    ) -> None:
        self.path, self.name, self.student = path, name, student
        self.patience, self.lose = patience, lose
        self.promise: Promise | None = None
        self._unsaved: tuple[StandIn, StandIn] | None = None
        self._here: tuple[StandIn, StandIn] | None = None  # the store's row, and this process's

    def reset(self) -> None:
        """Forget what was seen: another store is at the path."""
        self.promise = self._unsaved = self._here = None

    def row(self, row: StandIn, standing: Standing, store: Store | None) -> StandIn:
        """The row to take up: `row`, which the store has now, or the teacher's where the student,
        which answers as `standing` says, has broken its promise. Never raises StoreError."""
        if self._unsaved is not None and row == self._unsaved[0]:
            return self._replaced(*self._unsaved)
        if self._here is not None and row == self._here[0]:
            return self._here[1]
        self._unsaved = self._here = None
        why = self._why(row, standing, store)
        if why is None:
            return row
        if self.student is not None and row.student not in (None, self.student.given):
            self._here = row, row.model_copy(update={"mode": "record", "reason": why})
            return self._here[1]
        changed = {"mode": "record", "reason": why, "changed": now()}
        return self._replaced(row, row.model_copy(update=changed))

    def _why(self, row: StandIn, standing: Standing, store: Store | None) -> str | None:
        if not standing.asks_first or row.mode != standing.mode or row.agreement is None:
            self.promise = None
            return None
        since = row.changed
        if standing.calibration is not None:  # a new threshold is a new promise
            since = max(since, standing.calibration.created)
        here = self.promise
        if here is None or (here.agreement, here.since) != (row.agreement, since):
            here = self.promise = Promise(
                self.name,
                agreement=row.agreement,
                since=since,
                student=self.student.run.id if self.student else None,
            )
        try:
            return here.look(store) if store is not None else None
        except StoreError as error:
            self.lose(error)
            return None

    def _replaced(self, row: StandIn, fallen: StandIn) -> StandIn:
        """The row that stands in the store afterwards; where that cannot be written now, the
        teacher answers nevertheless, and it is tried again."""
        try:
            with Store(self.path, patience=self.patience) as store:
                done = replace_stand_in(store, row, fallen)
                self._unsaved = None
                return fallen if done else stand_in(store, self.name) or fallen
        except StoreError as error:
            self._unsaved = row, fallen
            self.lose(error)
            return fallen
