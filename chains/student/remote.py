"""An OpenAI-compatible server in the place of an engine: vLLM, llama-server, Ollama, our own."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from .card import StudentError, StudentTimeout
from .options import check_numbers
from .row import Answer

if TYPE_CHECKING:
    import httpx

_LOOPS: dict[int, asyncio.AbstractEventLoop] = {}  # by process: a thread does not survive a fork
_LOCK = threading.Lock()
_CONNECT = 10.0  # seconds
_MOST_TOLD = 200  # characters of a server's complaint


class Remote:
    """Asks the model `name` at `base_url`; the server's grammar holds the answer to a schema.

    The confidences that `understudy serve` gives beside its answers are handed on.

    It may be anybody's, so nothing it says is trusted: an answer that is no JSON stays text, which
    parsers refuse. JSON is rewritten compactly and handed on whole; other text as it comes.
    """

    def __init__(self, base_url: str, name: str, *, api_key: str | None = None) -> None:
        self.base_url, self.name = base_url.rstrip("/"), name
        self._key = api_key
        self._clients: dict[int, httpx.AsyncClient] = {}

    def submit(
        self,
        prompt: Sequence[Mapping[str, str]],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        timeout: float | None = None,
        on_text: Callable[[str], None] | None = None,
        **_: Any,
    ) -> Future[Answer]:
        """Ask; the future holds the Answer, without probabilities. `prompt` is template messages.

        Raises StudentError for an option that no answer can have. The future fails with
        StudentTimeout after `timeout` seconds, and with StudentError where the server cannot be
        reached, refuses, or answers something else than a chat completion. To cancel it closes the
        connection.
        """
        check_numbers(max_tokens=max_tokens, temperature=temperature, seed=seed, timeout=timeout)
        body: dict[str, Any] = {
            "model": self.name,
            "messages": list(prompt),
            "temperature": temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        given = {"max_tokens": max_tokens, "seed": seed, "stop": list(stop) or None}
        body.update({name: value for name, value in given.items() if value is not None})
        if schema is not None:
            form = {"name": "answer", "schema": dict(schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        asking = self._ask(body, timeout, on_text, structured=schema is not None)
        return asyncio.run_coroutine_threadsafe(asking, _loop())

    async def _ask(
        self,
        body: Mapping[str, Any],
        timeout: float | None,
        on_text: Callable[[str], None] | None,
        *,
        structured: bool,
    ) -> Answer:
        import httpx

        try:
            async with asyncio.timeout(timeout):
                answer = await self._answer(body, None if structured else on_text)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise StudentTimeout(
                f"{self.base_url} did not answer in time; give a longer timeout"
            ) from error
        except httpx.HTTPError as error:
            raise StudentError(
                f"{self.base_url} cannot be reached ({type(error).__name__}); start the server or "
                "correct base_url"
            ) from error
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise StudentError(f"{self.base_url} answers with no chat completion") from error
        if structured and on_text is not None:
            on_text(answer.text)
        return answer

    async def _answer(
        self, body: Mapping[str, Any], on_text: Callable[[str], None] | None
    ) -> Answer:
        text, finish = "", "stop"
        usage: dict[str, Any] = {}
        sure: dict[str, float] = {}
        async for event in self._events(body):
            usage = event.get("usage") or usage
            for choice in event.get("choices") or ():
                part = choice["delta"].get("content") or ""
                finish = choice.get("finish_reason") or finish
                sure = _probabilities(choice.get("confidence")) or sure
                text += part
                if part and on_text is not None:
                    on_text(part)
        return Answer(
            text=_compact(text) if "response_format" in body else text,
            pieces=(),
            probabilities=(),
            input_tokens=int(usage.get("prompt_tokens", 0)),
            output_tokens=int(usage.get("completion_tokens", 0)),
            finish=str(finish),
            sure=sure,
        )

    async def _events(self, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        url = f"{self.base_url}/chat/completions"
        async with self._client().stream("POST", url, json=body, headers=headers) as response:
            if response.status_code >= 400:
                raise self._refused(response.status_code, await response.aread())
            async for line in response.aiter_lines():
                data = line.removeprefix("data:").strip()
                if line.startswith("data:") and data != "[DONE]":
                    event = json.loads(data)
                    if "error" in event:
                        raise self._refused(response.status_code, data.encode())
                    yield event

    def _client(self) -> httpx.AsyncClient:
        import httpx

        if os.getpid() not in self._clients:
            waits = httpx.Timeout(None, connect=_CONNECT)
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
            self._clients[os.getpid()] = httpx.AsyncClient(timeout=waits, limits=limits)
        return self._clients[os.getpid()]

    def _refused(self, status: int, content: bytes) -> StudentError:
        try:
            told = json.loads(content)["error"]
            message = told["message"] if isinstance(told, dict) else told
        except (ValueError, KeyError, TypeError):
            message = content[:_MOST_TOLD].decode(errors="replace")
        line = " ".join(str(message).split())[:_MOST_TOLD]
        if self._key:
            line = line.replace(self._key, "***")
        return StudentError(f"{self.base_url} refuses ({status}): {line}")


@functools.lru_cache(maxsize=64)
def remote(base_url: str, name: str, api_key: str | None) -> Remote:
    """The one Remote of this process for a server's model: connections are kept and shared."""
    return Remote(base_url, name, api_key=api_key)


def _probabilities(told: Any) -> dict[str, float]:
    """The probabilities by answer path that `understudy serve` tells; a server may say anything."""
    if not isinstance(told, dict):
        return {}
    known = ((path, value) for path, value in told.items() if type(value) in (int, float))
    return {str(path): float(value) for path, value in known if 0 <= value <= 1}


def _compact(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        return text


def _loop() -> asyncio.AbstractEventLoop:
    """The loop of this process's own thread, in which all requests wait."""
    with _LOCK:
        if os.getpid() not in _LOOPS:
            loop = _LOOPS[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, daemon=True, name="student-remote").start()
        return _LOOPS[os.getpid()]
