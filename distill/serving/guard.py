"""Who is let in: the Host, Origin and key of a request, and the size and pace of its body."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, TypeAlias

from .limits import Limits, Refusal

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]
Seen: TypeAlias = Callable[[str, int, float], None]

_ALWAYS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_CHAT = "/v1/chat/completions"  # the one route that reads its body itself
_OPEN = "/health"  # a load balancer has no key
_DISCARDED = 16  # times the largest body: what is still read of a longer one, so as to answer it
_GONE = 499  # nginx's name for a client that did not wait


class Guard:
    """An ASGI application in front of another: other sites' pages and strangers do not get through.

    `hosts` are the Host headers that this server answers to, None for any; `key` is what the
    bearer token must be, None for no key. `seen` is told path, status and seconds of every request.
    """

    def __init__(
        self,
        app: Application,
        *,
        hosts: Collection[str] | None,
        key: str | None,
        limits: Limits,
        seen: Seen,
    ) -> None:
        self._app, self._hosts, self._key, self._limits = app, hosts, key, limits
        self._seen = seen

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve, refuse, or end what has taken too long: a client that reads nothing, too."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), _GONE

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_ALWAYS]
            await send(message)

        longest = 2 * (self._limits.seconds + self._limits.body_seconds)
        try:
            async with asyncio.timeout(longest):
                await self._checked(scope, receive, sent)
        except TimeoutError:
            if status == _GONE:
                await refuse(Refusal(504, "this took too long"), sent)
        finally:
            self._seen(scope["path"], status, time.monotonic() - began)

    async def _checked(self, scope: Message, receive: Receive, send: Send) -> None:
        refusal = None
        try:
            self._check(scope)
        except Refusal as found:
            refusal = found
        if refusal is not None or scope["path"] != _CHAT:
            with contextlib.suppress(Refusal):  # who is cut off while sending reads no answer
                await body_of(scope, receive, self._limits)
        if refusal is not None:
            await refuse(refusal, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, scope: Message) -> None:
        hosts = _headers(scope, b"host")
        if len(hosts) != 1 or (self._hosts is not None and hosts[0].lower() not in self._hosts):
            raise Refusal(421, "this is not the host of this server")
        own = {f"{scheme}://{hosts[0].lower()}" for scheme in ("http", "https")}
        foreign = any(origin.lower() not in own for origin in _headers(scope, b"origin"))
        sites = set(_headers(scope, b"sec-fetch-site")) - {"none", "same-origin"}
        if foreign or sites:
            raise Refusal(403, "another site's page asks")
        if self._key is not None and scope["path"] != _OPEN:
            self._check_key(_headers(scope, b"authorization"), self._key)

    def _check_key(self, given: list[str], key: str) -> None:
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        equal = hmac.compare_digest(token.strip().encode(), key.encode())
        if not (equal and scheme.lower() == "bearer"):
            raise Refusal(
                401,
                "the API key is missing or wrong; send it as Authorization: Bearer KEY",
                code="invalid_api_key",
            )


async def refuse(refusal: Refusal, send: Send) -> None:
    """Answer with a refusal, as an ASGI application does."""
    body = json.dumps(refusal.body).encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **refusal.headers,
    }
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


async def body_of(scope: Message, receive: Receive, limits: Limits) -> bytes:
    """A request's body. Raises Refusal where it is too long, too slow, or breaks off.

    A body that is too long is read on for a while, and thrown away: who is cut off in the middle of
    sending does not read the answer.
    """
    declared = "".join(_headers(scope, b"content-length"))
    too_long = declared.isdigit() and (len(declared) > 12 or int(declared) > limits.body)
    body, length, more = bytearray(), 0, True
    try:
        async with asyncio.timeout(limits.body_seconds):
            while more and length <= _DISCARDED * limits.body:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(_GONE, "the client went away")
                part, more = message.get("body", b""), message.get("more_body", False)
                length += len(part)
                too_long = too_long or length > limits.body
                if not too_long:
                    body += part
    except TimeoutError:
        raise Refusal(408, f"the body took more than {limits.body_seconds:g} seconds") from None
    if too_long:
        raise Refusal(413, f"the body has more than {limits.body} bytes; send less")
    return bytes(body)


def _headers(scope: Message, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
