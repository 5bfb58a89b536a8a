"""A run as the chat files of other trainers: OpenAI fine-tuning, trl, LLaMA-Factory.

Shapes: OpenAI API reference, "fine-tune chat input"; trl docs, "Dataset formats", conversational
prompt-completion; LLaMA-Factory docs, "Data preparation", sharegpt and alpaca.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage

from ..chains.task import Target, Task, TaskError
from ..store.connection import StoreError
from ..store.export import whole
from ..store.rows import Example, Record
from ..store.store import Store

_ROLES = {"human": "user", "ai": "assistant"}
_SPEAKERS = {"human": "human", "ai": "gpt"}
Written = tuple[int, Mapping[str, int]]


def export_chats(
    task: Task,
    store: Store,
    run_id: str,
    path: str | Path,
    *,
    format: str,
    target: Target = "label",
    split: str | None = None,
    overwrite: bool = False,
) -> Written:
    """Write what a run answered as the student is taught it; how many rows, and why others not.

    `format` is one of CHAT_FORMATS. Each row is the task's student prompt and the exact text that
    a student is trained to write for `target`. Left out, counted by reason: a record without an
    answer, one that does not fit the task, for `reason_label` one without a reasoning. The file
    appears whole or not at all. Raises StoreError, also where no row can be written.
    """
    run = store.run(run_id)
    if run.task != task.name:
        raise StoreError(f"run {run.id} is of the task {run.task}, not {task.name}; give --task")
    shape, as_list = CHAT_FORMATS[format]
    left_out: Counter[str] = Counter()
    rows = 0
    with whole(path, overwrite=overwrite) as part, part.open("w", encoding="utf-8") as file:
        file.write("[\n" if as_list else "")
        for messages, completion in _taught(task, store, run.id, target, split, left_out):
            file.write(",\n" if as_list and rows else "")
            file.write(json.dumps(shape(messages, completion), ensure_ascii=False))
            file.write("" if as_list else "\n")
            rows += 1
        file.write("\n]\n" if as_list else "")
        if not rows:
            why = "; ".join(f"{count} rows: {reason}" for reason, count in left_out.items())
            raise StoreError(f"run {run.id} has no row that can be written: {why or 'no records'}")
    return rows, dict(left_out)


def _taught(
    task: Task,
    store: Store,
    run_id: str,
    target: Target,
    split: str | None,
    left_out: Counter[str],
) -> Iterator[tuple[list[BaseMessage], str]]:
    for example, record in store.iter_pairs(run_id, split=split):
        try:
            yield _lesson(task, example, record, target)
        except TaskError as error:
            left_out[str(error)] += 1


def _lesson(
    task: Task, example: Example, record: Record, target: Target
) -> tuple[list[BaseMessage], str]:
    if record.answer is None:
        raise TaskError("the record has no answer")
    if target == "reason_label" and task.reasoning and not record.reasoning:
        raise TaskError("the record has no reasoning")
    try:
        completion = task.completion(record.answer, reasoning=record.reasoning, target=target)
    except TaskError:
        raise TaskError("the answer does not fit the task") from None
    return task.student_prompt.invoke(example.inputs).to_messages(), completion


def _openai(messages: list[BaseMessage], completion: str) -> dict[str, Any]:
    return {"messages": [*map(_message, messages), _assistant(completion)]}


def _trl(messages: list[BaseMessage], completion: str) -> dict[str, Any]:
    return {"prompt": [*map(_message, messages)], "completion": [_assistant(completion)]}


def _sharegpt(messages: list[BaseMessage], completion: str) -> dict[str, Any]:
    """Speakers take turns there, so neighbouring messages of one are joined."""
    turns: list[dict[str, str]] = []
    for message in messages:
        if message.type == "system":
            continue
        speaker = _SPEAKERS.get(message.type, "human")
        if turns and turns[-1]["from"] == speaker:
            turns[-1]["value"] += f"\n{message.text}"
        else:
            turns.append({"from": speaker, "value": str(message.text)})
    turns.append({"from": "gpt", "value": completion})
    return {"conversations": turns, "system": _system(messages)}


def _alpaca(messages: list[BaseMessage], completion: str) -> dict[str, Any]:
    turns = [turn["value"] for turn in _sharegpt(messages, completion)["conversations"]]
    pairs = zip(turns[:-2:2], turns[1:-2:2], strict=True)
    return {
        "instruction": turns[-2] if len(turns) > 1 else "",
        "input": "",
        "output": completion,
        "system": _system(messages),
        "history": [list(pair) for pair in pairs],
    }


def _system(messages: list[BaseMessage]) -> str:
    return "\n".join(str(message.text) for message in messages if message.type == "system")


def _message(message: BaseMessage) -> dict[str, str]:
    return {"role": _ROLES.get(message.type, message.type), "content": str(message.text)}


def _assistant(completion: str) -> dict[str, str]:
    return {"role": "assistant", "content": completion}


# Format -> the shape of a row, and whether the file is one JSON list.
Shape = Callable[[list[BaseMessage], str], dict[str, Any]]
CHAT_FORMATS: dict[str, tuple[Shape, bool]] = {
    "openai": (_openai, False),
    "trl": (_trl, False),
    "llamafactory": (_sharegpt, True),
    "alpaca": (_alpaca, True),
}
