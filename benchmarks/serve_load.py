"""The load of benchmarks.serve_soak: kinds of requests, each of which knows its right answer."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

MODEL = "base"
MOODS = ["Alegria", "Medo", "Neutro", "Emoção", "Raiva"]
TEXTS = [f"as vendas de {thing} caíram" for thing in ("carros", "maçãs", "livros", "casas")]
KNOWN = 24  # prompts whose answers are asked for one by one before the load begins
TEN_MEGABYTES = 10_000_000

Reply = tuple[int, bytes]


class Crossed(Exception):
    """An answer that belongs to another request."""


class Wrong(Exception):
    """Not the status or not the form that this request has to be answered with."""


class Load:
    """Sends requests to one server. `expected` holds what the known prompts are answered."""

    def __init__(self, port: int, key: str, *, seed: int) -> None:
        self.port, self.key = port, key
        self.rng = random.Random(seed)
        self.expected: list[str] = []
        self._number = 0

    async def learn(self) -> None:
        """Ask the known prompts, one after the other, each alone in its batch."""
        for number in range(KNOWN):
            self.expected.append(_content(await self._chat(_known(number))))

    def pick(self) -> tuple[str, Callable[[Load], Awaitable[None]]]:
        """A kind by its weight."""
        names, weights = zip(*((name, weight) for name, (weight, _) in KINDS.items()), strict=True)
        name = self.rng.choices(names, weights)[0]
        return name, KINDS[name][1]

    def mark(self) -> str:
        """A text that no other request has."""
        self._number += 1
        return f"{self._number}-{self.rng.getrandbits(40):x}"

    async def _chat(self, asked: Mapping[str, Any], **how: Any) -> Reply:
        body = json.dumps({"model": MODEL, **asked}, ensure_ascii=False).encode()
        return await self.send(body, **how)

    async def send(
        self,
        body: bytes,
        *,
        head: Mapping[str, str] | None = None,
        pauses: float = 0.0,
        leave: float | None = None,
    ) -> Reply:
        """Post a body; in ten parts with `pauses` in all; be gone after `leave` seconds."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        headers = {
            "Host": f"127.0.0.1:{self.port}",
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **(head or {}),
        }
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        try:
            writer.write(f"POST /v1/chat/completions HTTP/1.1\r\n{''.join(lines)}\r\n".encode())
            step = len(body) // 10 + 1 if pauses else len(body) or 1
            for start in range(0, len(body), step):
                writer.write(body[start : start + step])
                await writer.drain()
                await asyncio.sleep(pauses / 10)
            if leave is not None:
                await asyncio.sleep(leave)
                return 0, b""
            answer = await asyncio.wait_for(reader.read(), 90)
        finally:
            writer.close()
        top, _, rest = answer.partition(b"\r\n\r\n")
        return int(top.split(b" ", 2)[1]), rest


def _schema(mark: str) -> dict[str, Any]:
    """What is answered with it holds `mark`, and a choice that is the model's own."""
    properties = {"mood": {"enum": MOODS}, "mark": {"const": mark}, "sure": {"type": "boolean"}}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _form(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _messages(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Diga o tom."}, {"role": "user", "content": text}]


def _known(number: int) -> dict[str, Any]:
    text = {"type": "string", "maxLength": 40}
    schema = {"type": "object", "properties": {"why": text, "mood": {"enum": MOODS}}}
    return {
        "messages": _messages(f"{TEXTS[number % 4]} {number} por cento"),
        "response_format": _form({**schema, "required": ["why", "mood"]}),
    }


def _content(reply: Reply) -> str:
    status, body = reply
    _status(status, 200)
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError) as error:
        raise Wrong(f"no completion: {body[:80]!r}") from error
    return str(content)


def _status(found: int, wanted: int) -> None:
    if found != wanted:
        raise Wrong(f"status {found} where {wanted} was due")


def _same_mark(text: str, mark: str) -> None:
    try:
        found = json.loads(text)["mark"]
    except (ValueError, KeyError) as error:
        raise Wrong(f"not in the schema: {text[:80]}") from error
    if found != mark:
        raise Crossed(f"{found} where {mark} was asked")


async def _structured(load: Load) -> None:
    mark = load.mark()
    asked = {"messages": _messages(load.rng.choice(TEXTS)), "response_format": _form(_schema(mark))}
    _same_mark(_content(await load._chat(asked)), mark)


async def _asked_before(load: Load) -> None:
    number = load.rng.randrange(KNOWN)
    text = _content(await load._chat(_known(number)))
    if text != load.expected[number]:
        raise Crossed(f"prompt {number}: {text} where {load.expected[number]} was the answer")


async def _streamed(load: Load, **how: Any) -> None:
    mark = load.mark()
    asked = {"messages": _messages("a bolsa"), "response_format": _form(_schema(mark))}
    status, body = await load._chat({**asked, "stream": True}, **how)
    if status == 0:
        return
    _status(status, 200)
    events = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    if not events or events[-1].strip() != b"[DONE]":
        raise Wrong("a stream that does not end with [DONE]")
    chunks = [json.loads(event) for event in events[:-1]]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    _same_mark("".join(delta.get("content") or "" for delta in deltas), mark)


async def _sampled(load: Load) -> None:
    mark = load.mark()
    asked = {"messages": _messages("a bolsa"), "response_format": _form(_schema(mark)), "n": 2}
    status, body = await load._chat({**asked, "temperature": 1, "seed": 3, "logprobs": True})
    _status(status, 200)
    for choice in json.loads(body)["choices"]:
        _same_mark(choice["message"]["content"], mark)


async def _tool(load: Load) -> None:
    mark = load.mark()
    function = {"name": "note", "parameters": _schema(mark)}
    tools = [{"type": "function", "function": function}]
    status, body = await load._chat(
        {"messages": _messages("a bolsa"), "tools": tools, "tool_choice": "required"}
    )
    _status(status, 200)
    call = json.loads(body)["choices"][0]["message"]["tool_calls"][0]
    _same_mark(call["function"]["arguments"], mark)


async def _slow(load: Load) -> None:
    mark = load.mark()
    asked = {"messages": _messages("a bolsa"), "response_format": _form(_schema(mark))}
    _same_mark(_content(await load._chat(asked, pauses=2.0)), mark)


async def _leaves(load: Load) -> None:
    text = {"type": "string", "minLength": 150}
    schema = {"type": "object", "properties": {"t": text}, "required": ["t"]}
    asked = {"messages": _messages("a bolsa"), "response_format": _form(schema)}
    stream = load.rng.random() < 0.5
    await load._chat({**asked, "stream": stream}, leave=load.rng.uniform(0, 0.3))


def _refused(status: int, body: Callable[[Load], Any], **how: Any) -> Any:
    async def kind(load: Load) -> None:
        made = body(load)
        raw = made if isinstance(made, bytes) else json.dumps({"model": MODEL, **made}).encode()
        found, _ = await load.send(raw, **how)
        _status(found, status)

    return kind


def _laughing(levels: int) -> dict[str, Any]:
    defs: dict[str, Any] = {f"d{levels}": {"type": "integer"}}
    for n in range(levels):
        defs[f"d{n}"] = {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2}
    return {"$ref": "#/$defs/d0", "$defs": defs}


def _killer(load: Load) -> dict[str, Any]:
    """A schema over which llguidance would sit for minutes; a new one each time."""
    patterns = [{"type": "string", "pattern": f"(a|b)*a(a|b){{{n}}}"} for n in range(1, 24)]
    inner = {"allOf": patterns, "title": load.mark()}
    return {"type": "object", "properties": {"a": inner}, "required": ["a"]}


def _hello(**asked: Any) -> dict[str, Any]:
    return {"messages": _messages("x"), "max_tokens": 4, **asked}


# Weight, and what is done: raises Crossed or Wrong.
KINDS: dict[str, tuple[float, Callable[[Load], Awaitable[None]]]] = {
    "structured": (30, _structured),
    "known answer": (30, _asked_before),
    "streamed": (12, _streamed),
    "two samples": (4, _sampled),
    "tool call": (6, _tool),
    "slow client": (2, _slow),
    "leaves": (4, _leaves),
    "malformed": (2, _refused(400, lambda load: b'{"model": "base", "messages": [')),
    "no request": (2, _refused(400, lambda load: {"messages": [], "wizard": 1})),
    "unknown model": (1, _refused(404, lambda load: {**_hello(), "model": "gpt-5"})),
    "wrong key": (2, _refused(401, lambda load: _hello(), head={"Authorization": "Bearer no"})),
    "other site": (
        1,
        _refused(403, lambda load: _hello(), head={"Origin": "http://evil.example"}),
    ),
    "10 MB prompt": (
        0.5,
        _refused(413, lambda load: {"messages": _messages("x" * TEN_MEGABYTES)}),
    ),
    "long prompt": (1, _refused(400, lambda load: {"messages": _messages("as vendas " * 50_000)})),
    "deep schema": (
        1,
        _refused(400, lambda load: _hello(response_format=_form(_laughing(40)))),
    ),
    "costly schema": (
        0.2,
        _refused(400, lambda load: _hello(response_format=_form(_killer(load)))),
    ),
}


async def timed(load: Load) -> tuple[str, float, Exception | None]:
    """One request: its kind, its milliseconds, and what was wrong with it."""
    name, kind = load.pick()
    began = time.monotonic()
    wrong: Exception | None = None
    try:
        await kind(load)
    except (Crossed, Wrong, OSError, TimeoutError, ValueError, LookupError) as error:
        wrong = error
    return name, 1000 * (time.monotonic() - began), wrong
