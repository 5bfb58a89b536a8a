"""Calls that are sent as data say and bring what langchain-openai's own calls do."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from pydantic import SecretStr

from understudy.distill.labelling.transport import own_clients
from understudy.distill.labelling.troubles import trouble_of
from understudy.distill.labelling.wire import lean

ROOT = Path(__file__).parents[1]
SCHEMA = {
    "title": "Sentiment",
    "type": "object",
    "properties": {"reasoning": {"type": "string"}, "label": {"type": "string"}},
    "required": ["reasoning", "label"],
}


@pytest.fixture(scope="module")
def served() -> Iterator[SimpleNamespace]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        patch.setenv("NO_PROXY", "127.0.0.1")
        with importlib.import_module("benchmarks.teacher_server").serving() as server:
            yield server


def chat(served: SimpleNamespace, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model="gpt-4o-mini",
        base_url=served.url,
        api_key=SecretStr("sk-one"),
        max_retries=0,
        **options,
    )


def asked(served: SimpleNamespace, model: Any, method: str, *, as_data: bool, **mix: Any) -> Any:
    """The reply to row 4, or the error, of a server that begins anew."""
    served.reset(**mix)

    async def ask() -> Any:
        async with own_clients([model]) as models:
            ready: Any = models[0]
            if not as_data:  # the same client, as the package uses it
                root = ready.root_async_client._whole
                clients = {"root_async_client": root, "async_client": root.chat.completions}
                ready = ready.model_copy(update=clients)
            held = ready.with_structured_output(SCHEMA, method=method, include_raw=True)
            return (await held.ainvoke("row-4: fine"))["raw"]

    try:
        return asyncio.run(ask())
    except Exception as error:  # noqa: BLE001 - compared with the other's
        return error


def facts(reply: AIMessage) -> dict[str, Any]:
    told = {key: value for key, value in reply.response_metadata.items() if key != "headers"}
    return {
        "content": reply.content,
        "tool_calls": reply.tool_calls,
        "usage": reply.usage_metadata,
        "finish": told["finish_reason"],
        "model": told["model_name"],
        "refusal": reply.additional_kwargs.get("refusal"),
        "id": told["id"],
    }


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("mix", [{}, {"refusal": 1.0}, {"twice": 1.0}, {"empty": 1.0}])
def test_a_reply_is_the_same_as_data(
    served: SimpleNamespace, method: str, mix: dict[str, float]
) -> None:
    bare = chat(served)
    as_data = asked(served, bare, method, as_data=True, mix=mix)
    typed = asked(served, bare, method, as_data=False, mix=mix)
    assert facts(as_data) == facts(typed)
    assert served.ledger()["keys"] == ["sk-one"]


@pytest.mark.parametrize(
    ("fault", "kind", "billed"),
    [
        ("rate_limit", "again", False),
        ("server_error", "again", False),
        ("cut", "again", True),
        ("reset", "again", True),
        ("truncated", "again", True),
        ("html", "again", True),
    ],
)
def test_what_goes_wrong_is_known_for_what_it_is(
    served: SimpleNamespace, fault: str, kind: str, billed: bool
) -> None:
    error = asked(served, chat(served), "json_schema", as_data=True, mix={fault: 1.0})
    trouble = trouble_of(error)
    assert (trouble.kind, trouble.billed) == (kind, billed)
    assert trouble.wait == (1.0 if fault == "rate_limit" else None)


def test_a_models_own_body_headers_and_timeout_are_sent(served: SimpleNamespace) -> None:
    capped = chat(served, extra_body={"max_tokens": 3}, include_response_headers=True)
    reply = asked(served, capped, "json_schema", as_data=True)
    assert reply.usage_metadata["output_tokens"] == 3
    assert reply.response_metadata["headers"]["content-type"] == "application/json"

    hasty = chat(served, timeout=0.05)
    error = asked(served, hasty, "json_schema", as_data=True, latency=[1.0, 1.0])
    assert "timed out" in str(error)


def test_only_the_packages_own_classes_are_asked_for_data(served: SimpleNamespace) -> None:
    class Other(ChatOpenAI):
        """Reads more than its parent does from the typed answer, as ChatDeepSeek does."""

    other = Other(model="x", base_url=served.url, api_key=SecretStr("sk-one"))
    assert lean(other, other.root_async_client) is other.root_async_client


def test_a_deployment_of_azure_is_asked_at_its_own_address(served: SimpleNamespace) -> None:
    served.reset()
    model = AzureChatOpenAI(
        azure_endpoint=f"http://127.0.0.1:{served.port}",
        azure_deployment="mine",
        api_version="2024-10-21",
        api_key=SecretStr("sk-two"),
    )

    async def ask() -> Any:
        async with own_clients([model]) as models:
            ready: Any = models[0]
            seen: list[str] = []
            ready.root_async_client._client.event_hooks["request"].append(_noting(seen))
            await ready.ainvoke("row-4: fine")
            return seen

    (url,) = asyncio.run(ask())
    assert url.endswith("/openai/deployments/mine/chat/completions?api-version=2024-10-21")


def _noting(seen: list[str]) -> Any:
    async def note(request: Any) -> None:
        seen.append(str(request.url))

    return note
