"""The HTTP clients of a run's models: one event loop's own, without retries of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from langchain_core.language_models import BaseChatModel

from .wire import lean


@asynccontextmanager
async def own_clients(models: Sequence[BaseChatModel]) -> AsyncIterator[list[BaseChatModel]]:
    """Copies of the models as this event loop can use them; what is opened is closed at the end.

    langchain-openai keeps one client a process, which dies with the event loop that used it first,
    and httpx rechecks every connection on every request: a client on aiohttp takes half the
    processor time. A client that the user has given is left as it is. Other models are passed on.
    """
    async with AsyncExitStack() as stack:
        client: Any = None
        ready = []
        for model in models:
            if _is_openai(model):
                client = client or await stack.enter_async_context(_http_client())
                model = _with_client(model, client)
            ready.append(model)
        yield ready


def _is_openai(model: Any) -> bool:
    return (
        hasattr(getattr(model, "root_async_client", None), "with_options")
        and getattr(model, "http_async_client", None) is None
        and hasattr(model, "async_client")
    )


def _http_client() -> Any:
    import openai

    limits = openai.DEFAULT_CONNECTION_LIMITS
    try:
        return openai.DefaultAioHttpClient(limits=limits)
    except (ImportError, RuntimeError):  # no aiohttp, or (openai 2) not what couples it to httpx
        return openai.DefaultAsyncHttpxClient(limits=limits)


def _with_client(model: Any, client: Any) -> BaseChatModel:
    root = lean(model, model.root_async_client.with_options(http_client=client, max_retries=0))
    copied: BaseChatModel = model.model_copy(
        update={"root_async_client": root, "async_client": root.chat.completions}
    )
    return copied
