"""Whether a student still agrees as often as was asked, by the checks that the store holds."""

from __future__ import annotations

from ...store.stand_ins import checked_since
from ...store.store import Store
from .sequence import LiveAgreement

CONFIDENCE = 0.95  # that no promise which is kept is ever called broken, however long one looks


class Promise:
    """The share `agreement` that the stand-in `name` was to keep since a time (UTC, ISO 8601).

    Counted are the student's own answers that the teacher checked. The same text counts once, as in
    the calibration: asked again it would be checked again, and tell nothing new. The promise is
    broken when the sequence of these texts shows that the share is below `agreement`. What a kept
    promise risks is bounded also where its share changes from call to call and never falls below:
    raising a call's chance to agree raises every later count (coupling), and the evidence, convex
    in the count and at most 1 at `agreement` itself, is enough on low counts alone. All processes
    of a store see the same calls in the same order, so that they share one risk. A share that falls
    after a long time of keeping is found late, for all texts count: the watch's detectors forget,
    and are faster there.
    """

    def __init__(self, name: str, *, agreement: float, since: str) -> None:
        self.name, self.agreement, self.since = name, agreement, since
        self.live = LiveAgreement()
        self.broken: str | None = None
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
        self.live = self.live.after(agreed)
        if self.broken is None and not agreed and self.live.below(self.agreement, CONFIDENCE):
            self.broken = (
                f"bound: the student agrees in less than {self.agreement:g} ({self.live.agreed:,} "
                f"of {self.live.asked:,} checked texts since {self.since}, with "
                f"{100 * CONFIDENCE:g} % confidence at any time)"
            )

    def _new(self, store: Store) -> list[tuple[str, bool]]:
        self._number, found = checked_since(store, self.name, since=self.since, after=self._number)
        return found
