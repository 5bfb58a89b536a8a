"""Calls that were queued become rows: examples, records of two runs, and calls; one transaction."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from ...chains.task import Task, TaskError
from ...store.columns import RefusedRow, checked_input, checked_json
from ...store.connection import StoreError
from ...store.rows import Call, Example, Record, Run, StandIn
from ...store.splits import split_of
from ...store.stand_ins import Remembered, add_remembered
from ...store.store import Store
from ..runs import RECORDED, describe_run, now, start, teacher_run
from .seen import Packed

APP = "set by the app"  # the reason of a stand-in's mode that nobody else has changed
TRIES = 4  # at a store that another process holds, 30 s each; the queue sheds meanwhile
_LEFT: list[Any] = []  # connections of a parent process: not even closed in a forked child


class Writer:
    """Writes batches of calls into the store at `path`, on one thread; opened at the first.

    `teacher` is as in Recorder. `refused` counts the calls whose text no row may hold.
    """

    def __init__(
        self, task: Task, path: str | Path, *, name: str, teacher: BaseChatModel | str
    ) -> None:
        self.task, self.path, self.name, self.teacher = task, path, name, teacher
        self.teacher_run: Run | None = None
        self.refused = 0
        self._open: tuple[int, Store] | None = None
        self._begun: set[str] = set()
        self._seen_file: tuple[int, int] | None = None

    def write(self, batch: list[Packed]) -> None:
        """All of the batch, or nothing. Raises StoreError."""
        store = self._store()
        runs = self._runs(store, batch)
        begun = min(packed.at for packed in batch)
        since = _time(begun, "seconds")
        here = StandIn(name=self.name, task=self.task.name, reason=APP, changed=since)
        rows = list(self._rows(batch))
        for left in reversed(range(TRIES)):
            try:
                add_remembered(store, here, runs, rows, now=now())
            except StoreError as error:
                if not left or "has held it" not in str(error):
                    raise
            else:
                return

    def close(self) -> None:
        """Close the store; the next batch opens it again."""
        held, self._open = self._open, None
        if held is None:
            return
        if held[0] != os.getpid():
            _LEFT.append(held)
            return
        held[1].close()

    def teachers(self) -> Run:
        """The run of the app's own teacher."""
        if self.teacher_run is None:
            self.teacher_run = (
                describe_run(
                    self.task,
                    role="teacher",
                    name="teacher",
                    model=self.teacher,
                    target="reason_label",
                    strategy=RECORDED,
                )
                if isinstance(self.teacher, str)
                else teacher_run(self.task, [self.teacher])
            )
        return self.teacher_run

    def _store(self) -> Store:
        """The open store; anew where the file has been put in another's place, or after a fork."""
        found = which_file(self.path)
        if self._open and (self._open[0] != os.getpid() or found != self._seen_file):
            self.close()
        if self._open is None:
            self._open = os.getpid(), Store(self.path)
            self._seen_file = which_file(self.path)
            self._begun.clear()
        return self._open[1]

    def _runs(self, store: Store, batch: list[Packed]) -> list[Run]:
        """The runs that the batch has records of; the words behind each are kept once."""
        runs = [self.teachers()] if any(packed.teacher for packed in batch) else []
        runs += [packed.student_run for packed in batch if packed.student and packed.student_run]
        found = {run.id: run for run in runs}
        for run in found.values():
            if run.id not in self._begun:
                start(self.task, store, run)
                self._begun.add(run.id)
        return list(found.values())

    def _rows(self, batch: list[Packed]) -> Iterator[Remembered]:
        for packed in batch:
            time.sleep(0)  # lets the app's threads run between two rows
            yield self._row(packed)

    def _row(self, packed: Packed) -> Remembered:
        call = Call(stand_in=self.name, example=packed.example, at=_time(packed.at), **packed.call)
        if packed.inputs is None or packed.example is None:
            self.refused += packed.example is None
            return Remembered(call)
        try:
            inputs = {name: checked_input(name, text) for name, text in packed.inputs.items()}
        except RefusedRow:
            self.refused += 1
            return Remembered(call)
        example = Example(
            id=packed.example,
            task=self.task.name,
            split=split_of(packed.example),
            inputs=inputs,
        )
        said = [
            self._record(run, packed, fields)
            for run, fields in (
                (self.teachers, packed.teacher),
                (lambda: packed.student_run, packed.student),
            )
            if fields is not None
        ]
        return Remembered(call, example, tuple(said))

    def _record(
        self, run: Callable[[], Run | None], packed: Packed, fields: dict[str, Any]
    ) -> Record:
        named = run()
        assert named is not None
        assert packed.example is not None
        return Record(
            run=named.id,
            example=packed.example,
            created=_time(packed.at, "seconds"),
            **self._fitting(fields),
        )

    def _fitting(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields; an error in the answer's place where redacting it broke its schema."""
        answer = fields.get("answer")
        if answer is None:
            return fields
        try:
            checked_json("answer", answer)
            self.task.thought(answer)
        except (TaskError, RefusedRow) as error:
            left = {name: fields[name] for name in fields if name not in ("answer", "confidence")}
            return {**left, "error": f"the answer cannot be kept as it was redacted: {error}"[:300]}
        return fields


def which_file(path: str | Path) -> tuple[int, int] | None:
    """Which file stands at the path; None where none does."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _time(at: float, unit: str = "milliseconds") -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec=unit)
