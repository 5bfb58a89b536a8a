"""Reading a model's reply: its native reasoning apart, and the JSON object in a plain text."""

from __future__ import annotations

import json
import re
from typing import Any

from langchain_core.messages import AIMessage

_TRIES = 200
# Closed, or cut off; some chat templates open the tag in the prompt, so only its end is seen.
_THINKING = re.compile(r"<think(?:ing)?>(.*?)(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_END_ONLY = re.compile(r"\A(.*?)</think(?:ing)?>", re.DOTALL | re.IGNORECASE)


def without_thinking(text: str) -> tuple[str, str]:
    """The text without what stands in `<think>`, and what stood there."""
    if "<" not in text:
        return text, ""
    thoughts = [thought.strip() for thought in _THINKING.findall(text)]
    rest = _THINKING.sub("", text)
    if end := _END_ONLY.match(rest):
        thoughts.insert(0, end.group(1).strip())
        rest = rest[end.end() :]
    return (rest.strip(), "\n".join(filter(None, thoughts))) if rest != text else (text, "")


def native_reasoning(message: AIMessage) -> tuple[AIMessage, str]:
    """The message without its own reasoning, and that reasoning ('' where there is none).

    Reasoning comes as `<think>` in the text, as reasoning or thinking content blocks, or as
    `additional_kwargs["reasoning_content"]` (Ollama, DeepSeek, Groq, vLLM).
    """
    found = []
    content = message.content
    if isinstance(content, list):
        found += [text for block in content if (text := _reasoning_in(block))]
        text, thought = without_thinking(str(message.text))
        content = text if thought else content
    else:
        content, thought = without_thinking(content)
    told = message.additional_kwargs.get("reasoning_content")
    found += [told] if isinstance(told, str) else []
    found += [thought] if thought else []
    if content is message.content:
        return message, "\n".join(found)
    return message.model_copy(update={"content": content}), "\n".join(found)


def _reasoning_in(block: Any) -> str:
    if not isinstance(block, dict) or block.get("type") not in {"reasoning", "thinking"}:
        return ""
    summary = block.get("summary")
    parts = [block.get("reasoning"), block.get("thinking")]
    if isinstance(summary, list):  # OpenAI's Responses API
        parts += [part.get("text") for part in summary if isinstance(part, dict)]
    return "\n".join(part for part in parts if isinstance(part, str) and part)


def json_in(text: str) -> dict[str, Any] | None:
    """The last JSON object in the text, whatever stands around it; None where there is none."""
    decoder, found, place = json.JSONDecoder(), None, text.find("{")
    for _ in range(_TRIES):
        if place < 0:
            break
        try:
            found, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        place = text.find("{", end)
    return found
