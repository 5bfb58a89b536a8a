"""One call of a student on its way: submitted to an engine, read as LangChain's messages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from .asked import Asked
from .confidence import confidences
from .engine import Engine
from .remote import Remote
from .reply import Reply
from .row import Answer
from .schema import label_paths

_IMPOSSIBLE = -9999.0  # OpenAI's log probability of what has none


@dataclass(frozen=True)
class Job:
    """One call: what is asked of which model, and how its text is read.

    With `confidence` the answer's labels have one. `prompt` is token ids for an engine, messages of
    a chat template for a server.
    """

    model_name: str
    confidence: bool
    asked: Asked
    reply: Reply
    engine: Engine | Remote
    prompt: Any
    arguments: Mapping[str, Any]

    def submit(self, on_text: Callable[[str], None] | None = None) -> Future[Answer]:
        """Queue the row."""
        return self.engine.submit(
            self.prompt,
            schema=self.asked.grammar,
            on_text=on_text,
            confidence=self.confidence,
            **self.arguments,
        )

    @property
    def ready(self) -> bool:
        """Whether `submit` returns at once: its schema has been compiled, or a server does it."""
        schema = self.asked.grammar
        return schema is None or isinstance(self.engine, Remote) or self.engine.knows(schema)

    def prepare(self) -> None:
        """Compile the schema, which may take seconds. Raises StudentError."""
        if self.asked.grammar is not None and isinstance(self.engine, Engine):
            self.engine.prepare(self.asked.grammar)

    def result(self, answer: Answer) -> ChatResult:
        """The whole answer as LangChain wants it."""
        self.reply.read(answer.text)
        self.reply.end()
        good, bad = self.reply.tool_calls()
        message = AIMessage(
            content=self.reply.content,
            tool_calls=good,
            invalid_tool_calls=bad,
            response_metadata=self._about(answer),
            usage_metadata=_usage(answer),
        )
        return ChatResult(
            generations=[ChatGeneration(message=message)],
            llm_output={"model_name": self.model_name},
        )

    def chunks(self, part: str | Answer) -> list[ChatGenerationChunk]:
        """What a part of the text, or at last the answer, adds to the message."""
        if isinstance(part, str):
            messages = self.reply.read(part)
        else:
            last = AIMessageChunk(
                content="",
                response_metadata=self._about(part),
                usage_metadata=_usage(part),
                chunk_position="last",
            )
            messages = [*self.reply.end(), last]
        return [ChatGenerationChunk(message=message) for message in messages]

    def _about(self, answer: Answer) -> dict[str, Any]:
        called = self.reply.calls and answer.finish != "length"  # what was cut short is marked
        about: dict[str, Any] = {
            "model_name": self.model_name,
            "model_provider": "understudy",
            "finish_reason": "tool_calls" if called else answer.finish,
        }
        if self.asked.labels is not None and self.confidence and answer.pieces:
            sure = confidences(answer.text, answer.pieces, answer.probabilities)
            labels = label_paths(self.asked.labels)
            about["confidence"] = {path: sure[path] for path in sure if path in labels}
            about["probabilities"] = dict(answer.classes)
            about["text_probability"] = {path: sure[path] for path in sure if path not in labels}
        if answer.sure and self.confidence:
            about["confidence"] = dict(answer.sure)
        if self.asked.logprobs:
            about["logprobs"] = _logprobs(answer)
        return about


def _logprobs(answer: Answer) -> dict[str, Any]:
    """The tokens as they were written, in OpenAI's form: a forced one has a log probability of 0.

    Each is conditional on the tokens before it and on the grammar, which leaves the model fewer.
    """
    content = [
        {
            "token": piece.decode("utf-8", errors="replace"),
            "bytes": list(piece),
            "logprob": math.log(share) if share > 0 else _IMPOSSIBLE,
            "top_logprobs": [],
        }
        for piece, share in zip(answer.pieces, answer.probabilities, strict=True)
    ]
    return {"content": content}


def _usage(answer: Answer) -> UsageMetadata | None:
    if not answer.input_tokens:  # a server that does not tell: every prompt has tokens
        return None
    return UsageMetadata(
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        total_tokens=answer.input_tokens + answer.output_tokens,
    )
