"""How many tokens a prompt can be at most, from its bytes: what a budget and a plan count with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

PER_MESSAGE = 16  # role and the marks around a message
PER_PROMPT = 64  # marks around the whole, and around the tools
_NOT_SENT = {"ls_structured_output_format", "timeout", "stop", "tool_choice", "strict"}


def prompt_bound(messages: Sequence[BaseMessage], kwargs: Mapping[str, Any]) -> int:
    """At most so many input tokens: the UTF-8 bytes of messages and schemas, and a share for marks.

    `kwargs` are those of the model's call: `tools`, `response_format` and whatever else is sent. A
    byte-level tokenizer never makes more tokens than bytes. Texts only: the tokens of a picture
    behind a URL are not in its bytes.
    """
    return prompt_bytes(messages, kwargs) + PER_MESSAGE * len(messages) + PER_PROMPT


def prompt_bytes(messages: Sequence[BaseMessage], kwargs: Mapping[str, Any]) -> int:
    """The UTF-8 bytes of what is sent to a model: texts, tool calls, tools, answer schemas."""
    sent = {name: value for name, value in kwargs.items() if name not in _NOT_SENT and value}
    return sum(map(_message_bytes, messages)) + (_json_bytes(sent) if sent else 0)


def _message_bytes(message: BaseMessage) -> int:
    content = message.content
    size = len(_encoded(content)) if isinstance(content, str) else _json_bytes(content)
    for part in ("name", "tool_calls", "invalid_tool_calls", "tool_call_id"):
        if value := getattr(message, part, None):
            size += _json_bytes(value)
    return size + (_json_bytes(message.additional_kwargs) if message.additional_kwargs else 0)


def _json_bytes(value: Any) -> int:
    return len(_encoded(json.dumps(value, ensure_ascii=False, default=_schema)))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogatepass")


def _schema(value: Any) -> Any:
    """A pydantic class as its JSON schema; else its text."""
    schema = getattr(value, "model_json_schema", None)
    return schema() if callable(schema) else str(value)
