"""One training sequence, checked: what the loss sees is what the student shall write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ...chains.student.rendering import completion_ids
from ...chains.task import Target, Task, TaskError
from .dataset import Encoded, Lines, rationale_text
from .faults import TrainingError, decoded, tokens_shown, wrong_row

TEACH = "teach this row with distill.dataset.tokenised, or take the recipe that cuts nothing"


Written = tuple[tuple[int, ...], ...]


def check_lines(
    task: Task, tokenizer: Any, line: Lines, ids: Encoded, target: Target, *, prompt: str
) -> Written:
    """The ids of the line's texts. Raises TrainingError unless `ids` teach them and nothing else.

    `prompt` is the text that is served, and its ids are those of the row; the loss covers every
    token of the texts, each ended by the end of sequence, and none of the prompt; the texts survive
    the tokenizer and parse back.
    """
    written = [completion_ids(tokenizer, text) for text in line.texts]
    for text, tokens in zip(line.texts, written, strict=True):
        _check_text(tokenizer, line, text, tokens)
    served = list(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    _check_prompt(tokenizer, line, ids, served)
    _check_whole(tokenizer, line, ids, len(served), written)
    _check_mask(tokenizer, line, ids, len(served))
    if line.kinds[0] == "answer":
        _check_answer(task, tokenizer, line, written[0][:-1], target)
    if line.kinds[-1] == "rationale":
        _check_rationale(task, tokenizer, line, written[-1][:-1])
    return tuple(map(tuple, written))


def check_held(
    task: Task,
    tokenizer: Any,
    lines: Sequence[Lines],
    written: Sequence[Written],
    target: Target,
) -> None:
    """Raise TrainingError where a text is one that the grammar held to at serving forbids.

    `written` holds the ids of each line's texts.
    """
    from ...chains.student.grammar import Compiler

    compiler = Compiler(tokenizer, vocabulary=len(tokenizer), end_tokens=[tokenizer.eos_token_id])
    starts = {"answer": compiler.compile(task.json_schema(target)).start}
    if any("rationale" in line.kinds for line in lines):
        starts["rationale"] = compiler.compile(_rationale_schema(task)).start
    for line, texts in zip(lines, written, strict=True):
        for text, kind in zip(texts, line.kinds, strict=True):
            ids = list(text[:-1])
            state = starts[kind].deep_copy()
            place = state.validate_tokens(ids)
            if place < len(ids):
                raise wrong_row(
                    line.row.example,
                    f"the grammar that serving holds a student to forbids its {kind} from token "
                    f"{place} on: {tokens_shown(tokenizer, ids, at=place)}",
                    "label it again under this schema",
                )
            if not (state.consume_tokens(ids) and state.is_accepting()):
                raise wrong_row(
                    line.row.example,
                    f"the grammar that serving holds a student to wants more than its {kind}: "
                    f"{tokens_shown(tokenizer, ids, at=len(ids))}",
                    "label it again under this schema",
                )


def lost(text: str, back: str) -> str:
    """The letters of `text` that `back` lacks, in order of their first appearance."""
    return "".join(dict.fromkeys(sign for sign in text if sign not in back))


def _check_text(tokenizer: Any, line: Lines, text: str, tokens: list[int]) -> None:
    end = tokenizer.eos_token_id
    if end in tokens[:-1]:
        place = tokens.index(end)
        raise wrong_row(
            line.row.example,
            f"its completion holds the end-of-sequence token {tokenizer.eos_token!r} as text, so "
            f"the student would stop there: {tokens_shown(tokenizer, tokens, at=place)}",
        )
    back = decoded(tokenizer, tokens[:-1])
    if back != text:
        gone = lost(text, back)
        what = f"loses {gone!r}" if gone else "changes the text"
        raise wrong_row(
            line.row.example,
            f"the tokenizer cannot write what is taught: it {what}, {text[:80]!r} becomes "
            f"{back[:80]!r}: {tokens_shown(tokenizer, tokens)}",
            "take another base",
        )


def _check_prompt(tokenizer: Any, line: Lines, ids: Encoded, prompt: list[int]) -> None:
    given = ids["input_ids"][: len(prompt)]
    if given == prompt:
        return
    pairs = zip(given, prompt, strict=False)
    place = next((i for i, (one, other) in enumerate(pairs) if one != other), len(given))
    raise wrong_row(
        line.row.example,
        "its prompt is rendered differently for training and for serving, from token "
        f"{place} on: trained {tokens_shown(tokenizer, ids['input_ids'], at=place)}, served "
        f"{tokens_shown(tokenizer, prompt, at=place)}",
        TEACH,
    )


def _check_whole(
    tokenizer: Any, line: Lines, ids: Encoded, start: int, written: list[list[int]]
) -> None:
    given = ids["input_ids"][start:]
    wanted = [token for tokens in written for token in tokens]
    if given == wanted:
        return
    if given == wanted[:-1]:
        raise _no_end(tokenizer, line, ids)
    if given == wanted[: len(given)]:
        gone = wanted[len(given) :]
        part = _part_at(line, written, len(given))
        raise wrong_row(
            line.row.example,
            f"its {part} is cut off after {len(ids['input_ids'])} tokens; what is lost: "
            f"{tokens_shown(tokenizer, gone)}",
            "raise max_length, or select shorter rows",
        )
    pairs = zip(given, wanted, strict=False)
    place = next((i for i, (one, other) in enumerate(pairs) if one != other), len(wanted))
    raise wrong_row(
        line.row.example,
        "what is in the loss does not parse back as what is taught, from token "
        f"{place} on: {tokens_shown(tokenizer, given, at=place)}",
        TEACH,
    )


def _part_at(line: Lines, written: list[list[int]], place: int) -> str:
    """What stands at this place of the texts: the rationale, or the label."""
    for kind, tokens in zip(line.kinds, written, strict=True):
        if place < len(tokens):
            inside = kind == "rationale" or line.row.target == "reason_label"
            return "rationale or label" if inside and kind == "answer" else _named(kind)
        place -= len(tokens)
    return "end"


def _named(kind: str) -> str:
    return "label" if kind == "answer" else "rationale"


def _check_mask(tokenizer: Any, line: Lines, ids: Encoded, start: int) -> None:
    mask = ids["completion_mask"]
    if not any(mask):
        raise wrong_row(
            line.row.example,
            "nothing of it is in the loss, so it teaches nothing: "
            f"{tokens_shown(tokenizer, ids['input_ids'], at=start)}",
            TEACH,
        )
    if any(mask[:start]):
        place = list(mask).index(1)
        raise wrong_row(
            line.row.example,
            f"the loss looks at its prompt, from token {place} of {start} on: "
            f"{tokens_shown(tokenizer, ids['input_ids'], at=place)}",
            TEACH,
        )
    if not mask[-1]:
        raise _no_end(tokenizer, line, ids)
    if 0 in mask[start:]:
        place = start + list(mask[start:]).index(0)
        missing = tokens_shown(tokenizer, ids["input_ids"], at=place)
        raise wrong_row(
            line.row.example,
            f"what is in the loss does not parse back as what is taught: "
            f"{list(mask[start:]).count(0)} of its tokens are not in it: {missing}",
            TEACH,
        )


def _no_end(tokenizer: Any, line: Lines, ids: Encoded) -> TrainingError:
    shown = tokens_shown(tokenizer, ids["input_ids"], at=len(ids["input_ids"]))
    return wrong_row(
        line.row.example,
        f"its end-of-sequence token is not in the loss, so it never learns to end: {shown}",
        TEACH,
    )


def _check_answer(
    task: Task, tokenizer: Any, line: Lines, tokens: list[int], target: Target
) -> None:
    row = line.row
    try:
        thought = task.thought(json.loads(decoded(tokenizer, tokens)))
        written = task.completion(
            task.answer_json(thought.answer), reasoning=thought.reasoning, target=target
        )
    except (ValueError, TypeError, TaskError) as error:
        raise wrong_row(
            row.example,
            "what is in the loss does not parse back as an answer: "
            f"{tokens_shown(tokenizer, tokens)}",
        ) from error
    if written != row.completion or task.answer_json(thought.answer) != row.answer:
        raise wrong_row(
            row.example,
            "what is in the loss parses back to another answer than the teacher's: "
            f"{tokens_shown(tokenizer, tokens)}",
        )


def _check_rationale(task: Task, tokenizer: Any, line: Lines, tokens: list[int]) -> None:
    text = decoded(tokenizer, tokens)
    try:
        told = json.loads(text)[task.reasoning]
    except (ValueError, TypeError, KeyError):
        told = None
    if not isinstance(told, str) or rationale_text(task, told) != text:
        raise wrong_row(
            line.row.example,
            f"its rationale does not parse back as one: {tokens_shown(tokenizer, tokens)}",
        )


def _rationale_schema(task: Task) -> dict[str, Any]:
    schema = task.json_schema("reason_label")
    fields = {name: shape for name, shape in schema["properties"].items() if name == task.reasoning}
    return {**schema, "properties": fields, "required": list(fields)}
