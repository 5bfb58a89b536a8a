"""What other programs saved of talks with a model: OpenAI's files, LangSmith's runs.

Shapes: OpenAI API reference (fine-tune chat input, chat completion, response); LangSmith docs,
"Run (span) data format".
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .columns import RefusedRow, printable
from .files import read_objects
from .messages import Message, as_dict, first_of, messages_in, reply_in
from .trainers import TRAINERS, as_fine_tune

_PAGES = ("data", "runs")  # where a server's reply holds the list


@dataclass(frozen=True)
class Said:
    """One question and its reply: `messages` before the reply, or `inputs` and `outputs` by name.

    `fields` are Record fields: model, tokens, cost, seconds, created, error, details.
    """

    messages: tuple[Message, ...] = ()
    reply: Message | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


def provider_rows(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL or JSON file, those of a saved page of a list one by one.

    Raises StoreError.
    """
    for number, row in read_objects(path, format="json"):
        page = next((row[name] for name in _PAGES if isinstance(row.get(name), list)), None)
        if page is None or "messages" in row:
            yield number, row
        else:
            yield from ((number, item) for item in page if isinstance(item, dict))


def said_in(row: Mapping[str, Any], format: str) -> Said:
    """What an object of such a file says; `format` is one of PROVIDERS. Raises RefusedRow."""
    try:
        return PROVIDERS[format](row)
    except RecursionError:
        raise RefusedRow("is nested too deep") from None


def _fine_tune(row: Mapping[str, Any]) -> Said:
    messages = messages_in(row.get("messages"))
    last = max((n for n, m in enumerate(messages) if _taught(m)), default=None)
    if last is None:
        raise RefusedRow("has no assistant message that teaches")
    return _said(row, messages[:last], messages[last])


def _trainers(format: str, row: Mapping[str, Any]) -> Said:
    return _fine_tune(as_fine_tune(row, format))


def _taught(message: Message) -> bool:
    return message.role == "assistant" and message.weight != 0


def _completion(row: Mapping[str, Any]) -> Said:
    asked = first_of(row, "request", "input", "body")
    request = asked if isinstance(asked, dict) else row
    request = as_dict(request.get("body")) or request
    if request is row and "custom_id" in row and "messages" not in row:
        raise RefusedRow(
            "is a line of a batch's output, which holds no prompt; put its line of the batch's "
            "input, of the same custom_id, under request"
        )
    messages = messages_in(
        next((v for v in (request.get("messages"), row.get("messages"), asked) if v), None)
    )
    if isinstance(words := first_of(request, "instructions"), str):
        messages = (Message("system", words), *messages)
    told = first_of(row, "response", "output", "choices")
    body = as_dict(told).get("body") or told
    reply = reply_in(body)
    if reply is None and messages and messages[-1].role == "assistant":
        *before, reply = messages
        messages = tuple(before)
    if reply is None:
        raise RefusedRow("has no reply")
    return _said({**request, **as_dict(body), **row}, messages, reply)


def _langsmith(row: Mapping[str, Any]) -> Said:
    kind = row.get("run_type") or "chain"
    if kind not in ("llm", "chain"):
        raise RefusedRow(
            f"is a run of type {printable(str(kind)[:20])}; llm and chain runs are read"
        )
    inputs, outputs = as_dict(row.get("inputs")), as_dict(row.get("outputs"))
    listed = first_of(inputs, "messages", "input")
    if isinstance(listed, list) and len(listed) == 1 and _is_batch(listed[0]):
        listed = listed[0]
    messages: tuple[Message, ...] = ()
    with contextlib.suppress(*([RefusedRow] if kind == "chain" else [])):  # its inputs are its own
        messages = messages_in(listed) if isinstance(listed, list) else ()
    reply = reply_in(outputs)
    if reply is None and not outputs and not row.get("error"):
        raise RefusedRow("has no outputs")
    extra = as_dict(row.get("extra"))
    told = {**as_dict(outputs.get("llm_output")), **outputs, **row}
    told["model"] = (
        first_of(as_dict(extra.get("metadata")), "ls_model_name")
        or first_of(as_dict(extra.get("invocation_params")), "model", "model_name")
        or first_of(told, "model", "model_name")
    )
    said = _said(told, messages, reply)
    return Said(messages, reply, inputs, outputs, said.fields)


def _is_batch(value: Any) -> bool:
    """Whether this is a list of messages, and not one message as a pair (role, text)."""
    return isinstance(value, list) and not (value and isinstance(value[0], str))


def _said(row: Mapping[str, Any], messages: Sequence[Message], reply: Message | None) -> Said:
    fields: dict[str, Any] = _counts(row)
    for name, longest in (("model", 200), ("error", None)):  # keys in a cut error would stay
        if isinstance(row.get(name), str) and row[name].strip():
            fields[name] = " ".join(row[name].split())[:longest]
    if (created := _created(row)) is not None:
        fields["created"] = created
    if (seconds := _seconds(row)) is not None:
        fields["seconds"] = seconds
    if reply is not None and (raw := _raw(reply)):
        fields["raw"] = raw
    if details := _details(row, messages, reply):
        fields["details"] = details
    return Said(messages=tuple(messages), reply=reply, fields=fields)


def _details(
    row: Mapping[str, Any], messages: Sequence[Message], reply: Message | None
) -> dict[str, str]:
    """Tool calls, tools and a talk with tools as JSON text, and what the model thought."""
    held: dict[str, Any] = {name: row.get(name) for name in ("tools", "functions")}
    if any(message.role == "tool" or message.calls for message in messages):
        held["transcript"] = [[m.role, m.text, m.calls] for m in messages]
    if reply is not None:
        held["tool_calls"] = reply.calls
    details = {name: _json(value) for name, value in held.items() if value}
    if reply is not None and reply.reasoning:
        details["native_reasoning"] = reply.reasoning
    return details


def _raw(reply: Message) -> str:
    calls = [a if isinstance(a, str) else _json(a) for _, a in reply.calls]
    return "\n".join(part for part in (reply.text, *calls) if part)


def _counts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens and cost, wherever the provider says them."""
    usage: dict[str, Any] = {}
    for name in ("token_usage", "usage", "usage_metadata"):
        usage |= as_dict(row.get(name))
    read = as_dict(first_of(usage, "prompt_tokens_details", "input_tokens_details"))
    read = {**read, **as_dict(usage.get("input_token_details"))}
    written = as_dict(first_of(usage, "completion_tokens_details", "output_tokens_details"))
    written = {**written, **as_dict(usage.get("output_token_details"))}
    usage = {**row, **usage}
    found = {
        "input_tokens": first_of(usage, "prompt_tokens", "input_tokens"),
        "output_tokens": first_of(usage, "completion_tokens", "output_tokens"),
        "cached_tokens": first_of(read, "cached_tokens", "cache_read"),
        "reasoning_tokens": first_of(written, "reasoning_tokens", "reasoning"),
    }
    counts: dict[str, Any] = {
        name: value for name, value in found.items() if type(value) is int and 0 <= value < 2**40
    }
    try:
        cost = float(row.get("total_cost") or 0)
    except (TypeError, ValueError, OverflowError):
        cost = 0.0
    return counts | ({"cost": cost} if 0 < cost < 1e9 else {})


def _seconds(row: Mapping[str, Any]) -> float | None:
    """Wall time of a LangSmith run."""
    try:
        start, end = (
            datetime.datetime.fromisoformat(str(row[name])) for name in ("start_time", "end_time")
        )
        return max(0.0, (end - start).total_seconds())
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _created(row: Mapping[str, Any]) -> str | None:
    """When the answer was there, in UTC: a LangSmith run's end or start, or seconds since 1970."""
    told = first_of(row, "end_time", "created", "created_at", "start_time")
    try:
        if type(told) in (int, float):
            time = datetime.datetime.fromtimestamp(told, datetime.UTC)
        else:
            time = datetime.datetime.fromisoformat(str(told))
            time = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
        return time.astimezone(datetime.UTC).isoformat(timespec="seconds")
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


PROVIDERS: dict[str, Callable[[Mapping[str, Any]], Said]] = {
    "openai": _fine_tune,
    "completions": _completion,
    "langsmith": _langsmith,
    **{name: functools.partial(_trainers, name) for name in TRAINERS},
}
