"""What refuses silent failure: every check of the training rows before the first step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...chains.task import Target, Task, value_at
from .chat_templates import check_clock, check_template
from .checks import check_held, check_lines
from .dataset import Encoded, Lines, TrainingRow, sequences
from .faults import TrainingError, decoded, tokens_shown

__all__ = ["Preflight", "TrainingError", "marked", "preflight", "segments", "unseen_classes"]

FEWEST_ROWS = 8


@dataclass(frozen=True)
class Preflight:
    """What a training is about to learn from.

    `rows` counts sequences. Tokens are those of one epoch; `longest` is the longest sequence and
    `context` what the base takes (None where it does not say). `unseen` names the classes that no
    training row shows. `example` is the first row as text, what is in the loss between ⟦ and ⟧;
    `shown` is the same as `segments`, one entry for each sequence of that row.
    """

    rows: int
    tokens: int
    completion_tokens: int
    longest: int
    context: int | None
    unseen: Mapping[str, tuple[Any, ...]]
    example: str
    shown: tuple[tuple[tuple[str, bool], ...], ...] = ()


def preflight(
    task: Task,
    tokenizer: Any,
    rows: Sequence[TrainingRow],
    encoded: Sequence[Encoded],
    *,
    target: Target,
    context: int | None,
    max_length: int | None = None,
) -> Preflight:
    """Check that these rows teach what they are meant to teach.

    `encoded` are the `sequences` of the rows as token ids. Raises TrainingError, with the row and
    its tokens, for: fewer than 8 rows; a row longer than `context` tokens, or than `max_length`, at
    which a trainer would cut it; padding with the end-of-sequence token, which would take it out of
    the loss; a prompt other than the one that is served; a loss that misses the end-of-sequence
    token or a part of the completion, or looks at the prompt; a completion that the tokenizer
    cannot write, that does not parse back to the teacher's answer, or that the grammar at serving
    forbids; a chat template that drops words, inserts or strips reasoning, or tells the date.
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
    lines = sequences(rows)
    _check_lengths(tokenizer, lines, encoded, context, max_length)
    check_clock(tokenizer, lines[0])
    written = []
    for line, ids in zip(lines, encoded, strict=True):
        prompt = check_template(tokenizer, line, as_turn=line is lines[0])
        written.append(check_lines(task, tokenizer, line, ids, target, prompt=prompt))
    check_held(task, tokenizer, lines, written, target)
    first = [ids for line, ids in zip(lines, encoded, strict=True) if line.row is lines[0].row]
    return Preflight(
        rows=len(encoded),
        tokens=sum(len(ids["input_ids"]) for ids in encoded),
        completion_tokens=sum(sum(ids["completion_mask"]) for ids in encoded),
        longest=max(len(ids["input_ids"]) for ids in encoded),
        context=context,
        unseen=unseen_classes(task, rows),
        example=marked(tokenizer, encoded[0]),
        shown=tuple(segments(tokenizer, ids) for ids in first),
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
    parts = (f"⟦{text}⟧" if taught else text for text, taught in segments(tokenizer, ids))
    return "".join(parts).replace("⟧⟦", "")


def segments(tokenizer: Any, ids: Encoded) -> tuple[tuple[str, bool], ...]:
    """A row as pieces of text, each with whether it is in the loss, as the trainer sees it.

    A piece ends where the mask changes, and after an end-of-sequence token in the loss.
    """
    pieces: list[tuple[list[int], bool]] = []
    ended = True
    for token, mask in zip(ids["input_ids"], ids["completion_mask"], strict=True):
        if ended or bool(mask) is not pieces[-1][1]:
            pieces.append(([], bool(mask)))
        pieces[-1][0].append(token)
        ended = bool(mask) and token == tokenizer.eos_token_id
    return tuple((decoded(tokenizer, tokens), taught) for tokens, taught in pieces)


def _check_lengths(
    tokenizer: Any,
    lines: Sequence[Lines],
    encoded: Sequence[Encoded],
    context: int | None,
    max_length: int | None,
) -> None:
    lengths = [
        (len(ids["input_ids"]), place) for place, ids in enumerate(encoded) if place < len(lines)
    ]
    for limit, what in ((context, "the base's context of"), (max_length, "max_length, which is")):
        over = sorted((pair for pair in lengths if limit and pair[0] > limit), reverse=True)
        if not over:
            continue
        named = ", ".join(
            f"{lines[place].row.example} ({length} tokens)" for length, place in over[:3]
        )
        lost = tokens_shown(tokenizer, encoded[over[0][1]]["input_ids"][limit:])
        raise TrainingError(
            f"{len(over)} rows are longer than {what} {limit} tokens, and nothing is cut: {named}; "
            f"shorten those inputs or take a base with a longer context; it would lose {lost}"
        )
