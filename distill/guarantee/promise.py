"""Whether a student still agrees as often as was asked, by the checks that the store holds."""

from __future__ import annotations

from ...store.stand_ins import checked_since
from ...store.store import Store
from .detectors import Below

RISK = 0.05  # that a kept promise is ever called broken, however long one looks


class Promise:
    """The share `agreement` that the stand-in `name` was to keep since a time (UTC, ISO 8601).

    Counted are the student's own answers that the teacher checked: those of the run `student` where
    it is named, for a process with another student may answer beside it. The same text counts once,
    as in the calibration: asked again it would be checked again, and tell nothing new. The promise
    is broken when these texts show (`detectors.Below`) that the share is, or has become, lower. All
    processes with this student see the same calls in the same order, and so share one risk.
    """

    def __init__(
        self, name: str, *, agreement: float, since: str, student: str | None = None
    ) -> None:
        self.name, self.agreement, self.since, self.student = name, agreement, since, student
        self.asked = 0
        self.broken: str | None = None
        self._below = Below(agreement, risk=RISK)
        self._number = 0
        self._texts: set[str] = set()

    def look(self, store: Store) -> str | None:
        """Why it is broken, in one line, by what is in the store now; None while it is not, and
        for good once it is. Raises StoreError."""
        if self.broken is None:
            for example, agreed in self._new(store):
                if example not in self._texts:
                    self._texts.add(example)
                    self.see(agreed)
        return self.broken

    def see(self, agreed: bool) -> None:
        """One more text."""
        self.asked += 1
        if self._below.see(agreed) and self.broken is None:
            right, last = self._below.since
            self.broken = (
                f"bound: the student agrees in less than {self.agreement:g} ({right:,} of the last "
                f"{last:,} of {self.asked:,} checked texts since {self.since})"
            )

    def _new(self, store: Store) -> list[tuple[str, bool]]:
        self._number, found = checked_since(
            store, self.name, since=self.since, after=self._number, student=self.student
        )
        return found
