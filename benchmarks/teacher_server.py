"""An OpenAI-compatible teacher in a process of its own, which misbehaves as asked and keeps books.

    python -m benchmarks.teacher_server --port 0 --latency 0.05 --mix reset=0.1,hang=0.05 --seed 1

Prints its port. POST /v1/chat/completions answers `teacher_task` by the row's number in the prompt,
through response_format or tools. GET /ledger gives what it counted: requests, answers, tokens
billed per model, what was met how often, and per row [requests, good answers]. POST /reset, with
a JSON object of new settings, begins anew. It listens on 127.0.0.1 alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.teacher_replies import Asked, Reply, Settings, read_request, reply_to

_ROW = re.compile(rb"row-(\d+)")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_KEY = re.compile(rb"authorization: *(?:bearer *)?([^\r\n]*)", re.IGNORECASE)
EARLY = 0.02  # seconds by which a clock may be off


class Ledger:
    """What the server has counted since it began or was reset."""

    def __init__(self) -> None:
        self.requests = self.answers = self.in_flight = self.most_in_flight = self.too_early = 0
        self.billed: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.met: Counter[str] = Counter()
        self.rows: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        self.keys: set[str] = set()
        self.not_before: dict[str, float] = {}

    def begin(self, row: str, key: str) -> int:
        """Count a request; the how manieth of its row it is."""
        self.requests += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.too_early += time.time() < self.not_before.get(row, 0.0) - EARLY
        self.rows[row][0] += 1
        self.keys.add(key)
        return self.rows[row][0]

    def end(self, asked: Asked, reply: Reply, met: str) -> None:
        """Count what it met, and bill it."""
        self.in_flight -= 1
        self.met[met] += 1
        self.answers += reply.end != "never"
        self.rows[asked.row][1] += reply.good
        if reply.not_before:
            self.not_before[asked.row] = reply.not_before
        if reply.billed:
            bill = self.billed[asked.model]
            bill["input"] += asked.input_tokens
            bill["cached"] += asked.cached_tokens
            bill["output"] += asked.output_tokens

    def shown(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            name: sorted(value) if isinstance(value, set) else value
            for name, value in vars(self).items()
            if name != "not_before"
        }


class Teacher:
    """Settings and books, shared by all connections."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.ledger = settings, Ledger()

    def ask(self, head: bytes, body: bytes) -> tuple[Ledger, Asked]:
        """A request arrives: which row, and into which books its answer goes."""
        found = _ROW.findall(body)
        row = str(int(found[-1])) if found else "0"
        key = _KEY.search(head)
        told = key.group(1).decode() if key else ""
        nth = self.ledger.begin(row, told)
        return self.ledger, read_request(body, row=row, nth=nth, key=told, settings=self.settings)

    def control(self, head: bytes, body: bytes) -> Reply:
        """GET /ledger, GET /requests (their number alone) or POST /reset."""
        if head.startswith(b"POST /reset"):
            changes = json.loads(body or b"{}")
            self.settings, self.ledger = Settings(**changes), Ledger()
        shown = self.ledger.shown() if b"/requests" not in head[:20] else self.ledger.requests
        return Reply(body=json.dumps(shown).encode())


class Connection(asyncio.Protocol):
    """Reads requests, and answers each after the latency."""

    transport: asyncio.Transport

    def __init__(self, teacher: Teacher) -> None:
        self.teacher, self.read = teacher, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.read += data
        while (at := self.read.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self.read, 0, at)
            end = at + 4 + (int(length.group(1)) if length else 0)
            if len(self.read) < end:
                return
            head, body, self.read = self.read[:at], self.read[at + 4 : end], self.read[end:]
            self._receive(head, body)

    def _receive(self, head: bytes, body: bytes) -> None:
        if b"/chat/completions" not in head[:200]:
            self.transport.write(self.teacher.control(head, body).wire())
            return
        ledger, asked = self.teacher.ask(head, body)
        low, high = self.teacher.settings.latency
        position = (int(asked.row) * 7919 + asked.nth * 104729) % 1000 / 1000
        asyncio.get_running_loop().call_later(
            low + (high - low) * position, self._answer, ledger, asked
        )

    def _answer(self, ledger: Ledger, asked: Asked) -> None:
        good = ledger.met["good"]
        met, reply = reply_to(asked, self.teacher.settings, answered=good)
        ledger.end(asked, reply, met)
        if self.transport.is_closing() or reply.end == "never":
            return
        if reply.end == "reset":
            linger = struct.pack("ii", 1, 0)  # an RST instead of a FIN
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger
            )
            self.transport.abort()
            return
        self.transport.write(reply.wire())
        if reply.end == "close":
            self.transport.close()


class Served:
    """The server as a client of its books sees it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/v1"

    def ledger(self) -> dict[str, Any]:
        """What the server has counted."""
        books: dict[str, Any] = self._call("ledger", None)
        return books

    def requests(self) -> int:
        """How many it has received, which is quicker to say."""
        return int(self._call("requests", None))

    def billed(self, kind: str) -> int:
        """Tokens of a kind (input, cached, output) of all models."""
        return sum(bill[kind] for bill in self.ledger()["billed"].values())

    def reset(self, **settings: Any) -> None:
        """Begin anew, with these settings (see Settings) and the defaults for all others."""
        self._call("reset", json.dumps(settings).encode())

    def _call(self, path: str, data: bytes | None) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}/{path}", data, timeout=30) as answer:
            return json.loads(answer.read())


@contextlib.contextmanager
def serving(**settings: Any) -> Iterator[Served]:
    """A server in a process of its own, for as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.teacher_server", "--port", "0", "--attached"]
    root, pipe = Path(__file__).parents[1], subprocess.PIPE
    with subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            served = Served(int(process.stdout.readline()))
            served.reset(**settings)
            yield served
        finally:
            process.kill()


async def serve(settings: Settings, port: int, *, attached: bool) -> None:
    """Until the process is killed or, where it is attached, its standard input ends."""
    teacher = Teacher(settings)
    if attached:  # so that it does not outlive whoever started it
        asyncio.get_running_loop().add_reader(sys.stdin, lambda: sys.stdin.read() or sys.exit())
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(teacher), "127.0.0.1", port, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Parse and serve."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds until an answer")
    parser.add_argument("--mix", default="", help="fault=share,..")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--daily-limit", type=int)
    parser.add_argument("--attached", action="store_true", help="end when standard input does")
    asked = parser.parse_args()
    pairs = [pair.split("=") for pair in asked.mix.split(",") if pair]
    settings = Settings(latency=(asked.latency, asked.latency), seed=asked.seed)
    try:
        mix = {name: float(share) for name, share in pairs}
        settings = replace(settings, mix=mix, daily_limit=asked.daily_limit)
    except ValueError as error:
        parser.error(str(error))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(settings, asked.port, attached=asked.attached))


if __name__ == "__main__":
    main()
