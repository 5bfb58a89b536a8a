"""A call as it was seen, and as it is queued: data without keys and without what names a person.

What is done here is done while the app waits, so nothing here looks anything up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...chains.task import Task, Thought, value_at
from ...store.columns import LONGEST_INPUT
from ...store.rows import AnsweredBy, Run, example_id
from ..evaluation.marking import part_scores
from ..labelling.prices import Price, Usage
from ..loop import thought_fields
from ..redaction import line_of, one_line, storable
from .redactors import Redactor, redacted

_LONGEST_RAW = 100_000  # characters of a reply that are kept


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One call as it was seen on its way.

    `thought`, `error`, `raw`, `usage`, `cost` and `model` are the teacher's (thought and error
    None: it was not asked), `student...` the student's. Errors are exceptions or lines; `seconds`
    is what the app waited, `teacher_seconds` what the teacher took where that differs; `at` is in
    seconds since the epoch. The rest is as in `store.rows.Call`.
    """

    inputs: Mapping[str, str]
    thought: Thought | None = None
    error: BaseException | str | None = None
    raw: str | None = None
    usage: Usage | None = None
    cost: float | None = None
    model: str | None = None
    seconds: float = 0.0
    teacher_seconds: float | None = None
    answered_by: AnsweredBy = "teacher"
    escalated: bool = False
    sampled: bool = False
    confidence: float | None = None
    student: Thought | None = None
    student_error: BaseException | str | None = None
    student_raw: str | None = None
    student_usage: Usage | None = None
    student_seconds: float = 0.0
    at: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Packed:
    """A call as it is queued: JSON data with nothing in it that may not be stored.

    `inputs` is None where no text is kept; `teacher` and `student` are the fields of their records,
    None where one was not asked, `student_run` the run of the latter.
    """

    call: dict[str, Any]
    at: float
    example: str | None
    inputs: dict[str, str] | None
    teacher: dict[str, Any] | None
    student: dict[str, Any] | None
    student_run: Run | None


@dataclass(frozen=True)
class Packing:
    """How calls are packed: of which task, struck out by what, with their texts or without."""

    task: Task
    redact: Redactor
    store_text: bool = True
    price: Price | None = None

    def pack(self, seen: Seen, student_run: Run | None) -> Packed:
        """The call as it may be queued."""
        inputs, example = self._inputs(seen.inputs)
        teacher = self._teacher(seen)
        student = self._student(seen)
        kept = self.store_text and inputs is not None
        return Packed(
            call=self._call(seen, teacher, student),
            at=seen.at,
            example=example,
            inputs=inputs if self.store_text else None,
            teacher=teacher if kept else None,
            student=student if kept and student_run is not None else None,
            student_run=student_run,
        )

    def _inputs(self, inputs: Mapping[str, str]) -> tuple[dict[str, str] | None, str | None]:
        """The redacted inputs and their hash; neither where a text is too long for a row."""
        if any(len(text) > LONGEST_INPUT for text in inputs.values()):
            return None, None
        clean = {name: self.redact(storable(text)) for name, text in inputs.items()}
        return clean, example_id(clean)

    def _teacher(self, seen: Seen) -> dict[str, Any] | None:
        if seen.thought is None and seen.error is None:
            return None
        cost = seen.cost
        if cost is None and self.price is not None and seen.usage is not None:
            cost = self.price.cost(seen.usage)
        took = seen.seconds if seen.teacher_seconds is None else seen.teacher_seconds
        facts = {"cost": cost, "model": seen.model, "seconds": took}
        return {**self._said(seen.thought, seen.error, seen.raw), **_tokens(seen.usage), **facts}

    def _student(self, seen: Seen) -> dict[str, Any] | None:
        if seen.student is None and seen.student_error is None:
            return None
        said = self._said(seen.student, seen.student_error, seen.student_raw)
        return {**said, **_tokens(seen.student_usage), "seconds": seen.student_seconds}

    def _said(
        self, thought: Thought | None, error: BaseException | str | None, raw: str | None
    ) -> dict[str, Any]:
        """The Record fields of an answer, or of why there is none."""
        kept = self.redact(storable(raw[:_LONGEST_RAW])) if raw else None
        if thought is None:
            return {"error": self._line(error), "raw": kept}
        fields = thought_fields(self.task, thought)
        fields["answer"] = self._answer(fields["answer"])
        for name in ("reasoning", "votes", "details"):
            fields[name] = redacted(fields[name], self.redact)
        return {**fields, "raw": kept}

    def _answer(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer with its texts redacted; a label is one of the schema's own words."""
        labels = self.task.labels
        if set(labels) == set(self.task.paths):
            return answer

        def clean(node: Any, path: str) -> Any:
            if path in labels:
                return node
            if isinstance(node, dict):
                dot = f"{path}." if path else ""
                return {name: clean(part, f"{dot}{name}") for name, part in node.items()}
            return redacted(node, self.redact)

        found: dict[str, Any] = clean(answer, "")
        return found

    def _line(self, error: BaseException | str | None) -> str:
        line = line_of(error) if isinstance(error, str) else one_line(error or Exception("none"))
        return self.redact(line)

    def _error(self, seen: Seen) -> str:
        """What went wrong; its kind alone where no text is kept: a message may quote the input."""
        error = seen.error if seen.error is not None else seen.student_error
        if self.store_text:
            return self._line(error)
        return type(error).__name__ if isinstance(error, BaseException) else "failed"

    def _call(
        self, seen: Seen, teacher: dict[str, Any] | None, student: dict[str, Any] | None
    ) -> dict[str, Any]:
        answered = [said["answer"] for said in (student, teacher) if said and said.get("answer")]
        labels = (
            {path: value_at(answered[0], path) for path in self.task.labels} if answered else {}
        )
        failed = seen.error is not None or seen.student_error is not None
        bought = teacher or {}
        return {
            "answered_by": seen.answered_by,
            "escalated": seen.escalated,
            "sampled": seen.sampled,
            "confidence": seen.confidence,
            "seconds": seen.seconds,
            "error": self._error(seen) if failed else None,
            "labels": labels or None,
            "length": sum(map(len, seen.inputs.values())),
            **{name: bought.get(name) for name in ("input_tokens", "output_tokens", "cost")},
            "agreed": _agreed(self.task, seen),
        }


def _agreed(task: Task, seen: Seen) -> bool | None:
    """Whether both answered the same in every part of the answer; None where one was not asked.

    A student that failed did not agree; with a teacher that failed nobody can. What they said is
    compared before anything is struck out: a student's "[e-mail]" is no address.
    """
    if seen.thought is None or (seen.student is None and seen.student_error is None):
        return None
    said = task.answer_json(seen.student.answer) if seen.student is not None else None
    scores = part_scores(task, task.answer_json(seen.thought.answer), said)
    return bool(scores) and all(scores.values())


def _tokens(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {}
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens or None,
        "reasoning_tokens": usage.reasoning_tokens or None,
    }


def chained(*redactors: Redactor | None) -> Callable[[str], str]:
    """One redactor after the other."""
    kept = [redact for redact in redactors if redact is not None]

    def redact(text: str) -> str:
        for one in kept:
            text = one(text)
        return text

    return redact
