"""The one renderer of a student's text: training rows and served prompts are the same token ids."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    ToolMessage,
)

from ..task import Target
from .card import StudentError

_ROLES = {"human": "user", "ai": "assistant", "system": "system"}
_UNREAD = frozenset(("tool_use", "tool_call", "tool_call_chunk", "thinking", "reasoning"))

# For a base model that comes without a chat template.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### Answer:\n{% endif %}"
)


# A student of two tasks is told which: the words stand before the first thing that a user says.
PREDICT, EXPLAIN = "predict: ", "explain: "
# Set at the head of a base's template: a student's answer follows its prompt at once, also where
# somebody else serves it, and the same prompt is the same text tomorrow.
_SETTLED = {"enable_thinking": "false", "thinking": "false", "date_string": "'26 Jul 2024'"}


def prefix_of(target: Target) -> str:
    """What is said before a student's prompt when it serves."""
    return PREDICT if target == "multitask" else ""


def settled(template: str) -> str:
    """The chat template with what it leaves open decided: no thinking, no clock."""
    found = [name for name in _SETTLED if re.search(rf"\b{name}\b", template)]
    head = "".join(f"{{%- set {name} = {_SETTLED[name]} %}}" for name in found)
    return template if not head or template.startswith(head) else head + template


def prompt_ids(tokenizer: Any, messages: Sequence[BaseMessage], *, prefix: str = "") -> list[int]:
    """The ids a student is asked with: `prompt_text`, tokenised once, nothing added."""
    text = prompt_text(tokenizer, messages, prefix=prefix)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def prompt_text(
    tokenizer: Any, messages: Sequence[BaseMessage], *, prefix: str = "", **variables: Any
) -> str:
    """What the chat template makes of the messages, up to where the answer begins.

    `variables` are the template's. Raises StudentError for messages that hold more than text.
    """
    said = merged_messages(messages, prefix=prefix)
    return rendered(tokenizer, said, add_generation_prompt=True, **variables)


def merged_messages(messages: Sequence[BaseMessage], *, prefix: str = "") -> list[dict[str, str]]:
    """The messages as a chat template's, `prefix` before the first that the user says.

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
    if prefix and merged:
        first = next((said for said in merged if said["role"] == "user"), merged[0])
        first["content"] = prefix + first["content"]
    _check_text(merged)
    return merged


def _check_text(merged: Sequence[Mapping[str, str]]) -> None:
    """Raise StudentError for what no tokenizer reads: data that were cut in two may hold it."""
    for said in merged:
        try:
            said["content"].encode()
        except UnicodeEncodeError as error:
            half = f"U+{ord(said['content'][error.start]):04X}"
            raise StudentError(
                f"a message holds half a character ({half}); mend the text where it is read"
            ) from error


def rendered(tokenizer: Any, merged: list[dict[str, str]], **variables: Any) -> str:
    """The chat template's text. Raises StudentError where it refuses these roles."""
    try:
        return str(tokenizer.apply_chat_template(merged, tokenize=False, **variables))
    except Exception as error:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if "TemplateError" not in kinds:  # jinja2's: not a dependency of this room
            raise
        roles = ", ".join(said["role"] for said in merged)
        raise StudentError(f"the chat template refuses the roles {roles}: {error}") from error


def completion_ids(tokenizer: Any, completion: str) -> list[int]:
    """The ids a student is trained to write: the completion and the end-of-sequence token."""
    return [*_written_ids(tokenizer, completion), tokenizer.eos_token_id]


def _written_ids(tokenizer: Any, text: str) -> list[int]:
    """The ids of a text that goes on after others.

    A tokenizer in SentencePiece's way begins every text with a space of its own. In the middle of
    one there is none, and the grammar at serving allows none.
    """

    def ids_of(part: str) -> list[int]:
        return list(tokenizer(part, add_special_tokens=False)["input_ids"])

    def spaced(ids: list[int]) -> bool:
        return bool(ids) and str(tokenizer.convert_ids_to_tokens(ids[0])).startswith("▁")

    alone = ids_of(text)
    if text.startswith((" ", "▁")) or not spaced(alone):
        return alone
    # After a text that does not merge with this one it is written as it is.
    for lead in ("\n", tokenizer.eos_token, ":", "a"):
        before, both = ids_of(lead), ids_of(lead + text)
        if both[: len(before)] == before and not spaced(both[len(before) :]):
            return both[len(before) :]
    return alone


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
