"""What an app's calls are remembered as: redacted at once, queued, and written off its path.

An input becomes an Example, the app's own answer a Record of a teacher's run and the student's a
Record of its own, so that `train` and `evaluate` go on from them; what is about the call and not
about the row becomes a Call.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from langchain_core.language_models import BaseChatModel

from ...chains.task import Task
from ...store.rows import Run
from ..labelling.prices import Price
from ..redaction import key_redactor, one_line
from .background import Background
from .redactors import Redactor, without_personal
from .seen import Packed, Packing, Seen, chained
from .writing import Writer

__all__ = ["BOUND", "Recorded", "Recorder", "Seen"]
logger = logging.getLogger(__name__)
BOUND = 1000  # calls that wait to be written


@dataclass(frozen=True)
class Recorded:
    """What became of the calls, by count: `queued` and since `written`; `shed` where the queue was
    full, `lost` to an error; `left_out` by sampling; `textless`, written without a text that no
    row may hold."""

    queued: int = 0
    written: int = 0
    shed: int = 0
    lost: int = 0
    left_out: int = 0
    textless: int = 0


class Recorder:
    """Remembers the calls of the stand-in `name` in the store at `path`, off the caller's path.

    `teacher` is the app's own model, or its name: with the model the run is the very one that
    `label` would make with it, so that nothing is bought twice. `student_run` is the run whose
    records the student's answers become; it may be set at any time.

    Texts are redacted before anything is queued: by `redact`, None for not at all, and of keys in
    any case. `sampling` is the share of calls that are remembered, chosen by their inputs, so that
    the same question always is or never is. With `store_text=False` hashes, labels, tokens and
    times are kept and no text: such rows can teach nobody, and a short text can be guessed from its
    hash. `price` says what the teacher's tokens cost. `bound` is how many calls may wait; more are
    shed and counted. A store that is locked, full or gone is logged once and counted.
    """

    def __init__(
        self,
        task: Task,
        path: str | Path,
        *,
        name: str,
        teacher: BaseChatModel | str,
        student_run: Run | None = None,
        sampling: float = 1.0,
        redact: Redactor | None = without_personal,
        store_text: bool = True,
        price: Price | None = None,
        bound: int = BOUND,
    ) -> None:
        if not 0.0 <= sampling <= 1.0:
            raise ValueError(f"sampling is a share from 0 to 1, not {sampling}")
        self.task, self.name, self.sampling = task, name, sampling
        self.student_run = student_run
        self.packing = Packing(task, chained(redact, key_redactor()), store_text, price)
        self._writer = Writer(task, path, name=name, teacher=teacher)
        self._queue: Background[Packed] = Background(
            bound, self._writer.write, f"recording {name}", rest=self._writer.close
        )
        self._lock = threading.Lock()
        self._left_out = self._broken = 0
        self._told: set[str] = set()

    @property
    def teacher_run(self) -> Run:
        """The run whose records the app's own answers become."""
        return self._writer.teachers()

    @property
    def counts(self) -> Recorded:
        """What became of the calls so far."""
        queue = self._queue.counts
        return Recorded(
            queued=queue.taken,
            written=queue.done,
            shed=queue.shed,
            lost=queue.failed + self._broken,
            left_out=self._left_out,
            textless=self._writer.refused,
        )

    def record(self, seen: Seen) -> bool:
        """Remember a call; False where it was shed or sampled out. Never raises, never blocks."""
        try:
            if not self.takes(seen.inputs):
                with self._lock:
                    self._left_out += 1
                return False
            return self._queue.put(self.packing.pack(seen, self.student_run))
        except Exception as error:  # noqa: BLE001 - the app goes on, whatever goes wrong here
            with contextlib.suppress(Exception):
                self._failed(error)
            return False

    def takes(self, inputs: Mapping[str, str]) -> bool:
        """Whether calls with these inputs are among those that are remembered."""
        return self.sampling >= 1.0 or chosen(inputs, self.sampling)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all calls so far are written or lost; False where time ran out."""
        return self._queue.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Take no more calls, write those that wait; False where time ran out."""
        return self._queue.close(timeout)

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self._broken += 1
        kind = type(error).__name__
        if kind not in self._told:
            self._told.add(kind)
            logger.warning(
                "a call of %s is not recorded: %s (said once)", self.name, one_line(error)
            )


def chosen(inputs: Mapping[str, str], share: float) -> bool:
    """Whether these inputs are among the `share` (0 to 1) that is looked at: the same ones always,
    whatever the process or the order."""
    text = "\0".join(f"{name}\0{inputs[name]}" for name in sorted(inputs))
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=4).digest()
    return int.from_bytes(digest) < share * 2**32
