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
from .foreign import (
    Refused,
    cannot_hold,
    check_address,
    event_lines,
    model_names,
    only_blanks,
    refusal,
    schema_forms,
)
from .options import check_numbers
from .row import Answer

if TYPE_CHECKING:
    import httpx

_LOOPS: dict[int, asyncio.AbstractEventLoop] = {}  # by process: a thread does not survive a fork
_LOCK = threading.Lock()
_CONNECT = 10.0  # seconds
_MOST_TOKENS = 2**53  # what a count of tokens stays below
_NO_COMPLETION = (
    *(ValueError, KeyError, TypeError, IndexError, AttributeError),
    *(OverflowError, RecursionError),
)
_IDLE = 2.0  # seconds: servers close what rests for 5, and who asks just then is cut off


class Remote:
    """Asks the model `name` at `base_url`; the server's grammar holds the answer to a schema.

    `base_url` may end in #NAME where the server calls the model otherwise. What a server refuses by
    name is asked otherwise, and so from then on: a schema in llama-cpp-python's form, no count of
    tokens. The confidences that `understudy serve` gives beside its answers are handed on.

    It may be anybody's, so nothing it says is trusted: an answer that is no JSON stays text, which
    parsers refuse. JSON is rewritten compactly and handed on whole; other text as it comes.
    Raises StudentError for a `base_url` that is no http(s) address or holds a password.
    """

    def __init__(self, base_url: str, name: str, *, api_key: str | None = None) -> None:
        check_address(base_url, name)
        address, _, served = base_url.partition("#")
        self.base_url, self.name = address.rstrip("/"), served or name
        self._key = api_key
        self._form = 0  # which of schema_forms this server takes
        self._counts = True  # whether it takes stream_options
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
        }
        given = {"max_tokens": max_tokens, "seed": seed, "stop": list(stop) or None}
        body.update({name: value for name, value in given.items() if value is not None})
        asking = self._ask(body, schema, timeout, on_text)
        return asyncio.run_coroutine_threadsafe(asking, _loop())

    async def _ask(
        self,
        body: Mapping[str, Any],
        schema: Mapping[str, Any] | None,
        timeout: float | None,
        on_text: Callable[[str], None] | None,
    ) -> Answer:
        import httpx

        try:
            async with asyncio.timeout(timeout):
                answer = await self._taken(body, schema, None if schema is not None else on_text)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise StudentTimeout(
                f"{self.base_url} did not answer in time; give a longer timeout"
            ) from error
        except (httpx.ConnectError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise StudentError(
                f"{self.base_url} cannot be reached ({type(error).__name__}); start the server or "
                "correct base_url"
            ) from error
        except httpx.HTTPError as error:
            raise self._broken(type(error).__name__) from error
        except _NO_COMPLETION as error:
            raise StudentError(f"{self.base_url} answers with no chat completion") from error
        if schema is not None and on_text is not None:
            on_text(answer.text)
        return answer

    async def _taken(
        self,
        body: Mapping[str, Any],
        schema: Mapping[str, Any] | None,
        on_text: Callable[[str], None] | None,
    ) -> Answer:
        """The answer to what this server takes: what it refuses by name is asked otherwise."""
        form, counts = self._form, self._counts
        while True:
            asked = dict(body)
            if schema is not None:
                asked["response_format"] = schema_forms(schema)[form]
            if counts:
                asked["stream_options"] = {"include_usage": True}
            try:
                answer = await self._answer(asked, on_text)
            except Refused as refused:
                form, counts = await self._otherwise(refused, schema, form, counts)
            else:  # only now is it known to be taken
                self._form, self._counts = max(form, self._form), counts and self._counts
                return answer

    async def _otherwise(
        self, refused: Refused, schema: Mapping[str, Any] | None, form: int, counts: bool
    ) -> tuple[int, bool]:
        """The form, and whether counts are asked for, after a refusal; raises any that is final."""
        if counts and refused.names("stream_options"):
            return form, False
        if schema is None or not refused.names("response_format"):
            raise await self._advised(refused) from None
        if form + 1 == len(schema_forms(schema)):
            raise cannot_hold(self.base_url, refused) from None
        return form + 1, counts

    async def _advised(self, refused: Refused) -> Refused:
        """The refusal of a name, with the names that the server has."""
        import httpx

        if refused.status != 404:
            return refused
        try:
            url = f"{self.base_url}/models"
            told = await self._client().get(url, headers=self._headers, timeout=_CONNECT)
        except httpx.HTTPError:
            return refused
        names = [name for name in model_names(told.content, self._key) if name != self.name]
        if told.status_code != 200 or not names:
            return refused
        advice = f"; it serves {', '.join(names)}: say which by base_url={self.base_url}#NAME"
        return Refused(self.base_url, refused.status, refused.told, advice)

    async def _answer(
        self, body: Mapping[str, Any], on_text: Callable[[str], None] | None
    ) -> Answer:
        text, finish = "", ""
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
        if not finish:  # it was stopped, or died politely
            raise self._broken("its answer has no end")
        if "response_format" in body and (endless := only_blanks(self.base_url, text, finish)):
            raise endless
        return Answer(
            text=_compact(text) if "response_format" in body else text,
            pieces=(),
            probabilities=(),
            input_tokens=_tokens(usage.get("prompt_tokens")),
            output_tokens=_tokens(usage.get("completion_tokens")),
            finish=str(finish),
            sure=sure,
        )

    async def _events(self, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        url = f"{self.base_url}/chat/completions"
        async with self._client().stream("POST", url, json=body, headers=self._headers) as response:
            if response.status_code >= 400:
                content = await response.aread()
                raise refusal(self.base_url, response.status_code, content, self._key)
            async for line in event_lines(response.aiter_bytes()):
                data = line.removeprefix(b"data:").strip()
                if not line.startswith(b"data:") or data in (b"", b"[DONE]"):
                    continue
                event = json.loads(data.decode(errors="replace"))
                if event.get("error"):  # some say "error": null in every event
                    raise refusal(self.base_url, response.status_code, data, self._key)
                yield event

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def _broken(self, how: str) -> StudentError:
        return StudentError(
            f"{self.base_url} broke off ({how}): it has died, or takes fewer at once; see its log, "
            "then ask again"
        )

    def _client(self) -> httpx.AsyncClient:
        import httpx

        if os.getpid() not in self._clients:
            waits = httpx.Timeout(None, connect=_CONNECT)
            limits = httpx.Limits(
                max_connections=None, max_keepalive_connections=64, keepalive_expiry=_IDLE
            )
            self._clients[os.getpid()] = httpx.AsyncClient(timeout=waits, limits=limits)
        return self._clients[os.getpid()]


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


def _tokens(told: Any) -> int:
    """A count of tokens; 0 where none is told. Raises ValueError for what counts nothing."""
    count = int(told or 0)
    if not 0 <= count < _MOST_TOKENS:
        raise ValueError(f"{told!r} tokens")
    return count


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
