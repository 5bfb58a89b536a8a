"""The one renderer of a student's text: training rows and served prompts are the same token ids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    ToolMessage,
)

from .card import StudentError

_ROLES = {"human": "user", "ai": "assistant", "system": "system"}
_UNREAD = frozenset(("tool_use", "tool_call", "tool_call_chunk", "thinking", "reasoning"))

# For a base model that comes without a chat template.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### Answer:\n{% endif %}"
)


def prompt_ids(tokenizer: Any, messages: Sequence[BaseMessage]) -> list[int]:
    """The ids a student is asked with: the chat template's text, tokenised once, nothing added.

    Neighbouring messages of one role become one: many templates refuse them otherwise. Raises
    StudentError for messages that hold more than text.
    """
    merged: list[dict[str, str]] = []
    for message in messages:
        said = template_message(message)
        if merged and merged[-1]["role"] == said["role"]:
            merged[-1]["content"] += "\n" + said["content"]
        else:
            merged.append(said)
    try:
        text = tokenizer.apply_chat_template(merged, tokenize=False, add_generation_prompt=True)
    except Exception as error:
        if type(error).__name__ != "TemplateError":  # jinja2's: not a dependency of this room
            raise
        roles = ", ".join(said["role"] for said in merged)
        raise StudentError(f"the chat template refuses the roles {roles}: {error}") from error
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def completion_ids(tokenizer: Any, completion: str) -> list[int]:
    """The ids a student is trained to write: the completion and the end-of-sequence token."""
    ids = list(tokenizer(completion, add_special_tokens=False)["input_ids"])
    return [*ids, tokenizer.eos_token_id]


def template_message(message: BaseMessage) -> dict[str, str]:
    """A LangChain message as a chat template's: role and text.

    A message that calls tools is the JSON of that turn; a tool's result is told by the user.
    """
    text = _text(message)
    if isinstance(message, ToolMessage):
        told = "Error" if message.status == "error" else "Result"
        return {"role": "user", "content": f"{told} of {message.name or 'the tool'}: {text}"}
    if isinstance(message, ChatMessage):
        return {"role": message.role, "content": text}
    if message.type not in _ROLES:
        raise StudentError(f"a student does not read {type(message).__name__}; give it as text")
    if isinstance(message, AIMessage) and message.tool_calls:
        calls = [{"name": call["name"], "arguments": call["args"]} for call in message.tool_calls]
        turn = {"text": text, "calls": calls}
        text = json.dumps(turn, ensure_ascii=False, separators=(",", ":"))
    return {"role": _ROLES[message.type], "content": text}


def _text(message: BaseMessage) -> str:
    """The text of a message's blocks; calls stand in `tool_calls`, thoughts are left out."""
    if isinstance(message.content, str):
        return message.content
    parts = []
    for block in message.content:
        kind = "text" if isinstance(block, str) else block.get("type")
        if kind == "text":
            parts.append(block if isinstance(block, str) else block["text"])
        elif kind == "tool_result" and isinstance(block, dict):
            result = block.get("content", "")
            told = result if isinstance(result, str) else _text(HumanMessage(result))
            parts.append(f"Result of the tool: {told}")
        elif kind not in _UNREAD:
            raise StudentError(f"a student reads text, and a message holds a {kind}")
    return "\n".join(parts)
