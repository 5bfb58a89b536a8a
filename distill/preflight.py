"""What refuses silent failure: every check of the training rows before the first step."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..chains.task import Target, Task, TaskError, value_at
from .dataset import Encoded, TrainingRow

FEWEST_ROWS = 8


class TrainingError(Exception):
    """A training that cannot start or go on: what, which one, what to do."""


@dataclass(frozen=True)
class Preflight:
    """What a training is about to learn from.

    Tokens are those of one epoch; `longest` is the longest row and `context` what the base takes
    (None where it does not say). `unseen` names the classes that no training row shows. `example`
    is the first row as text, what is in the loss between ⟦ and ⟧.
    """

    rows: int
    tokens: int
    completion_tokens: int
    longest: int
    context: int | None
    unseen: Mapping[str, tuple[Any, ...]]
    example: str


def preflight(
    task: Task,
    tokenizer: Any,
    rows: Sequence[TrainingRow],
    encoded: Sequence[Encoded],
    *,
    target: Target,
    context: int | None,
) -> Preflight:
    """Check that these rows teach what they are meant to teach.

    Raises TrainingError for: fewer than 8 rows; a row longer than `context` tokens (nothing is ever
    cut); padding with the end-of-sequence token, which would take it out of the loss; a row whose
    loss misses the end-of-sequence token, holds it early, or misses part of the completion; a
    completion that does not parse back to the teacher's answer.
    """
    if len(rows) < FEWEST_ROWS:
        raise TrainingError(
            f"task {task.name}: {len(rows)} training rows, at least {FEWEST_ROWS} are needed; "
            "label more examples of the split train"
        )
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise TrainingError(
            f"the tokenizer pads with its end-of-sequence token {tokenizer.eos_token!r}, so a "
            "student would never learn to stop; give it a padding token of its own"
        )
    _check_lengths(rows, encoded, context)
    for row, ids in zip(rows, encoded, strict=True):
        _check_row(task, tokenizer, row, ids, target)
    return Preflight(
        rows=len(rows),
        tokens=sum(len(ids["input_ids"]) for ids in encoded),
        completion_tokens=sum(sum(ids["completion_mask"]) for ids in encoded),
        longest=max(len(ids["input_ids"]) for ids in encoded),
        context=context,
        unseen=unseen_classes(task, rows),
        example=marked(tokenizer, encoded[0]),
    )


def unseen_classes(task: Task, rows: Sequence[TrainingRow]) -> dict[str, tuple[Any, ...]]:
    """The classes of each label that no row shows: a student cannot learn what it never sees."""
    unseen = {}
    for path, classes in task.labels.items():
        seen = {value_at(row.answer, path) for row in rows}
        missing = tuple(value for value in classes if value not in seen)
        if missing:
            unseen[path] = missing
    return unseen


def marked(tokenizer: Any, ids: Encoded) -> str:
    """A row as text, as the trainer sees it: what is in the loss stands between ⟦ and ⟧."""
    prompt, completion = _split(ids)
    return f"{_text(tokenizer, prompt)}⟦{_text(tokenizer, completion)}⟧"


def _check_lengths(
    rows: Sequence[TrainingRow], encoded: Sequence[Encoded], context: int | None
) -> None:
    if context is None:
        return
    lengths = [(len(ids["input_ids"]), row.example) for row, ids in zip(rows, encoded, strict=True)]
    over = sorted((pair for pair in lengths if pair[0] > context), reverse=True)
    if over:
        named = ", ".join(f"{example} ({length} tokens)" for length, example in over[:3])
        raise TrainingError(
            f"{len(over)} rows are longer than the base's context of {context} tokens, and nothing "
            f"is cut: {named}; shorten those inputs or take a base with a longer context"
        )


def _check_row(task: Task, tokenizer: Any, row: TrainingRow, ids: Encoded, target: Target) -> None:
    _, completion = _split(ids)
    end = tokenizer.eos_token_id
    if not completion or completion[-1] != end or ids["input_ids"][-1] != end:
        raise _wrong(row, "its end-of-sequence token is not in the loss, so it never learns to end")
    if end in completion[:-1]:
        raise _wrong(
            row,
            f"its completion holds the end-of-sequence token {tokenizer.eos_token!r} as text, so "
            "the student would stop there",
        )
    try:
        data = json.loads(_text(tokenizer, completion[:-1]))
        thought = task.thought(data)
        written = task.completion(
            task.answer_json(thought.answer), reasoning=thought.reasoning, target=target
        )
    except (ValueError, TypeError, TaskError) as error:
        raise _wrong(row, "what is in the loss does not parse back as an answer") from error
    if written != row.completion or task.answer_json(thought.answer) != row.answer:
        raise _wrong(row, "what is in the loss parses back to another answer than the teacher's")


def _split(ids: Encoded) -> tuple[list[int], list[int]]:
    pairs = list(zip(ids["input_ids"], ids["completion_mask"], strict=True))
    return [i for i, mask in pairs if not mask], [i for i, mask in pairs if mask]


def _text(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _wrong(row: TrainingRow, what: str) -> TrainingError:
    return TrainingError(
        f"training row of example {row.example}: {what}; label it again or take another base"
    )
