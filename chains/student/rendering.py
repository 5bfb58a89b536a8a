"""The one renderer of a student's text: training rows and served prompts are the same token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, ChatMessage

from .card import StudentError

_ROLES = {"human": "user", "ai": "assistant", "system": "system"}

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
    """A LangChain message as a chat template's: role and text."""
    blocks = message.content if isinstance(message.content, list) else []
    strange = [block for block in blocks if isinstance(block, dict) and block.get("type") != "text"]
    if strange:
        raise StudentError(f"a student reads text, and a message holds a {strange[0].get('type')}")
    if isinstance(message, ChatMessage):
        role = message.role
    elif message.type in _ROLES:
        role = _ROLES[message.type]
    else:
        raise StudentError(f"a student does not read {type(message).__name__}; give it as text")
    return {"role": role, "content": str(message.text)}
