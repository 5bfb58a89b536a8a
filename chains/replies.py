"""Reading a model's reply: its own reasoning, the JSON in a plain text, and what broke it off."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

_TRIES = 200
# Closed, or cut off; some chat templates open the tag in the prompt, so only its end is seen.
_THINKING = re.compile(r"<think(?:ing)?>(.*?)(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_ENDS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_CUT_OFF = {"length", "max_tokens", "max_output_tokens", "model_length"}
_REFUSED = {
    *("refusal", "content_filter", "content_filtered", "guardrail_intervened"),
    *("safety", "prohibited_content", "blocklist", "spii", "recitation"),  # Gemini
}
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


def stopped_by(message: AIMessage, cap: int | None = None) -> str | None:
    """Why the model did not come to the end of its answer, as one line; None where it did.

    A refusal (its own words, or the provider's filter), or the output cap, whose tokens are `cap`
    where they are known; each provider has its own names for them.
    """
    metadata = message.response_metadata
    ends = [metadata.get(name) for name in _ENDS]
    incomplete = metadata.get("incomplete_details")  # OpenAI's Responses API
    ends += [incomplete.get("reason")] if isinstance(incomplete, Mapping) else []
    reasons = {str(end).rpartition(".")[2].lower() for end in ends if end}
    refusal = _refusal(message) or ", ".join(sorted(reasons & _REFUSED))
    if refusal:
        return f"the model refused: {' '.join(refusal.split())[:200]}"
    if reasons & _CUT_OFF:
        where = f"its output cap (max_tokens={cap})" if cap else "the model's own limit of output"
        return f"the reply was cut off at {where}; allow more output tokens, or ask for less"
    return None


def _refusal(message: AIMessage) -> str:
    told = message.additional_kwargs.get("refusal")
    blocks = message.content if isinstance(message.content, list) else []
    told = [told, *(block.get("refusal") for block in blocks if isinstance(block, dict))]
    return next((part for part in told if isinstance(part, str) and part), "")


def completed_reply(error: BaseException) -> AIMessage | None:
    """The reply inside an error that openai's SDK raises after the reply has come; None elsewhere.

    Its LengthFinishReasonError and ContentFilterFinishReasonError carry the whole completion, which
    has been billed: text, finish_reason, the model's own name and the usage are those of any reply.
    """
    dump = getattr(getattr(error, "completion", None), "model_dump", None)
    completion = dump() if callable(dump) else None
    if not isinstance(completion, dict) or not completion.get("choices"):
        return None
    choice = completion["choices"][0]
    message = choice.get("message") or {}
    return AIMessage(
        message.get("content") or "",
        additional_kwargs={"refusal": message.get("refusal")},
        response_metadata={
            "finish_reason": choice.get("finish_reason"),
            "model_name": completion.get("model"),
        },
        usage_metadata=_usage(completion.get("usage")),
    )


def _usage(usage: Any) -> UsageMetadata | None:
    if not isinstance(usage, dict):
        return None
    read = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    asked, told = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return UsageMetadata(
        input_tokens=asked,
        output_tokens=told,
        total_tokens=usage.get("total_tokens") or asked + told,
        input_token_details=InputTokenDetails(cache_read=read or 0),
        output_token_details=OutputTokenDetails(reasoning=thought or 0),
    )
