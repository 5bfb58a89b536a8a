"""What one row cost and what came back for it: every model call of the row, whatever the chain."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import LLMResult

from ...store.statements import UNREPORTED
from ..redaction import one_line, storable
from .budget import Allowance
from .prices import Usage, usage_of


class CallLedger(BaseCallbackHandler):
    """The calls of one row: texts, tokens, cost and the model's own name.

    Calls of a governed model (`calls.Caller`) are counted as they are sent, so that a failed call
    counts and an answer out of a cache does not; those of other models as they come back.
    """

    run_inline = True

    def __init__(self, *, governed: bool = False, priced: bool = False) -> None:
        self.governed = governed
        self.replies: list[AIMessage] = []
        self.requests = 0
        self.sending = 0  # calls that are not over yet
        self._idle = asyncio.Event()
        self.usages: list[Usage] = []
        self.cost: float | None = 0.0 if priced else None
        self.unreported = 0  # calls that may have been billed and do not say so
        self.unreported_usd, self.unreported_tokens = 0.0, 0
        self.allowance = Allowance()
        self.failure: Exception | None = None  # the last call's, and what it means in a line
        self.failure_line = ""

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        for generations in response.generations:
            for generation in generations[:1]:
                message = getattr(generation, "message", None)
                if isinstance(message, AIMessage):
                    self.replies.append(message)
                elif message is None:  # a plain text model's
                    self.replies.append(AIMessage(generation.text))

    @contextmanager
    def call(self) -> Iterator[None]:
        """For as long as a call may cost something."""
        self.sending += 1
        try:
            yield
        finally:
            self.sending -= 1
            if not self.sending:
                self._idle.set()

    async def idle(self) -> None:
        """Until no call is on its way: one of several side by side may have ended the row."""
        while self.sending:
            self._idle.clear()
            await self._idle.wait()

    def bought(self, usage: Usage | None, cost: float | None) -> None:
        """A call that was answered; None where it does not say what it used or has no price."""
        self.usages += [usage] if usage else []
        self.cost = None if self.cost is None or cost is None else self.cost + cost

    def maybe_bought(self, *, usd: float, tokens: int) -> None:
        """A call that may have been billed, for at most so much, and did not say."""
        self.unreported += 1
        self.unreported_usd += usd
        self.unreported_tokens += tokens

    def told(self, error: Exception) -> str:
        """An error that ended the row, in a line; a call's names host, model or key."""
        return self.failure_line if error is self.failure else one_line(error)

    def facts(self) -> dict[str, Any]:
        """The Record fields that the calls decide."""
        last = self.replies[-1] if self.replies else None
        found = (usage_of(reply.usage_metadata) for reply in self.replies)
        usages = self.usages if self.governed else [usage for usage in found if usage]
        return {
            "raw": storable("\n".join(map(reply_text, self.replies))) or None,
            "attempts": self.requests if self.governed else max(1, len(self.replies)),
            "input_tokens": _total(usages, "input_tokens"),
            "output_tokens": _total(usages, "output_tokens"),
            "cached_tokens": _total(usages, "cached_tokens") or None,
            "reasoning_tokens": _total(usages, "reasoning_tokens") or None,
            "cost": self.cost,
            "model": str(last.response_metadata.get("model_name") or "") or None if last else None,
        }

    def unreported_facts(self) -> dict[str, Any]:
        """For a record's details: the calls of which nobody knows whether they were billed."""
        if not self.unreported:
            return {}
        at_most = {"usd": self.unreported_usd, "tokens": self.unreported_tokens}
        return {UNREPORTED: {"calls": self.unreported, **at_most}}


def _total(usages: list[Usage], kind: str) -> int | None:
    return sum(getattr(usage, kind) for usage in usages) if usages else None


def reply_text(message: AIMessage) -> str:
    """The reply as text; where the answer is a tool call, its arguments."""
    calls = [call["args"] for call in message.tool_calls]
    broken = [str(call.get("args")) for call in message.invalid_tool_calls]
    parts = [str(message.text), *(json.dumps(c, ensure_ascii=False) for c in calls), *broken]
    return "\n".join(part for part in parts if part)
