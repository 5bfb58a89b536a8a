"""What the teacher server answers: a valid answer, and every way in which real ones go wrong.

A fault is one function (asked, settings) -> Reply and one line in FAULTS.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any, Literal

LABELS = ("positive", "negative", "neutral")
CAP = 200  # output tokens where the request names no cap
TOO_LONG = 7200  # seconds until a daily limit is over


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the server behaves. `latency` is drawn between two bounds, in seconds.

    `mix` is the share of requests that meets each fault; what a request meets is decided by seed,
    row and how often the row was asked, so that the order of arrival changes nothing. `usage`
    "random" bills up to a token for each byte that was sent and up to the output cap. From
    `daily_limit` good answers on, all is refused. A poisoned row is never answered well.
    """

    latency: tuple[float, float] = (0.0, 0.0)
    mix: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    usage: Literal["plain", "random"] = "plain"
    retry_after: int = 1
    daily_limit: int | None = None
    poisoned: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = set(self.mix) - set(FAULTS)
        if unknown or sum(self.mix.values()) > 1:
            raise ValueError(f"faults are {', '.join(FAULTS)}, their shares at most 1 together")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request: for which row, the how manieth of it, in which form, and what it costs."""

    row: str
    nth: int
    model: str
    tool: str | None
    key: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What goes over the wire. `end` says what becomes of the connection; `not_before` is when a
    row may be asked again, in seconds since the epoch; `unsent` is how much of the body is kept
    back."""

    body: bytes = b""
    status: int = 200
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    end: Literal["keep", "close", "reset", "never"] = "keep"
    unsent: int = 0
    not_before: float = 0.0
    billed: bool = True
    good: bool = False

    def wire(self) -> bytes:
        """Status line, headers, and as much of the body as is sent."""
        headers = {"Content-Type": self.kind, "Content-Length": str(len(self.body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        body = self.body[: len(self.body) - self.unsent]
        return (
            f"HTTP/1.1 {self.status} {'OK' if self.status == 200 else 'No'}\r\n{head}\r\n".encode()
            + body
        )


def read_request(body: bytes, *, row: str, nth: int, key: str, settings: Settings) -> Asked:
    """The request as the server sees it, and its bill."""
    data = json.loads(body)
    tools = data.get("tools")
    sent = sum(_size(message) for message in data["messages"])
    sent += sum(_size(data[name]) for name in ("tools", "response_format") if data.get(name))
    cap = data.get("max_completion_tokens") or data.get("max_tokens") or CAP
    cached, (taken, written) = 0, (max(1, sent // 4), len(_answer_text(row)) // 4)
    if settings.usage == "random":
        rng = random.Random(f"usage {settings.seed} {row} {nth}")
        taken, written = rng.randint(sent // 4, sent), rng.randint(1, cap)
        cached = rng.choice([0, taken // 2])
    return Asked(
        row=row,
        nth=nth,
        model=data["model"],
        tool=tools[0]["function"]["name"] if tools else None,
        key=key,
        input_tokens=taken,
        cached_tokens=cached,
        output_tokens=min(written, cap),
    )


def _size(part: Any) -> int:
    """UTF-8 bytes of what a model is told: the texts of a message, or a schema as JSON."""
    if isinstance(part, dict) and "role" in part:
        told = [part.get("content") or "", part.get("tool_calls") or ""]
        return sum(len(one.encode()) if isinstance(one, str) else _size(one) for one in told)
    return len(json.dumps(part, ensure_ascii=False, separators=(",", ":")).encode())


def reply_to(asked: Asked, settings: Settings, *, answered: int) -> tuple[str, Reply]:
    """The name of what the request meets ("good", or a fault) and the reply."""
    if settings.daily_limit is not None and answered >= settings.daily_limit:
        return "daily_limit", _too_many(asked, TOO_LONG, str(TOO_LONG))
    if asked.row in settings.poisoned:
        return "poisoned", _off_schema(asked, settings)
    if settings.mix:
        drawn = random.Random(f"fault {settings.seed} {asked.row} {asked.nth}").random()
        for name, share in settings.mix.items():
            drawn -= share
            if drawn < 0:
                return name, FAULTS[name](asked, settings)
    return "good", _good(asked)


def right_label(row: str) -> str:
    """The label of a row, so that a client can tell that it got its own answer."""
    return LABELS[int(row) % 3]


def _answer_text(row: str, label: str | None = None) -> str:
    reasoning = f"The words of row-{row} leave little doubt about what the author felt. " * 2
    return json.dumps({"reasoning": reasoning.strip(), "label": label or right_label(row)})


def _good(asked: Asked) -> Reply:
    return replace(_completion(asked, [_answer_text(asked.row)]), good=True)


def _completion(asked: Asked, texts: list[str], *, finish: str = "stop", **said: Any) -> Reply:
    """A completion that says the texts: as tool calls where there is a tool, else as content."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) or said.pop("content", None),
    }
    if asked.tool and texts:
        calls = [
            {
                "id": f"call_{n}",
                "type": "function",
                "function": {"name": asked.tool, "arguments": text},
            }
            for n, text in enumerate(texts)
        ]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        finish = "tool_calls" if finish == "stop" else finish
    whole = {
        "id": f"chatcmpl-{asked.row}-{asked.nth}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": f"{asked.model}-local",
        "choices": [
            {"index": 0, "message": message | {"refusal": None} | said, "finish_reason": finish}
        ],
        "usage": {
            "prompt_tokens": asked.input_tokens,
            "completion_tokens": asked.output_tokens,
            "total_tokens": asked.input_tokens + asked.output_tokens,
            "prompt_tokens_details": {"cached_tokens": asked.cached_tokens},
        },
    }
    return Reply(body=json.dumps(whole).encode())


def _failure(status: int, message: str, **fields: Any) -> Reply:
    told = {"error": {"message": message, "type": "server_error", "code": None}}
    return Reply(status=status, body=json.dumps(told).encode(), billed=False, **fields)


def _too_many(asked: Asked, seconds: float, header: str) -> Reply:
    return _failure(
        429,
        f"Rate limit reached for {asked.key}",
        headers={"Retry-After": header},
        not_before=time.time() + seconds,
    )


def _rate_limit(asked: Asked, settings: Settings) -> Reply:
    return _too_many(asked, settings.retry_after, str(settings.retry_after))


def _rate_limit_date(asked: Asked, settings: Settings) -> Reply:
    until = math.ceil(time.time() + settings.retry_after)
    return _too_many(asked, until - time.time(), formatdate(until, usegmt=True))


def _server_error(asked: Asked, settings: Settings) -> Reply:
    return _failure(500, f"The server had an error with the key {asked.key}")


def _unavailable(asked: Asked, settings: Settings) -> Reply:
    return Reply(status=503, body=b"upstream connect error", kind="text/plain", billed=False)


def _reset(asked: Asked, settings: Settings) -> Reply:
    return Reply(end="reset")


def _hang(asked: Asked, settings: Settings) -> Reply:
    return Reply(end="never")


def _truncated(asked: Asked, settings: Settings) -> Reply:
    whole = _good(asked)
    return replace(whole, body=whole.body[: len(whole.body) // 2], good=False)


def _cut(asked: Asked, settings: Settings) -> Reply:
    whole = _good(asked)
    return replace(whole, unsent=len(whole.body) // 2, end="close", good=False)


def _off_schema(asked: Asked, settings: Settings) -> Reply:
    return _completion(asked, [_answer_text(asked.row, "furious")])


def _empty(asked: Asked, settings: Settings) -> Reply:
    return _completion(asked, [], content="")


def _refusal(asked: Asked, settings: Settings) -> Reply:
    return _completion(asked, [], refusal="I'm sorry, I can't help with that.")


def _twice(asked: Asked, settings: Settings) -> Reply:
    return _completion(asked, [_answer_text(asked.row)] * 2)


def _length(asked: Asked, settings: Settings) -> Reply:
    text = _answer_text(asked.row)
    return _completion(asked, [text[: len(text) // 2]], finish="length")


def _html(asked: Asked, settings: Settings) -> Reply:
    page = b"<!doctype html><html><body><h1>Checking your browser</h1></body></html>"
    return Reply(body=page, kind="text/html", billed=False)


FAULTS: dict[str, Callable[[Asked, Settings], Reply]] = {
    "rate_limit": _rate_limit,  # 429, Retry-After in seconds
    "rate_limit_date": _rate_limit_date,  # the same as an HTTP date
    "server_error": _server_error,  # 500 whose text repeats the key
    "unavailable": _unavailable,  # 503, plain text
    "reset": _reset,  # the connection is reset after the request was read, and billed
    "hang": _hang,  # read and billed, never answered
    "truncated": _truncated,  # half the JSON in a whole body
    "cut": _cut,  # the connection closes before Content-Length is reached
    "off_schema": _off_schema,  # valid JSON, a label that the schema does not know
    "empty": _empty,
    "refusal": _refusal,
    "twice": _twice,  # the JSON twice in one content; two calls of the tool
    "length": _length,  # half the answer, finish_reason "length"
    "html": _html,  # a page, status 200
}
