"""Whatever a server says, a ChatStudent answers or says in one line what is wrong."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from understudy.chains.student import ChatStudent, StudentError
from understudy.chains.student.foreign import event_lines, refusal
from understudy.chains.student.remote import Remote
from understudy.distill.serving.replies import event
from understudy.distill.standin.student import load_student

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
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    Stranger.asked.clear()
    yield ChatStudent(
        model="x", base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key=SecretStr(KEY)
    )
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
    return staticmethod(lambda _: (status, list(pieces)))


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


@pytest.mark.parametrize(
    ("base_url", "told"),
    [
        ("http://me:hunter2@127.0.0.1:9/v1", "holds a user or password; give the key as api_key"),
        ("https://hunter2@host/v1#name", "holds a user or password"),
        ("http://me:hunt\ner2@host", "holds a user or password"),
        ("http://me:hun/hunter2@host/v1", "is no http\\(s\\) address; give one such as"),
        ("me:hunter2@host/v1", "is no http"),
        ("http://[hunter2", "is no http"),
        ("", "is no http"),
    ],
)
def test_a_password_in_an_address_is_refused_and_shown_nowhere(base_url: str, told: str) -> None:
    for make in (
        lambda: ChatStudent(model="x", base_url=base_url),
        lambda: ChatStudent(base_url=base_url, temperature=-1, model="x"),
        lambda: Remote(base_url, "x"),
        lambda: load_student(base_url) if base_url.startswith("http") else Remote(base_url, "x"),
    ):
        with pytest.raises(StudentError, match=told) as refused:
            make()
        assert "hunt" not in str(refused.value)
        assert "\n" not in str(refused.value)


def test_no_part_of_the_key_is_in_what_a_server_is_said_to_say(stranger: ChatStudent) -> None:
    for before in range(0, 400, 7):
        for body in ("." * before + KEY, json.dumps({"error": {"message": "." * before + KEY}})):
            told = str(refusal("http://host", 500, body.encode(), KEY))
            assert KEY[:3] not in told
    Stranger.says = always(500, b"." * 195 + KEY.encode())
    with pytest.raises(StudentError, match=r"refuses \(500\): \.{195}\*\*\*$"):
        stranger.invoke("oi")


def test_a_server_cannot_write_to_the_terminal(stranger: ChatStudent) -> None:
    odd = "a\n\x1b[31mred\x07\u202e\u2028\x85\x9bz"
    names = [odd, f"b {KEY}", "c" * 5000, "\x1b", *"defghij"]
    Stranger.models = json.dumps({"data": [{"id": name} for name in names]}).encode()
    for body in (json.dumps({"error": {"message": odd}}).encode(), odd.encode(), odd.encode()[:-2]):
        Stranger.says = always(404, body)
        with pytest.raises(StudentError) as refused:
            stranger.invoke("oi")
        told = str(refused.value)
        assert told.isprintable()
        assert KEY[:6] not in told
        assert "(404): a [31mred" in told
        assert "it serves a [31mred z, b ***, ccc" in told
        assert len(told) < 600


SCHEMA = {"title": "A", "type": "object", "properties": {}}


def test_a_form_is_given_up_for_a_refusal_of_it_alone(stranger: ChatStudent) -> None:
    """A busy server's 503 may name the form, too; its next answer would be held to nothing."""
    held = stranger.with_structured_output(SCHEMA)
    told = b'{"error": {"message": "busy with the grammar of response_format and stream_options"}}'
    for status in (401, 404, 408, 413, 429, 500, 502, 503):
        Stranger.says = always(status, told)
        with pytest.raises(StudentError, match=rf"refuses \({status}\): busy with the grammar"):
            held.invoke("oi")
    Stranger.says = always(200, stream(chunk("{}")))
    assert held.invoke("oi") == {}
    assert {body["response_format"]["type"] for body in Stranger.asked} == {"json_schema"}
    assert all("stream_options" in body for body in Stranger.asked)


@pytest.mark.parametrize("status", [400, 422, 501])
def test_another_form_is_kept_only_where_it_was_answered(
    stranger: ChatStudent, status: int
) -> None:
    held = stranger.with_structured_output(SCHEMA)
    busy = [True, True]

    def says(body: Asked) -> tuple[int, list[bytes]]:
        if "stream_options" in body:
            return status, [b"no stream_options here"]
        if body["response_format"]["type"] == "json_schema":
            return status, [b"response_format: no json_schema"]
        return (503, [b"busy"]) if busy and busy.pop() else (200, [stream(chunk("{}"))])

    Stranger.says = staticmethod(says)
    for _ in range(2):
        with pytest.raises(StudentError, match=r"refuses \(503\): busy$"):
            held.invoke("oi")
    assert [held.invoke("oi"), held.invoke("oi")] == [{}, {}]
    forms = [body["response_format"]["type"] for body in Stranger.asked]
    assert forms == ["json_schema", "json_schema", "json_object"] * 3 + ["json_object"]
    assert ["stream_options" in body for body in Stranger.asked] == [True, False, False] * 3 + [
        False
    ]


def test_an_error_that_is_null_is_none(stranger: ChatStudent) -> None:
    usage = {"prompt_tokens": None, "completion_tokens": None}
    Stranger.says = always(200, stream(chunk("oi", error=None, usage=usage)))
    assert stranger.invoke("oi").content == "oi"
    Stranger.says = always(200, stream(chunk("oi", error={"message": "out of memory"})))
    with pytest.raises(StudentError, match=r"refuses .*: out of memory"):
        stranger.invoke("oi")


@pytest.mark.parametrize(
    "said",
    [
        b"data: " + b"[" * 200_000,
        b'data: {"choices": ' + b'{"a":' * 200_000,
        *(
            stream(chunk("{}", usage={"prompt_tokens": count}))
            for count in (math.inf, -math.inf, math.nan, -5, 1e30, 10**20, "many", [1])
        ),
        stream(chunk("[" * 200_000)),
    ],
    ids=lambda said: said[:90].decode()[-24:],
)
def test_what_cannot_be_read_is_one_line(stranger: ChatStudent, said: bytes) -> None:
    Stranger.says = always(200, said)
    with pytest.raises(StudentError, match=r"^http://127[^ ]*/v1 answers with no chat completion$"):
        stranger.with_structured_output(SCHEMA).invoke("oi")


def test_a_refusal_that_cannot_be_read_is_shown_as_it_is(stranger: ChatStudent) -> None:
    Stranger.says = always(404, b"[" * 200_000)
    Stranger.models = b'{"data": ' + b"[" * 200_000
    with pytest.raises(StudentError, match=r"refuses \(404\): \[{200}$"):
        stranger.invoke("oi")
    Stranger.says = always(500, b'{"detail": ' + b"[" * 900 + b"]" * 900 + b"}")
    with pytest.raises(StudentError, match=r"refuses \(500\): "):
        stranger.invoke("oi")
