"""A conversation as one text: what a student of a rendered prompt reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue

from .task import TaskError

MESSAGES = "messages"  # the one input of a task of rendered conversations
_SILENT = {"reasoning", "thinking", "redacted_thinking"}
_ROLES = {"human": "User", "ai": "Assistant", "system": "System", "tool": "Tool result"}


def messages_of(asked: Any) -> list[BaseMessage]:
    """What a chat model makes of its input: a text, a prompt value, or messages in any form.

    Raises TaskError for anything else.
    """
    if isinstance(asked, PromptValue):
        return asked.to_messages()
    if isinstance(asked, str | BaseMessage):
        asked = [asked]
    try:
        return convert_to_messages(asked)
    except Exception as error:
        raise TaskError(f"a {type(asked).__name__} is no conversation; give messages") from error


def conversation_text(messages: Sequence[BaseMessage]) -> str:
    """The messages as one text: a single human message as it is, else each under its role.

    Calls of tools are written as `name {arguments}`. Raises TaskError for what is no text, such as
    an image.
    """
    if len(messages) == 1 and messages[0].type == "human":
        return _content(messages[0])
    return "\n\n".join(f"{_role(message)}: {_content(message)}" for message in messages)


def _role(message: BaseMessage) -> str:
    return str(getattr(message, "role", None) or _ROLES.get(message.type, message.type.title()))


def _content(message: BaseMessage) -> str:
    parts = [message.content] if isinstance(message.content, str) else list(message.content)
    texts = [text for part in parts if (text := _text(part))]
    calls = getattr(message, "tool_calls", None) or ()
    texts += [f"{call['name']} {json.dumps(call['args'], ensure_ascii=False)}" for call in calls]
    return "\n".join(texts)


def _text(part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    if kind == "text":
        return str(part.get("text") or "")
    if kind in _SILENT or kind == "tool_use" or kind == "tool_call" or kind == "function_call":
        return ""  # calls stand in tool_calls, and what a model thought is not what it said
    raise TaskError(f"a message holds a part of type {kind}; a student reads text only")
