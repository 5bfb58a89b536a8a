"""A base's chat template, checked: it says what is said, the same tomorrow, and no thoughts."""

from __future__ import annotations

import re
from typing import Any

from ...chains.student.card import StudentError
from ...chains.student.rendering import merged_messages, prompt_text, rendered
from .dataset import Lines
from .faults import TrainingError, wrong_row

REMEDY = "give the base a chat template without that, or take another base"
# Takes the place of the clock that transformers gives to templates.
_CLOCK = "{{%- macro strftime_now(form) -%}}{}{{%- endmacro -%}}"
_THOUGHT = re.compile(r"think|reason|thought|analysis", re.IGNORECASE)
_MARK = re.compile(r"[<\[|]/?\w*(think|reason|thought|analysis|channel)", re.IGNORECASE)
_OPENS = re.compile(r"<\|?(think|thinking|reasoning|thought)\|?>", re.IGNORECASE)


def check_template(tokenizer: Any, line: Lines, *, as_turn: bool = True) -> str:
    """The prompt as it is served. Raises TrainingError where that is not what is said and taught.

    It leaves out what a message says; it opens a thought before the answer; or, where it renders
    the answer as a turn of its own (in a history, in other people's tools), it strips a part of it
    or puts a reasoning before it. Without `as_turn` the last is looked at only where the texts hold
    a mark that a template could take for a thought's.
    """
    text = prompt_text(tokenizer, line.row.messages, prefix=line.prefix)
    said = merged_messages(line.row.messages, prefix=line.prefix)
    for message in said:
        if message["content"].strip() not in text:
            raise wrong_row(
                line.row.example,
                f"the chat template does not say what the {message['role']} says: "
                f"{_short(message['content'])} is not in {_short(text)}",
                REMEDY,
            )
    _check_open(line, text, said)
    for completion in (text for text in line.texts if as_turn or _MARK.search(text)):
        turn = {"role": "assistant", "content": completion}
        try:
            full = rendered(tokenizer, [*said, turn], add_generation_prompt=False)
        except StudentError:  # no history then, and nothing that could differ
            continue
        _check_turn(line, text, full, completion)
    return text


def check_clock(tokenizer: Any, line: Lines) -> None:
    """Raise TrainingError where the template renders another prompt on another day."""
    now, later = (
        prompt_text(
            tokenizer,
            line.row.messages,
            prefix=line.prefix,
            chat_template=_CLOCK.format(day) + tokenizer.get_chat_template(),
        )
        for day in ("3 Feb 2001", "14 Nov 2034")
    )
    if now != later:
        same = _common(now, later)
        raise TrainingError(
            "the chat template renders differently for training and for serving, it says the "
            f"date: {_short(now[same:])} becomes {_short(later[same:])} on another day; {REMEDY}"
        )


def _check_open(line: Lines, text: str, said: list[dict[str, str]]) -> None:
    """The part of the prompt after the last thing said must not open a thought."""
    last = said[-1]["content"].strip()
    tail = text[text.rfind(last) + len(last) :]
    opened = _OPENS.search(tail)
    if opened and f"</{opened[1]}" not in tail[opened.end() :]:
        raise wrong_row(
            line.row.example,
            f"the chat template inserts reasoning: it opens {opened[0]} where the answer is to "
            f"begin, in {tail!r}",
            REMEDY,
        )


def _check_turn(line: Lines, text: str, full: str, completion: str) -> None:
    if full.startswith(text + completion):
        return
    place = full.rfind(completion)
    if place < 0:
        raise wrong_row(
            line.row.example,
            "the chat template strips a part of the answer when it renders it as a turn: "
            f"{_short(completion)} becomes {_short(full[_common(text, full) :])}",
            REMEDY,
        )
    same = _common(text, full)
    inserted = full[same:place]
    if inserted.strip() and (same == len(text) or _THOUGHT.search(inserted)):
        raise wrong_row(
            line.row.example,
            "the chat template inserts reasoning or other words before an answer that is a turn "
            f"of its own: {inserted!r}, which a served student is not asked with",
            REMEDY,
        )


def _common(one: str, other: str) -> int:
    """How many letters the texts have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _short(text: str) -> str:
    return repr(text if len(text) <= 120 else f"{text[:60]}…{text[-60:]}")
