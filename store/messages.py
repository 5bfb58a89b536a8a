"""The messages of a talk with a model, as OpenAI, LangChain and their loggers write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .columns import RefusedRow, printable

_ROLES = {
    "human": "user",
    "HumanMessage": "user",
    "ai": "assistant",
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "model": "assistant",
    "SystemMessage": "system",
    "developer": "system",
    "ToolMessage": "tool",
    "function": "tool",
}
_TEXT_PARTS = {"text", "input_text", "output_text"}
_THOUGHTS = {"reasoning", "thinking"}


@dataclass(frozen=True)
class Message:
    """One message of a talk: who said what; `calls` are tool calls as (name, arguments)."""

    role: str
    text: str
    calls: tuple[tuple[str, Any], ...] = ()
    reasoning: str | None = None
    weight: Any = None


def first_of(row: Mapping[str, Any], *names: str) -> Any:
    """The value of the first of these names that the row has, and not as null."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def as_dict(value: Any) -> dict[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def reply_in(told: Any) -> Message | None:
    """The reply in what a provider gave back, however it is wrapped."""
    if isinstance(told, str) and told.strip():
        return Message("assistant", told)
    if isinstance(told, list):
        return _reply_of_list(told)
    if not isinstance(told, dict):
        return None
    for name in ("choices", "generations", "output", "messages", "message"):
        if told.get(name) and (found := reply_in(told[name])):
            return found
    if isinstance(told.get("text"), str) and told["text"].strip():
        return Message("assistant", told["text"])
    is_message = _role(told) == "assistant" or "kwargs" in told
    return _message(told) if is_message else None


def _reply_of_list(told: list[Any]) -> Message | None:
    """The first of the choices or generations; of messages and items, all that the model said."""
    if not told:
        return None
    first = told[0]
    if isinstance(first, list) or (isinstance(first, dict) and {"message", "text"} & set(first)):
        return reply_in(first)
    said = [m for m in map(_item, told) if m is not None and m.role == "assistant"]
    if not said:
        return None
    if any(m.weight == "item" for m in said):  # the items of one response belong together
        return Message(
            "assistant",
            "".join(m.text for m in said),
            tuple(call for m in said for call in m.calls),
            "\n".join(m.reasoning for m in said if m.reasoning) or None,
        )
    return said[-1]


def _item(item: Any) -> Message | None:
    """A message, or an item of a response: a message, a reasoning, a function call."""
    if not isinstance(item, dict):
        return None
    if item.get("type") == "reasoning":
        return Message("assistant", "", reasoning=_thought(item), weight="item")
    if item.get("type") == "function_call":
        call = (str(item.get("name") or ""), item.get("arguments"))
        return Message("assistant", "", (call,), weight="item")
    found = _message(item)
    if item.get("type") == "message":
        return Message(found.role, found.text, found.calls, found.reasoning, "item")
    return found


def messages_in(value: Any) -> tuple[Message, ...]:
    """A list of messages, or one user message as text. Raises RefusedRow."""
    if isinstance(value, str):
        return (Message("user", value),)
    if not isinstance(value, list) or not value:
        raise RefusedRow("has no messages")
    return tuple(_message(item) for item in value)


def _message(item: Any) -> Message:
    if isinstance(item, list) and len(item) == 2 and all(isinstance(x, str) for x in item):
        role, text = map(str, item)
        return Message(_ROLES.get(role, role), text)
    if not isinstance(item, dict):
        raise RefusedRow("a message is no object")
    data = as_dict(item.get("kwargs")) or as_dict(item.get("data")) or item
    text, thoughts = _content(data.get("content"))
    more = data.get("additional_kwargs")
    native = first_of({**as_dict(more), **data}, "reasoning_content", "reasoning")
    thoughts = native if isinstance(native, str) else thoughts
    calls = first_of({**as_dict(more), **data}, "tool_calls") or []
    called = [_call(call) for call in calls] if isinstance(calls, list) else []
    if one := as_dict(data.get("function_call")):
        called.append(_call(one))
    return Message(_role(item), text, tuple(called), thoughts or None, data.get("weight"))


def _role(item: Mapping[str, Any]) -> str:
    data = as_dict(item.get("kwargs")) or as_dict(item.get("data")) or item
    classes = item.get("id")
    name = data.get("role") or data.get("type") or item.get("type")
    if isinstance(classes, list) and classes and name in (None, "constructor"):
        name = classes[-1]
    return _ROLES.get(str(name), str(name))


def _call(call: Any) -> tuple[str, Any]:
    named = as_dict(as_dict(call).get("function")) or as_dict(call)
    return str(named.get("name") or ""), first_of(named, "arguments", "args")


def _content(content: Any) -> tuple[str, str | None]:
    """The text of a message's content, and the thoughts in it."""
    if content is None or isinstance(content, str):
        return content or "", None
    if not isinstance(content, list):
        raise RefusedRow("a message's content is no text")
    texts, thoughts = [], []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, str):
            texts.append(part)
        elif kind in _TEXT_PARTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in _THOUGHTS:
            thoughts.append(_thought(part) or "")
        elif kind not in ("tool_use", "tool_call", "function_call", "refusal"):
            raise RefusedRow(f"a message holds more than text ({printable(str(kind)[:30])})")
    return "".join(texts), "\n".join(filter(None, thoughts)) or None


def _thought(part: Mapping[str, Any]) -> str | None:
    said = first_of(part, "thinking", "reasoning", "text", "summary", "content")
    if isinstance(said, list):
        said = "\n".join(str(as_dict(piece).get("text") or "") for piece in said)
    return said if isinstance(said, str) and said.strip() else None
