"""The desk of one sitting of reviewing: which row comes next, what was decided, what is undone."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ...chains.task import Task, TaskError
from ...store.reviews import (
    add_if_open,
    closed_examples,
    closing_review,
    newest_review,
    undo_review,
)
from ...store.rows import Review, Verdict
from ...store.store import Store
from ..runs import now
from .rows import Shown, decided_answer, row_data, shown_row

TABS = 64  # windows remembered at once; the oldest is forgotten
REREAD_SECONDS = 20.0
_DONE = {"accept": "accepted", "correct": "corrected", "skip": "skipped"}


class Decision(BaseModel):
    """What the page sends of a row: `seen` is what it was shown, `changes` the fields changed.

    Without `reasoning` the proposed one stays with the proposed answer; a changed answer has none.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    example: str
    verdict: Verdict
    seen: str
    changes: dict[str, Any] = Field(default_factory=dict)
    reasoning: str | None = None


class Undo(BaseModel):
    """Which review to take back: of this id, or the reviewer's newest."""

    model_config = ConfigDict(extra="forbid", strict=True)

    review: int | None = Field(default=None, ge=1, lt=2**63)


class Desk:
    """One reviewer's queue over a store; every window of every process may decide at once.

    What is open is read from the store each time. `entries` are example ids with the reasons why
    each is worth a look, in order; a row is read when it is shown. Methods take `tab`, a window's
    own name, and return JSON data for it. They raise StoreError.
    """

    def __init__(
        self,
        task: Task,
        store: Store,
        entries: Iterable[tuple[str, Sequence[str]]],
        *,
        reviewer: str,
    ) -> None:
        self.task, self.store, self.reviewer = task, store, reviewer
        self.queue: dict[str, tuple[str, ...]] = {}
        for example, reasons in entries:
            self.queue.setdefault(example, tuple(reasons))
        self.since = newest_review(store)  # earlier skips are shown again
        self._held: dict[str, str] = {}
        self._saved: dict[int, str] = {}
        self._known: frozenset[str] = frozenset()
        self._newest, self._read_all = 0, -math.inf
        self._lock = threading.Lock()

    @property
    def counts(self) -> Counter[str]:
        """What this desk has saved and not taken back, by verdict."""
        with self._lock:
            return Counter(self._saved.values())

    def next(self, tab: str, *, holding: str | None = None) -> dict[str, Any]:
        """The first open row that no other window shows, or `held` where `holding` is open still.

        At the end, when other windows show all that is open, one of those.
        """
        if holding is not None:
            closing = self._closing(holding)
            if closing is None:
                return {"held": True, **self._progress(self._closed())}
            return {"note": self._already(closing), **self._open_row(tab)}
        return self._open_row(tab)

    def decide(self, tab: str, decision: Decision) -> dict[str, Any]:
        """Save the decision on the row as it was shown, and go on to the next.

        `saved` is the review's id. Where nothing is saved, `error` says why the answer is refused,
        or `note` that another window was quicker, or that the row has changed since.
        """
        row = shown_row(self.task, self.store, decision.example)
        if row is None:
            return {"error": "the store no longer has this row", **self._open_row(tab)}
        if decision.verdict != "skip" and (closing := self._closing(row.example.id, skips=False)):
            return {"note": self._already(closing), **self._open_row(tab)}
        if decision.seen != row.seen:
            note = "This row has another answer since it was shown. Look again."
            return {"note": note, **self._given(tab, row)}
        try:
            review = self._review(row, decision)
        except TaskError as error:
            return {"error": str(error)}
        stands, mine = add_if_open(self.store, self.task.name, review, skips_after=self.since)
        if not mine:
            return {"note": self._already(stands), **self._open_row(tab)}
        assert stands.id is not None
        with self._lock:
            self._saved[stands.id] = stands.verdict
        said = f"{_DONE[stands.verdict].capitalize()}."
        return {"saved": stands.id, "note": said, **self._open_row(tab)}

    def undo(self, tab: str, undo: Undo) -> dict[str, Any]:
        """Take a review back and show its row again, as it had been decided."""
        review = undo_review(self.store, self.task.name, self.reviewer, undo.review)
        if review is None:
            return {"note": "There is nothing to undo."}
        with self._lock:
            self._saved.pop(review.id or 0, None)
            self._read_all = -math.inf
        row = shown_row(self.task, self.store, review.example)
        said = f"Undone: this row had been {_DONE[review.verdict]}."
        if row is None:
            return {"note": said, **self._open_row(tab)}
        return {"note": said, **self._given(tab, row, draft=review)}

    def _review(self, row: Shown, decision: Decision) -> Review:
        """Raises TaskError where the answer does not fit the task."""
        known: dict[str, Any] = {
            "example": row.example.id,
            "run": row.run,
            "verdict": decision.verdict,
            "reviewer": self.reviewer,
            "created": now(),
        }
        if decision.verdict == "skip":
            return Review(**known)
        if row.proposal is None and not decision.changes:
            raise TaskError("there is no answer to accept; choose one, or skip the row")
        edited = "reasoning" in decision.model_fields_set and bool(self.task.reasoning)
        if decision.verdict == "accept" and (decision.changes or edited):
            raise TaskError("an accepted answer has no changes; correct it")
        given = (decision.reasoning or "").strip() or None if edited else None
        answer = decided_answer(self.task, row, decision.changes, reasoning=given)
        stands = not decision.changes or answer == row.proposal
        # A reasoning argues for its answer: another answer has none until a person gives it one.
        reasoning = given if edited else row.reasoning if stands else None
        same = answer == row.proposal and reasoning == row.reasoning
        verdict: Verdict = "accept" if same else "correct"
        return Review(**known | {"verdict": verdict}, answer=answer, reasoning=reasoning)

    def _open_row(self, tab: str) -> dict[str, Any]:
        closed = self._closed()
        with self._lock:
            elsewhere = {example for other, example in self._held.items() if other != tab}
        open_ = (example for example in self.queue if example not in closed)
        held: list[str] = []
        for example in open_:
            if example in elsewhere:
                held.append(example)
            elif (row := shown_row(self.task, self.store, example)) is not None:
                return self._given(tab, row, closed=closed)
        for example in held:
            if (row := shown_row(self.task, self.store, example)) is not None:
                return self._given(tab, row, closed=closed)
        return {"row": None, "counts": dict(self.counts), **self._progress(closed)}

    def _given(
        self,
        tab: str,
        row: Shown,
        *,
        draft: Review | None = None,
        closed: Set[str] | None = None,
    ) -> dict[str, Any]:
        example = row.example.id
        with self._lock:
            self._held.pop(tab, None)
            self._held[tab] = example
            while len(self._held) > TABS:
                del self._held[next(iter(self._held))]
        data = row_data(self.task, row, reasons=self.queue.get(example, ()), draft=draft)
        return {"row": data, **self._progress(self._closed() if closed is None else closed)}

    def _closed(self) -> Set[str]:
        """What is closed in the store: new reviews each time, what others took back by and by.

        A decision is checked against the store in its own transaction in any case.
        """
        with self._lock:
            read = time.monotonic()
            if read - self._read_all > REREAD_SECONDS:
                self._known, self._newest, self._read_all = frozenset(), 0, read
            newest = newest_review(self.store)
            if newest > self._newest:
                self._known |= closed_examples(
                    self.store,
                    self.task.name,
                    self.reviewer,
                    skips_after=self.since,
                    after=self._newest,
                )
                self._newest = newest
            return self._known

    def _closing(self, example: str, *, skips: bool = True) -> Review | None:
        after = self.since if skips else 2**62
        return closing_review(self.store, self.task.name, example, self.reviewer, skips_after=after)

    def _progress(self, closed: Set[str]) -> dict[str, Any]:
        done = len(self.queue.keys() & closed)
        return {"progress": {"done": done, "total": len(self.queue)}}

    def _already(self, review: Review) -> str:
        who = "you" if review.reviewer == self.reviewer else review.reviewer
        return f"That row was {_DONE[review.verdict]} by {who} in another window; here is the next."
