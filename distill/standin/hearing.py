"""What a model says inside somebody's chain, heard through callbacks: texts, tokens, confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from ..labelling.ledger import CallLedger, reply_text
from ..labelling.prices import Usage, usage_of
from ..redaction import storable


class Hearing(CallLedger):
    """The model calls of one call of a chain; `messages` are what the first of them was asked."""

    messages: list[BaseMessage] | None = None
    broken: BaseException | None = None  # how the last model call failed, if it did

    @property
    def ignore_chain(self) -> bool:
        """True: only models are listened to."""
        return True

    def on_chat_model_start(self, *args: Any, **_: Any) -> None:
        """args: what the model is, and a list with the messages."""
        if self.messages is None and len(args) > 1:
            self.messages = list(args[1][0])

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        super().on_llm_end(response, **kwargs)
        self.broken = None  # a retry, or a fallback

    def on_llm_error(self, error: BaseException, **_: Any) -> None:
        self.broken = error

    @property
    def said(self) -> AIMessage | None:
        """The last reply."""
        return self.replies[-1] if self.replies else None

    @property
    def raw(self) -> str | None:
        """The texts of all replies."""
        return storable("\n".join(map(reply_text, self.replies))) or None

    @property
    def model(self) -> str | None:
        """What the last model calls itself."""
        told = self.said.response_metadata.get("model_name") if self.said is not None else None
        return str(told) if told else None

    @property
    def confidence(self) -> Mapping[str, float] | None:
        """What the last reply says of its own labels, by answer path."""
        told = self.said.response_metadata.get("confidence") if self.said is not None else None
        return told if isinstance(told, Mapping) and told else None

    @property
    def usage(self) -> Usage | None:
        """The tokens of all replies together; None where none says."""
        found = [usage for r in self.replies if (usage := usage_of(r.usage_metadata))]
        return sum(found[1:], found[0]) if found else None


def listening(config: RunnableConfig | None, handler: BaseCallbackHandler) -> RunnableConfig:
    """The config with one callback handler more; the caller's own is left as it is."""
    heard = ensure_config(config)
    callbacks = heard.get("callbacks")
    if callbacks is None:
        heard["callbacks"] = [handler]
    elif isinstance(callbacks, list):
        heard["callbacks"] = [*callbacks, handler]
    else:
        manager = callbacks.copy()
        manager.add_handler(handler, inherit=True)
        heard["callbacks"] = manager
    return heard
