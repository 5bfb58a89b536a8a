"""Which of a teacher's records teach a student, and as which token ids."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from ...chains.student.rendering import EXPLAIN, completion_ids, prefix_of, prompt_ids
from ...chains.task import Target, Task, TaskError, compact_json
from ...store.flags import filtered
from ...store.reviews import corrections
from ...store.rows import Example, Record, Review
from ...store.store import Store
from .selection import Length, Pairs, Selection, explained, selected

# `input_ids` and `completion_mask`; `loss_weights` too where not every token counts the same.
Encoded = dict[str, list[Any]]
# These learn the reasoning too, and do not write it when they serve.
EXPLAINED: frozenset[Target] = frozenset(("label_reason", "multitask"))
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
    `rationale` is what a student of EXPLAINED learns beside the completion: the reasoning as JSON.
    """

    example: str
    messages: tuple[BaseMessage, ...]
    completion: str
    answer: Mapping[str, Any]
    target: Target = "label"
    rationale: str | None = None


@dataclass(frozen=True)
class Lines:
    """One sequence that the trainer sees: the row's prompt after `prefix`, then `texts`.

    Each text ends with the end of sequence; `kinds` says what it is: answer or rationale.
    """

    row: TrainingRow
    prefix: str
    texts: tuple[str, ...]
    kinds: tuple[str, ...]


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
    selection: Selection | None = None,
    length: Length | None = None,
) -> TrainingRows:
    """The pairs of one teacher run that can teach `target`, as rows in the student's own words.

    All targets learn the same rows: as soon as one record can teach `reason_label`, a record that
    cannot is left out for the others too. Left out and counted: a failed record, one without a
    reasoning, one that does not fit the task's schema, one that holds `end_token` (the student's
    end of sequence) as text, at which the student would stop, and what `selection` leaves out.
    """
    selection = selection or Selection()

    def obstacle(record: Record, taught: Target) -> str | None:
        return _obstacle(task, record, taught, end_token)

    reasoned = any(obstacle(record, "reason_label") is None for _, record in pairs)
    widest: Target = "reason_label" if reasoned else target
    able: Pairs = []
    left_out: Counter[str] = Counter()
    for example, record in pairs:
        if why := obstacle(record, widest):
            left_out[why] += 1
        else:
            able.append((example, record))
    chosen, unchosen = selected(task, able, selection, length=length)
    told = explained([example.id for example, _ in chosen], selection)
    rows = tuple(_row(task, *pair, target, explains=pair[0].id in told) for pair in chosen)
    return TrainingRows(rows, {**left_out, **unchosen})


def lesson_rows(
    task: Task,
    store: Store,
    run: str,
    *,
    split: str,
    target: Target,
    **options: Any,
) -> TrainingRows:
    """`training_rows`, with its options, of what `lesson_pairs` leaves of a run's split.

    `left_out` counts what either leaves out.
    """
    pairs, filtered_out = lesson_pairs(store, task, run, split=split)
    found = training_rows(task, pairs, target=target, **options)
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


def sequences(rows: Iterable[TrainingRow]) -> list[Lines]:
    """What the trainer sees of the rows, in their order: one sequence each, two for `multitask`.

    `label_reason` ends its answer as `label` does, and the reasoning follows that end: served, the
    student stops there by itself. `multitask` learns two tasks from one row, told apart by a prefix
    (distilling step by step, arXiv 2305.02301): predict, and explain.
    """
    lines = []
    for row in rows:
        after = (row.rationale,) if row.rationale is not None and row.target != "multitask" else ()
        kinds = ("answer", "rationale")[: 1 + len(after)]
        lines.append(Lines(row, prefix_of(row.target), (row.completion, *after), kinds))
        if row.rationale is not None and row.target == "multitask":
            lines.append(Lines(row, EXPLAIN, (row.rationale,), ("rationale",)))
    return lines


def tokenised(
    tokenizer: Any, rows: Sequence[TrainingRow], *, alpha: float | None = None
) -> list[Encoded]:
    """`input_ids` and `completion_mask` (1 where the loss looks) of every sequence, untruncated.

    The prompt's ids are those that the student is served with; each text ends with the
    end-of-sequence token, which is in the loss. `alpha` None leaves all tokens of the loss equal;
    else `loss_weights` holds each token's: an answer's sum to 1, a rationale's to `alpha`, so that
    a long rationale weighs no more than a short one (see `weighting`).
    """
    encoded: list[Encoded] = []
    for line in sequences(rows):
        prompt = prompt_ids(tokenizer, line.row.messages, prefix=line.prefix)
        ids = {"input_ids": list(prompt), "completion_mask": [0] * len(prompt)}
        weights = [0.0] * len(prompt)
        for text, kind in zip(line.texts, line.kinds, strict=True):
            written = completion_ids(tokenizer, text)
            ids["input_ids"] += written
            ids["completion_mask"] += [1] * len(written)
            weight = 1.0 if kind == "answer" or alpha is None else alpha
            weights += [weight / len(written)] * len(written)
        encoded.append(ids if alpha is None else {**ids, "loss_weights": weights})
    return encoded


def rows_sha256(rows: Iterable[TrainingRow]) -> str:
    """SHA-256 over the sorted example ids and what each teaches: the same rows, the same digest."""
    told = ((row, () if row.rationale is None else (row.rationale,)) for row in rows)
    return _sha256(sorted([row.example, row.completion, *rationale] for row, rationale in told))


def examples_sha256(rows: Iterable[TrainingRow]) -> str:
    """SHA-256 over the sorted example ids: equal for two targets taught from the same rows."""
    return _sha256(sorted(row.example for row in rows))


def _obstacle(task: Task, record: Record, target: Target, end_token: str | None) -> str | None:
    """Why this record cannot teach `target`, None where it can."""
    if record.answer is None:
        return "the teacher failed"
    reasons = target != "label"
    if reasons and task.reasoning and not record.reasoning:
        return "no reasoning"
    if reasons and (record.details or {}).get("unsupported"):
        return "the reasoning argues against a label that won"
    try:
        taught: Target = "reason_label" if reasons else "label"
        completion = task.completion(record.answer, reasoning=record.reasoning, target=taught)
    except TaskError:
        return "the answer does not fit the schema"
    if end_token and end_token in completion:
        return f"it holds the end token {end_token} as text"
    return None


def rationale_text(task: Task, reasoning: str) -> str:
    """The reasoning as it is taught beside an answer: a JSON object of its own."""
    return compact_json({task.reasoning: reasoning})


def _row(
    task: Task, example: Example, record: Record, target: Target, *, explains: bool
) -> TrainingRow:
    answer = record.answer or {}
    explains = explains and target in EXPLAINED and bool(task.reasoning and record.reasoning)
    return TrainingRow(
        example=example.id,
        messages=tuple(task.student_prompt.invoke(example.inputs).to_messages()),
        completion=task.completion(answer, reasoning=record.reasoning, target=target),
        answer=task.answer_json(task.thought(answer).answer),
        target=target,
        rationale=rationale_text(task, record.reasoning or "") if explains else None,
    )


def _sha256(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, ensure_ascii=False).encode()).hexdigest()
