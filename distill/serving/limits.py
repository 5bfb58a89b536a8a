"""What one request to the server may cost, and how a request that is not served is told so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class ServeError(Exception):
    """A server that cannot start: what, which one, what to do."""


@dataclass(frozen=True)
class Limits:
    """The server's limits. Sizes are bytes or counts, times seconds.

    `rows` are answers being written or waiting for it, in all requests together; `seconds` is what
    a request may take from its last byte on; `silence` how long a connection may hold without a
    whole request's head. `compile_memory` is what compiling a schema may take beside the tokenizer.
    """

    body: int = 2 * 2**20
    body_seconds: float = 20.0
    messages: int = 256
    prompt_tokens: int = 32_768
    choices: int = 8
    tools: int = 64
    schema: int = 64 * 2**10
    schema_depth: int = 32
    schema_nodes: int = 10_000
    compile_seconds: float = 2.0
    compile_memory: int = 2**30
    rows: int = 256
    seconds: float = 120.0
    silence: float = 20.0
    connections: int = 1024


class Refusal(Exception):
    """A request that is not served: its HTTP status and what to do, as OpenAI's API says it."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param

    @property
    def body(self) -> dict[str, Any]:
        """The error object of OpenAI's API."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        if self.status == 429:
            kind = "rate_limit_error"
        return {
            "error": {
                "message": self.message,
                "type": kind,
                "param": self.param,
                "code": self.code,
            }
        }

    @property
    def headers(self) -> dict[str, str]:
        """What goes with the status."""
        extra = {
            401: {"WWW-Authenticate": "Bearer"},
            405: {"Allow": "GET, POST"},
            408: {"Connection": "close"},
            413: {"Connection": "close"},
            429: {"Retry-After": "1"},
        }
        return extra.get(self.status, {})
