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
from ..store.flags import filtered
from ..store.reviews import corrections
from ..store.rows import Example, Record, Review
from ..store.store import Store

Encoded = dict[str, list[int]]
Pairs = list[tuple[Example, Record]]
# Rules whose doubt ends where a person has accepted or corrected the row.
SETTLED_BY_REVIEW = frozenset(
    {
        "label_conflict",
        "suspected_label_error",
        "rationale_names_other_label",
        "rationale_copies_input",
    }
)


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


def lesson_rows(
    task: Task,
    store: Store,
    run: str,
    *,
    split: str,
    target: Target,
    end_token: str | None = None,
) -> TrainingRows:
    """`training_rows` of what `lesson_pairs` leaves of a run's split; both count in `left_out`."""
    pairs, filtered_out = lesson_pairs(store, task, run, split=split)
    found = training_rows(task, pairs, target=target, end_token=end_token)
    return TrainingRows(found.rows, {**filtered_out, **found.left_out})


def lesson_pairs(store: Store, task: Task, run: str, *, split: str) -> tuple[Pairs, dict[str, int]]:
    """What a teacher run's split teaches: as people corrected it, without what filters leave out.

    The second part counts the rows left out, by filter. Findings in another run's records do not
    count, and a person's word on a row ends the doubt of the rules SETTLED_BY_REVIEW.
    """
    out = filtered(store, task.name, run=run)
    lasting = filtered(store, task.name, run=run, but=SETTLED_BY_REVIEW)
    reviewed = corrections(store, task.name)
    kept: Pairs = []
    left_out: Counter[str] = Counter()
    for example, record in store.iter_pairs(run, split=split):
        rules = lasting if example.id in reviewed else out
        if rule := rules.get(example.id):
            left_out[f"filter {rule}"] += 1
        else:
            kept.append((example, corrected(record, reviewed.get(example.id))))
    return kept, dict(left_out)


def corrected(record: Record, review: Review | None) -> Record:
    """The record with the answer and the reasoning that a person gave, where somebody did.

    Without a new reasoning the teacher's stays if it was given for this answer; else there is none.
    """
    if review is None or review.answer is None:
        return record
    same = review.answer == record.answer
    return record.model_copy(
        update={
            "answer": review.answer,
            "reasoning": review.reasoning or (record.reasoning if same else None),
            "error": None,
        }
    )


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
    if target == "reason_label" and (record.details or {}).get("unsupported"):
        return "the reasoning argues against a label that won"
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
