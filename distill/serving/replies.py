"""What a client is told: LangChain's messages as OpenAI's chat completions and their chunks."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage


class Heading:
    """What stands above every answer and chunk of one request."""

    def __init__(self, model: str, fingerprint: str) -> None:
        self._facts = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": f"fp_{fingerprint[:12]}",
        }

    def completion(self, messages: Sequence[AIMessage]) -> dict[str, Any]:
        """The answer: a choice for each message. `confidence` is beside OpenAI's own fields."""
        return {
            **self._facts,
            "object": "chat.completion",
            "choices": [_choice(index, message) for index, message in enumerate(messages)],
            "usage": usage_of(messages),
        }

    def chunk(self, delta: Mapping[str, Any], **choice: Any) -> dict[str, Any]:
        """A chunk of a stream with one choice."""
        return self._chunk([{"index": 0, "delta": delta, "finish_reason": None, **choice}])

    def usage(self, usage: Mapping[str, int]) -> dict[str, Any]:
        """The chunk at the end of a stream that says what it took."""
        return {**self._chunk([]), "usage": usage}

    def _chunk(self, choices: list[Any]) -> dict[str, Any]:
        return {**self._facts, "object": "chat.completion.chunk", "choices": choices}


def usage_of(messages: Sequence[AIMessage]) -> dict[str, int]:
    """Tokens of one prompt and of all its answers."""
    used = [message.usage_metadata for message in messages if message.usage_metadata]
    read = used[0]["input_tokens"] if used else 0
    written = sum(one["output_tokens"] for one in used)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }


def deltas(message: AIMessage) -> Iterator[dict[str, Any]]:
    """What a message, or a chunk of one, adds to a stream."""
    if message.text:
        yield {"content": str(message.text)}
    parts = getattr(message, "tool_call_chunks", None)
    if parts is None:
        parts = [
            {**call, "args": _compact(call["args"]), "index": index}
            for index, call in enumerate(message.tool_calls)
        ]
    for part in parts:
        named = {"id": part["id"], "type": "function"} if part["id"] else {}
        function = {"name": part["name"]} if part["name"] else {}
        call = {
            "index": part["index"] or 0,
            **named,
            "function": {**function, "arguments": part["args"] or ""},
        }
        yield {"tool_calls": [call]}


def closing(metadata: Mapping[str, Any], *, called: bool) -> dict[str, Any]:
    """How an answer ended, and what is known about it: of a choice, or of a stream's last chunk."""
    about: dict[str, Any] = {
        "finish_reason": "tool_calls" if called else metadata.get("finish_reason", "stop"),
        "logprobs": metadata.get("logprobs"),
    }
    if metadata.get("confidence"):
        about["confidence"] = metadata["confidence"]
    return about


def event(data: Mapping[str, Any] | str) -> bytes:
    """A server-sent event, in ASCII: clients split lines at U+2028 and U+0085, too."""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"data: {text}\n\n".encode()


def _compact(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _choice(index: int, message: AIMessage) -> dict[str, Any]:
    said: dict[str, Any] = {
        "role": "assistant",
        "content": str(message.text) or (None if message.tool_calls else ""),
        "refusal": None,
    }
    if message.tool_calls:
        said["tool_calls"] = [
            {
                "id": call["id"] or f"call_{uuid.uuid4().hex[:24]}",
                "type": "function",
                "function": {
                    "name": call["name"],
                    "arguments": _compact(call["args"]),
                },
            }
            for call in message.tool_calls
        ]
    about = closing(message.response_metadata, called=bool(message.tool_calls))
    return {"index": index, "message": said, **about}
