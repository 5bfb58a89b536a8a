"""Which of a teacher's records teach a student, and as which token ids."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from ..chains.student.rendering import completion_ids, prompt_ids
from ..chains.task import Target, Task, TaskError
from ..store.rows import Example, Record

Encoded = dict[str, list[int]]


@dataclass(frozen=True)
class TrainingRow:
    """One example as it is taught: what the student is told and what it is to write.

    `answer` is the teacher's answer as JSON data, which the completion must parse back to.
    """

    example: str
    messages: tuple[BaseMessage, ...]
    completion: str
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class TrainingRows:
    """The rows that teach, in the store's order; `left_out` counts the others by reason."""

    rows: tuple[TrainingRow, ...]
    left_out: Mapping[str, int]


def training_rows(
    task: Task,
    pairs: Sequence[tuple[Example, Record]],
    *,
    target: Target,
    end_token: str | None = None,
) -> TrainingRows:
    """The pairs of one teacher run that can teach `target`, as rows in the student's own words.

    Both targets learn the same rows: as soon as one record can teach `reason_label`, a record that
    cannot is left out for `label` too. Left out and counted: a failed record, one without a
    reasoning, one that does not fit the task's schema, one that holds `end_token` (the student's
    end of sequence) as text, at which the student would stop.
    """

    def obstacle(record: Record, taught: Target) -> str | None:
        return _obstacle(task, record, taught, end_token)

    reasoned = any(obstacle(record, "reason_label") is None for _, record in pairs)
    widest: Target = "reason_label" if reasoned else target
    rows: list[TrainingRow] = []
    left_out: Counter[str] = Counter()
    for example, record in pairs:
        if why := obstacle(record, widest):
            left_out[why] += 1
        else:
            rows.append(_row(task, example, record, target))
    return TrainingRows(tuple(rows), dict(left_out))


def tokenised(tokenizer: Any, rows: Sequence[TrainingRow]) -> list[Encoded]:
    """`input_ids` and `completion_mask` (1 where the loss looks) of every row, untruncated.

    The prompt's ids are those that the student is served with; the completion ends with the
    end-of-sequence token, which is in the loss.
    """
    encoded = []
    for row in rows:
        prompt = prompt_ids(tokenizer, row.messages)
        completion = completion_ids(tokenizer, row.completion)
        encoded.append(
            {
                "input_ids": prompt + completion,
                "completion_mask": [0] * len(prompt) + [1] * len(completion),
            }
        )
    return encoded


def rows_sha256(rows: Iterable[TrainingRow]) -> str:
    """SHA-256 over the sorted example ids and what each teaches: the same rows, the same digest."""
    return _sha256(sorted([row.example, row.completion] for row in rows))


def examples_sha256(rows: Iterable[TrainingRow]) -> str:
    """SHA-256 over the sorted example ids: equal for two targets taught from the same rows."""
    return _sha256(sorted(row.example for row in rows))


def _obstacle(task: Task, record: Record, target: Target, end_token: str | None) -> str | None:
    """Why this record cannot teach `target`, None where it can."""
    if record.answer is None:
        return "the teacher failed"
    if target == "reason_label" and task.reasoning and not record.reasoning:
        return "no reasoning"
    try:
        completion = task.completion(record.answer, reasoning=record.reasoning, target=target)
    except TaskError:
        return "the answer does not fit the schema"
    if end_token and end_token in completion:
        return f"it holds the end token {end_token} as text"
    return None


def _row(task: Task, example: Example, record: Record, target: Target) -> TrainingRow:
    answer = record.answer or {}
    return TrainingRow(
        example=example.id,
        messages=tuple(task.student_prompt.invoke(example.inputs).to_messages()),
        completion=task.completion(answer, reasoning=record.reasoning, target=target),
        answer=task.answer_json(task.thought(answer).answer),
    )


def _sha256(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, ensure_ascii=False).encode()).hexdigest()
