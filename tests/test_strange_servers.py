"""Whatever a server says, a ChatStudent answers or says in one line what is wrong."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.chains.student import ChatStudent
from understudy.chains.student.foreign import event_lines
from understudy.distill.serving.replies import event

ENDS = "\u2028 \u2029 \x85 \x0b \x0c \x1c \x1d \x1e"  # ends of lines to str.splitlines alone
KEY = "sk-of-these-tests-0123456789"

Asked = dict[str, Any]


class Stranger(BaseHTTPRequestHandler):
    """Somebody's server: `says` maps what is asked to a status and the pieces of an answer."""

    says: Callable[[Asked], tuple[int, list[bytes]]]
    models: bytes = b"{}"
    asked: ClassVar[list[Asked]] = []

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(6, 1, 1)  # TCP_NODELAY: pieces go out as they are

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        status, pieces = type(self).says(body)
        self.send_response(status)
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.models)

    def log_message(self, *_: Any) -> None:
        """Not to the test's output."""


@pytest.fixture
def stranger() -> Iterator[ChatStudent]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Stranger.asked.clear()
    yield ChatStudent(model="x", base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key=KEY)
    server.shutdown()
    server.server_close()


def chunk(text: str, *, finish: str | None = "stop", **beside: Any) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": finish}], **beside}


def stream(*chunks: dict[str, Any]) -> bytes:
    """As most servers write it: what is no ASCII stands as it is."""
    return b"".join(
        b"data: " + json.dumps(one, ensure_ascii=False).encode() + b"\n\n" for one in chunks
    )


def always(status: int, *pieces: bytes) -> Callable[[Asked], tuple[int, list[bytes]]]:
    return staticmethod(lambda _: (status, list(pieces)))  # type: ignore[return-value]


def test_ends_of_lines_that_json_does_not_know_stand_in_an_answer(stranger: ChatStudent) -> None:
    text = f"ação {ENDS}"
    said = stream(chunk(text, finish=None), chunk("!"))
    held = stranger.with_structured_output({"title": "A", "type": "object", "properties": {}})
    Stranger.says = always(200, *(bytes([one]) for one in said))
    assert stranger.invoke("oi").content == text + "!"
    Stranger.says = always(200, said.replace(b"\n", b"\r\n"))
    assert stranger.invoke("oi").content == text + "!"
    Stranger.says = always(200, stream(chunk(json.dumps({"a": text}, ensure_ascii=False))))
    assert held.invoke("oi") == {"a": text}


@given(st.lists(st.text().map(lambda text: text.replace("\n", "")), min_size=1), st.data())
def test_chunks_may_cut_a_stream_anywhere(lines: list[str], data: st.DataObject) -> None:
    whole = "\r\n".join(lines).encode()
    cuts = data.draw(st.lists(st.integers(0, len(whole))).map(sorted))
    ends = [*cuts, len(whole)]

    async def chunks() -> AsyncIterator[bytes]:
        for start, end in zip([0, *cuts], ends, strict=True):
            yield whole[start:end]

    async def read() -> list[bytes]:
        return [line async for line in event_lines(chunks())]

    last = lines[-1].encode().removesuffix(b"\r")
    assert asyncio.run(read()) == [*(line.encode() for line in lines[:-1]), last]


@given(st.text())
def test_our_own_events_are_one_line_to_every_client(text: str) -> None:
    sent = event({"content": text + ENDS}).decode("ascii")

    assert sent.splitlines() == [sent[:-2], ""]
    assert json.loads(sent.removeprefix("data: ")) == {"content": text + ENDS}
