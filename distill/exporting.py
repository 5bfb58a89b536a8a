"""A run as the files of others: OpenAI, trl and LLaMA-Factory to train on, LangSmith's runs.

Shapes: OpenAI API reference, "fine-tune chat input" and "chat completion"; LangSmith docs, "Run
(span) data format"; trl docs, "Dataset formats", conversational
prompt-completion; LLaMA-Factory docs, "Data preparation", sharegpt and alpaca.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage

from ..chains.task import Target, Task, TaskError
from ..store.connection import StoreError
from ..store.export import whole
from ..store.rows import Example, Record, Run
from ..store.store import Store

_ROLES = {"human": "user", "ai": "assistant"}
_SPEAKERS = {"human": "human", "ai": "gpt"}
Written = tuple[int, Mapping[str, int]]
RowMaker = Callable[[Example, Record], dict[str, Any]]


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
    """Write what a run answered for other programs; how many rows, and why others not.

    `format` is one of CHAT_FORMATS: each row is the task's student prompt and the exact text that
    a student is trained to write for `target`. Or it is one of TALK_FORMATS: what was asked (the
    student's prompt for a student, else the teacher's), the answer with its reasoning where there
    is one, model, tokens and time, whatever `target` is. Import reads them all. Left out, counted
    by reason: a record without an answer (LangSmith's have its error), one that does not fit the
    task, for `reason_label` one without a reasoning. The file appears whole or not at all. Raises
    StoreError, also where no row can be written.
    """
    run = store.run(run_id)
    if run.task != task.name:
        raise StoreError(f"run {run.id} is of the task {run.task}, not {task.name}; give --task")
    as_list = format in _LISTS
    left_out: Counter[str] = Counter()
    rows = 0
    with whole(path, overwrite=overwrite) as part, part.open("w", encoding="utf-8") as file:
        file.write("[\n" if as_list else "")
        pairs = store.iter_pairs(run.id, split=split)
        for row in _shaped(_row_maker(task, run, format, target), pairs, left_out):
            file.write(",\n" if as_list and rows else "")
            file.write(json.dumps(row, ensure_ascii=False))
            file.write("" if as_list else "\n")
            rows += 1
        file.write("\n]\n" if as_list else "")
        if not rows:
            why = "; ".join(f"{count} rows: {reason}" for reason, count in left_out.items())
            raise StoreError(f"run {run.id} has no row that can be written: {why or 'no records'}")
    return rows, dict(left_out)


def _row_maker(task: Task, run: Run, format: str, target: Target) -> RowMaker:
    if format in TALK_FORMATS:
        return lambda example, record: TALK_FORMATS[format](task, run, example, record)
    shape = CHAT_FORMATS[format]
    return lambda example, record: shape(*_lesson(task, example, record, target))


def _shaped(
    made: RowMaker, pairs: Iterable[tuple[Example, Record]], left_out: Counter[str]
) -> Iterator[dict[str, Any]]:
    for example, record in pairs:
        try:
            yield made(example, record)
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


def _stored_completion(task: Task, run: Run, example: Example, record: Record) -> dict[str, Any]:
    """A chat completion with its request beside it."""
    target: Target = "reason_label" if record.reasoning else "label"
    _, completion = _lesson(task, example, record, target)
    prompt = task.student_prompt if run.role in ("student", "base") else task.prompt
    asked = [*map(_message, prompt.invoke(example.inputs).to_messages())]
    time, model = _time(record.created), record.model or run.model
    return {
        "id": f"chatcmpl-{run.id}-{example.id}",
        "object": "chat.completion",
        "created": int(time.timestamp()) if time else None,
        "model": model,
        "request": {"model": model, "messages": asked},
        "choices": [{"index": 0, "finish_reason": "stop", "message": _assistant(completion)}],
        "usage": {
            "prompt_tokens": record.input_tokens,
            "completion_tokens": record.output_tokens,
            "total_tokens": _both(record),
            "prompt_tokens_details": {"cached_tokens": record.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": record.reasoning_tokens},
        },
    }


def _langsmith_run(task: Task, run: Run, example: Example, record: Record) -> dict[str, Any]:
    """A chain's run: inputs by name, the answer as its outputs, or an error."""
    outputs = None
    if record.answer is not None or not record.error:
        target: Target = "reason_label" if record.reasoning else "label"
        outputs = json.loads(_lesson(task, example, record, target)[1])
    end = _time(record.created)
    start = end - datetime.timedelta(seconds=record.seconds) if end else None
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{run.id}/{example.id}")),
        "name": task.name,
        "run_type": "chain",
        "inputs": example.inputs,
        "outputs": outputs,
        "error": None if outputs else record.error,
        "start_time": start.isoformat() if start else None,
        "end_time": end.isoformat() if end else None,
        "extra": {"metadata": {"ls_model_name": record.model or run.model}},
        "total_cost": record.cost,
        "usage_metadata": {
            "input_tokens": record.input_tokens,
            "output_tokens": record.output_tokens,
            "total_tokens": _both(record),
            "input_token_details": {"cache_read": record.cached_tokens},
            "output_token_details": {"reasoning": record.reasoning_tokens},
        },
    }


def _both(record: Record) -> int | None:
    if record.input_tokens is None or record.output_tokens is None:
        return None
    return record.input_tokens + record.output_tokens


def _time(created: str) -> datetime.datetime | None:
    try:
        time = datetime.datetime.fromisoformat(created)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)


CHAT_FORMATS: dict[str, Callable[[list[BaseMessage], str], dict[str, Any]]] = {
    "openai": _openai,
    "trl": _trl,
    "llamafactory": _sharegpt,
    "alpaca": _alpaca,
}
TALK_FORMATS: dict[str, Callable[[Task, Run, Example, Record], dict[str, Any]]] = {
    "completions": _stored_completion,
    "langsmith": _langsmith_run,
}
_LISTS = {"llamafactory", "alpaca"}  # the file is one JSON list
