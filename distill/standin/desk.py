"""What becomes of a stand-in's calls: counted, recorded, shadowed, checked; it never raises."""

from __future__ import annotations

import atexit
import copy
import logging
import threading
import time
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from ...chains.conversation import MESSAGES, conversation_text
from ...chains.from_chain import AppChain
from ...chains.task import Thought
from ..redaction import one_line
from .background import Background
from .hearing import Hearing, listening
from .recorder import Recorder, Seen, chosen
from .student import Answered, Asked, Student

logger = logging.getLogger(__name__)
ASIDE = 256  # calls that may wait for a student in the shadow, or for a teacher that checks
AT_EXIT = 2.0  # seconds for them when the interpreter ends; what is left is recorded without
_COUNTED = (
    "calls",
    "answered_by_student",
    "escalated",
    "student_failed",
    "uncompared",
    "broken_off",
)
_SALT = "checked"  # so that the rows that are checked are not those that are sampled
_ALONE: RunnableConfig = {"callbacks": [], "run_name": "understudy"}


@dataclass(frozen=True)
class Shown:
    """A call that somebody else is to be asked too: the app's input, and what is known so far."""

    asked: Any
    seen: Seen


class Desk:
    """Keeps the calls of one stand-in; whatever goes wrong here is logged once and counted.

    `check` is the share of the student's own answers for which the teacher is asked afterwards, off
    the caller's path.
    """

    def __init__(
        self,
        bound: Runnable[Any, Any],
        app: AppChain,
        recorder: Recorder,
        student: Student | None,
        *,
        check: float,
    ) -> None:
        self.bound, self.app, self.recorder, self.student = bound, app, recorder, student
        self.check = check
        self._lock = threading.Lock()
        self._tally: Counter[str] = Counter()
        self._told: set[str] = set()
        self._ending = False
        self._asking: dict[int, list[Shown]] = {}  # what is with a student, or a teacher, right now
        name = recorder.name
        self._shadows: Background[Shown] = Background(
            ASIDE, self._shadow, f"shadow of {name}", linger=0.0
        )
        self._checks: Background[Shown] = Background(ASIDE, self._asked_again, f"checks of {name}")
        atexit.register(_end, weakref.ref(self))  # before the recorder's queue is closed

    @property
    def counts(self) -> dict[str, int]:
        """How many calls there were, and what became of them."""
        with self._lock:
            tally = dict(self._tally)
        recorded = self.recorder.counts
        return {
            **{name: tally.get(name, 0) for name in _COUNTED},
            "recorded": recorded.written,
            "shed": recorded.shed,
            "failed": recorded.lost + tally.get("failed", 0),
        }

    def count(self, name: str, more: int = 1) -> None:
        """One more of these."""
        with self._lock:
            self._tally[name] += more

    def inputs(self, asked: Any, hearing: Hearing | None = None) -> Mapping[str, str] | None:
        """The task's inputs in what the app asked; None, and counted, where it has none."""
        try:
            if self.app.rendered and hearing is not None and hearing.messages is not None:
                return {MESSAGES: conversation_text(hearing.messages)}
            return self.app.inputs(asked)
        except Exception as error:  # noqa: BLE001 - the app goes on
            self.fail("a call is not recorded", error)
            return None

    def taught(self, asked: Any, seen: Seen, *, shadow: bool) -> None:
        """The teacher has answered, or failed; in the shadow the student is asked too."""
        if not shadow or self.student is None or not self.recorder.takes(seen.inputs):
            self.recorder.record(seen)  # where it is not taken, the student's answer would be lost
        elif self.student.rests or not self._shadows.put(Shown(_kept(asked), seen)):
            self._alone(seen)

    def stood_in(self, asked: Any, seen: Seen) -> None:
        """The student has answered alone; of some the teacher is asked to check."""
        self.count("answered_by_student")
        checked = self.check and chosen({**seen.inputs, "": _SALT}, self.check)
        if not checked or not self.recorder.takes(seen.inputs):
            self.recorder.record(seen)
        elif not self._checks.put(Shown(_kept(asked), seen)):
            self._alone(seen)

    def _alone(self, seen: Seen) -> None:
        """Keep a call of which somebody else was to be asked, and was not."""
        self.count("uncompared")
        self.recorder.record(seen)

    def fail(self, what: str, error: BaseException | None, count: str = "failed") -> None:
        """Something went wrong that the app need not know of."""
        self.count(count)
        self._tell(what, error)

    def _tell(self, what: str, error: BaseException | None) -> None:
        line = f"{what}: {one_line(error) if error else 'no answer'}"
        if line[:80] not in self._told and len(self._told) < ASIDE:
            self._told.add(line[:80])
            logger.warning("%s: %s (said once)", self.recorder.name, line)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all calls so far are kept; False where time ran out."""
        end = time.monotonic() + timeout
        queues = (self._shadows, self._checks, self.recorder)
        done = [queue.flush(max(0.0, end - time.monotonic())) for queue in queues]
        return all(done)

    def close(self, timeout: float = 5.0) -> bool:
        """Ask nobody any more and keep what waits; False where time ran out.

        Whoever is asked right now is waited for half the time; then the call is kept without, and
        counted as uncompared; one line of the log says how many.
        """
        self._ending = True
        before = self.counts["uncompared"]
        end = time.monotonic() + timeout / 2
        queues = (self._shadows, self._checks)
        in_time = [queue.close(max(0.0, end - time.monotonic())) for queue in queues]
        with self._lock:
            left = [one for shown in self._asking.values() for one in shown]
            self._asking.clear()
        for one in [*left, *(one for queue in queues for one in queue.give_up())]:
            self._alone(one.seen)
        if left_out := self.counts["uncompared"] - before:
            logger.warning(
                "%s: %d calls are kept without a comparison, for nobody waited for the student's "
                "answer (is it still being loaded?) or the chain's; wait with chain.flush(120) "
                "before the end",
                self.recorder.name,
                left_out,
            )
        return self.recorder.close(timeout) and all(in_time)

    def _shadow(self, shown: list[Shown]) -> None:
        """Ask the student what the teacher has answered."""
        answers: Sequence[Answered | None] = [None] * len(shown)
        with self._lock:
            self._asking[id(shown)] = shown
        if self.student is not None and not self._ending:
            answers = self._students(self.student, [(one.asked, one.seen.inputs) for one in shown])
        if not self._still(shown):
            return
        for one, answered in zip(shown, answers, strict=True):
            if answered is None or _at_the_end(answered.error):
                self._alone(one.seen)
            else:
                self.recorder.record(self.with_student(one.seen, answered))

    def _students(self, student: Student, rows: list[Asked]) -> Sequence[Answered | None]:
        """What it answers: one row after the other, and several at once where it falls behind, for
        each is a thread that takes its turn before the app's. A student in this process makes one
        batch of them."""
        at_once = max(1, len(rows) // 8)
        if student.local or at_once > 1:
            pace: RunnableConfig = {**_ALONE, "max_concurrency": None if student.local else at_once}
            return student.ask_all(rows, [pace] * len(rows))
        return [None if self._ending else student.ask(row, _ALONE) for row in rows]

    def _asked_again(self, shown: list[Shown]) -> None:
        """Ask the teacher what the student has answered."""
        hearings = [Hearing() for _ in shown]
        start = time.perf_counter()
        with self._lock:
            self._asking[id(shown)] = shown
        outputs = self._teachers([one.asked for one in shown], hearings)
        seconds = time.perf_counter() - start
        if not self._still(shown):
            return
        for one, output, hearing in zip(shown, outputs, hearings, strict=True):
            if output is None:
                self._alone(one.seen)
                continue
            thought, error = self.read(output)
            facts = {**heard(hearing), "thought": thought, "error": error}
            self.recorder.record(
                replace(one.seen, sampled=True, teacher_seconds=seconds / len(shown), **facts)
            )

    def _teachers(self, asked: list[Any], hearings: list[Hearing]) -> list[Any]:
        """The chain's answers or exceptions; None where it was not asked."""
        if self._ending:
            return [None] * len(asked)
        configs = [listening(_ALONE, hearing) for hearing in hearings]
        try:
            return list(self.bound.batch(asked, configs, return_exceptions=True))
        except Exception as error:  # noqa: BLE001 - the calls are kept, unchecked
            self._tell("the student's answers are not checked", error)
            return [None] * len(asked)

    def _still(self, shown: list[Shown]) -> bool:
        """Whether these are still to be recorded: not where the app has ended meanwhile."""
        with self._lock:
            return self._asking.pop(id(shown), None) is not None

    def with_student(self, seen: Seen, answered: Answered) -> Seen:
        """The call with what the student said of it."""
        if _at_the_end(answered.error):
            return seen
        if answered.error is not None:
            self.fail("the student failed", answered.error, "student_failed")
        return replace(
            seen,
            confidence=answered.score,
            student=answered.thought,
            student_error=answered.error,
            student_raw=answered.raw,
            student_usage=answered.usage,
            student_seconds=answered.seconds,
        )

    def read(self, output: Any) -> tuple[Thought | None, Exception | None]:
        """The app's own answer as the task's, or why it is none."""
        if isinstance(output, Exception):
            return None, output
        try:
            return self.app.thought(output), None
        except Exception as error:  # noqa: BLE001 - the app may make of it what it likes
            return None, error


def _kept(asked: Any) -> Any:
    """The app's input for later: the app may go on to fill its own dict or list."""
    return copy.copy(asked) if type(asked) in (dict, list) else asked


def heard(hearing: Hearing) -> dict[str, Any]:
    """The fields of Seen that the model's replies decide."""
    return {"raw": hearing.raw, "usage": hearing.usage, "model": hearing.model}


def _at_the_end(error: Exception | None) -> bool:
    """Whether nobody was asked because the interpreter takes no more work."""
    return isinstance(error, RuntimeError) and "interpreter shutdown" in str(error)


def _end(desk: weakref.ref[Desk]) -> None:
    here = desk()
    if here is not None:
        here.close(AT_EXIT)
