"""With `base_url` a server answers in the place of this process, and the answers are the same."""

from __future__ import annotations

import asyncio
import importlib
import json
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.tools import tool
from pydantic import BaseModel, Field, SecretStr

from understudy.chains import answer_chain
from understudy.chains.student import ChatStudent, StudentError
from understudy.chains.student.card import StudentTimeout
from understudy.chains.task import Task
from understudy.distill.serving.limits import Limits
from understudy.distill.serving.server import address, listen, student_server

KEY = "sk-of-these-tests-0123456789"


class Booking(BaseModel):
    """A table."""

    name: str = Field(max_length=12)
    seats: Literal[2, 4]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture(scope="module")
def url(tiny_student: Path, tiny_base: Path) -> Iterator[str]:
    students = {
        "tiny-student": ChatStudent(model=str(tiny_student)),
        "base": ChatStudent(model=str(tiny_base), max_tokens=100),
    }
    for student in students.values():
        _ = student.engine
    listening = listen("127.0.0.1", 0, key=KEY)
    server = student_server(students, listening, key=KEY, limits=Limits())
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield address(listening)
    server.should_exit = True
    thread.join(timeout=60)


@pytest.fixture
def served(url: str) -> ChatStudent:
    return ChatStudent(model="base", base_url=url, api_key=SecretStr(KEY), max_tokens=100)


@pytest.fixture
def local(tiny_base: Path) -> ChatStudent:
    return ChatStudent(model=str(tiny_base), max_tokens=100)


def test_a_served_base_answers_as_one_in_this_process(
    served: ChatStudent, local: ChatStudent
) -> None:
    for ask in (
        lambda model: model.invoke("oi").content,
        lambda model: asyncio.run(model.ainvoke("oi")).content,
        lambda model: [answer.content for answer in model.batch(["oi", "ai", "ui"])],
        lambda model: model.invoke("oi", stop=["a"]).content,
        lambda model: model.invoke("oi", temperature=1.0, seed=3).content,
        lambda model: "".join(str(chunk.content) for chunk in model.stream("oi")),
        lambda model: model.invoke("oi").usage_metadata,
        lambda model: model.with_structured_output(Booking).invoke("oi"),
        lambda model: model.with_structured_output(Booking, method="function_calling").invoke("oi"),
        lambda model: [
            (call["name"], call["args"])
            for call in model.bind_tools([add], tool_choice="any").invoke("oi").tool_calls
        ],
    ):
        assert ask(served) == ask(local)
    assert len(list(served.stream("oi"))) > 4
    assert list(served.stream("oi"))[-1].chunk_position == "last"


def test_a_served_student_answers_its_task(url: str, tiny_student: Path, tiny_task: Task) -> None:
    served = ChatStudent(model=str(tiny_student), base_url=url, api_key=SecretStr(KEY))
    inputs = {"sentence": "as vendas caíram"}
    here = answer_chain(tiny_task, ChatStudent(model=str(tiny_student))).invoke(inputs)
    there = answer_chain(tiny_task, served).invoke(inputs)

    assert (there.reasoning, there.answer) == (here.reasoning, here.answer)
    assert there.confidence == pytest.approx(here.confidence, abs=1e-5)  # of log probabilities
    assert served.invoke("Frase: oi").response_metadata["model_name"] == "tiny-student"


def test_another_model_of_the_server_is_named_in_the_call(served: ChatStudent) -> None:
    other = served.invoke("Frase: oi", model="tiny-student")
    assert other.response_metadata["model_name"] == "tiny-student"
    with pytest.raises(StudentError, match=r"refuses \(404\)"):
        served.invoke("oi", model="nobody")


def test_a_served_model_copies_pickles_and_hides_its_key(served: ChatStudent) -> None:
    served.invoke("oi", max_tokens=1)
    twin = pickle.loads(pickle.dumps(served))

    assert twin.invoke("oi").content == served.invoke("oi").content
    assert KEY not in repr(served) + str(served._get_llm_string())
    assert served.sha256 != ChatStudent(model="base", base_url="http://127.0.0.1:9/v1").sha256
    with pytest.raises(StudentError, match=r"is served at .*, not loaded here"):
        _ = served.engine


def test_a_server_that_refuses_or_is_not_there_is_one_line(url: str) -> None:
    wrong = ChatStudent(model="base", base_url=url, api_key=SecretStr("sk-wrong-0123456789"))
    with pytest.raises(StudentError, match=r"refuses \(401\)") as refusal:
        wrong.invoke("oi")
    assert "sk-wrong" not in str(refusal.value)
    nobody = ChatStudent(model="base", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(StudentError, match=r"cannot be reached .*; start the server"):
        nobody.invoke("oi")


class Stranger(BaseHTTPRequestHandler):
    """Somebody's server: says what the test wants."""

    said: str = ""
    refuses: tuple[str, ...] = ()  # fields, or types of response_format
    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        form = body.get("response_format", {}).get("type")
        refused = [name for name in self.refuses if name in body]
        if refused or form in self.refuses:
            told = refused or [f"response_format: input should be 'text', not {form!r}"]
            self._say(422, json.dumps({"detail": f"Unexpected fields: {told}"}))
        elif body["model"] == "nobody":
            self._say(404, json.dumps({"error": {"message": "no such model"}}))
        else:
            self._say(200, self.said)
        if self.said == "":
            threading.Event().wait(1)

    def do_GET(self) -> None:
        self._say(200, json.dumps({"data": [{"id": "label:latest"}]}))

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Not to the test's output."""


def event(text: str, *, finish: str | None = None) -> str:
    chunk = {"choices": [{"delta": {"content": text}, "finish_reason": finish}]}
    return f"data: {json.dumps(chunk)}\n\n"


@pytest.fixture
def stranger() -> Iterator[ChatStudent]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Stranger.refuses = ()
    Stranger.asked.clear()
    yield ChatStudent(model="x", base_url=f"http://127.0.0.1:{server.server_port}/v1")
    server.shutdown()


def test_what_a_server_does_not_tell_of_its_tokens_is_not_made_up(stranger: ChatStudent) -> None:
    Stranger.said = event("oi", finish="stop") + "data: [DONE]\n\n"

    assert stranger.invoke("oi").usage_metadata is None
    assert [chunk.usage_metadata for chunk in stranger.stream("oi") if chunk.usage_metadata] == []
    with pytest.raises(StudentError, match="max_tokens '9' is no whole number"):
        stranger.invoke("oi", max_tokens="9")


def test_what_a_strange_server_says_is_not_trusted(stranger: ChatStudent) -> None:
    booking = stranger.with_structured_output(Booking)
    tools = stranger.bind_tools([Booking])
    Stranger.said = (
        event('{ "name": "Ana",') + event(' "seats": 2 }', finish="stop") + "data: [DONE]\n\n"
    )
    assert booking.invoke("oi") == Booking(name="Ana", seats=2)
    Stranger.said = event(
        '{ "text": "", "calls": [ {"name": "Booking", "arguments": {"a": 1} } ] }',
        finish="stop",
    )
    assert tools.invoke("oi").tool_calls[0]["args"] == {"a": 1}
    Stranger.said = event(
        '{"text": "", "calls": [{"name": "Booking", "arguments": {"a', finish="stop"
    )
    assert tools.invoke("oi").tool_calls == []
    wrong = '{"name": "Ana", "seats": 3}'
    for said in (
        event("no JSON", finish="stop"),
        event(wrong, finish="stop"),
        event("", finish="stop"),
    ):
        Stranger.said = said
        with pytest.raises(OutputParserException):
            booking.invoke("oi")
    for said in ("data: {", 'data: {"choices": [7]}\n\n', "data: []\n\n"):
        Stranger.said = said
        with pytest.raises(StudentError, match="answers with no chat completion"):
            stranger.invoke("oi")
    Stranger.said = 'data: {"error": {"message": "out of memory"}}\n\n'
    with pytest.raises(StudentError, match=r"refuses .*: out of memory"):
        stranger.invoke("oi")
    Stranger.said = ""
    with pytest.raises(StudentTimeout):
        stranger.invoke("oi", timeout=0.1)


def test_a_server_is_asked_for_a_schema_in_the_form_that_it_takes(stranger: ChatStudent) -> None:
    """As llama-cpp-python's does; and it is asked wrongly once."""
    Stranger.refuses = ("json_schema", "stream_options")
    Stranger.said = event('{"name": "Ana", "seats": 2}', finish="stop")
    booking = stranger.with_structured_output(Booking)

    assert [booking.invoke("oi") for _ in range(3)] == [Booking(name="Ana", seats=2)] * 3
    forms = [body["response_format"]["type"] for body in Stranger.asked]
    assert forms == ["json_schema", "json_schema", *["json_object"] * 3]
    assert Stranger.asked[-1]["response_format"]["schema"]["properties"].keys() == {"name", "seats"}
    assert "stream_options" in Stranger.asked[0]
    assert "stream_options" not in Stranger.asked[-1]


def test_a_server_that_holds_no_answer_to_a_schema_is_said_to(stranger: ChatStudent) -> None:
    """As that of `transformers serve`."""
    Stranger.refuses = ("response_format", "stream_options")
    Stranger.said = event("oi", finish="stop")

    assert stranger.invoke("oi").content == "oi"
    with pytest.raises(StudentError, match=r"holds no answer to a JSON schema \(422: .*vLLM"):
        stranger.with_structured_output(Booking).invoke("oi")


def test_a_server_calls_the_model_as_the_address_says(stranger: ChatStudent) -> None:
    Stranger.said = event("oi", finish="stop")
    named = ChatStudent(model="x", base_url=f"{stranger.base_url}#label:latest")

    assert named.invoke("oi").content == "oi"
    assert Stranger.asked[-1]["model"] == "label:latest"
    named.invoke("oi", model="other")
    assert Stranger.asked[-1]["model"] == "other"
    assert named.sha256 != stranger.sha256
    with pytest.raises(StudentError, match=r"\(404\): no such model; it serves label:latest: say"):
        stranger.invoke("oi", model="nobody")


def test_half_an_answer_is_none(stranger: ChatStudent) -> None:
    Stranger.said = event('{"name": "Ana"') + "data: [DONE]\n\n"
    with pytest.raises(StudentError, match=r"broke off \(its answer has no end\): it has"):
        stranger.invoke("oi")
    with pytest.raises(StudentError, match="broke off"):
        list(stranger.stream("oi"))


def test_a_grammar_that_lets_whitespace_run_on_is_said_to(stranger: ChatStudent) -> None:
    """As that of vLLM, where it is not told otherwise."""
    Stranger.said = event('{"name":' + "\n" * 90, finish="length")
    with pytest.raises(StudentError, match=r"whitespace up to its budget.*disable_any_whitespace"):
        stranger.with_structured_output(Booking).invoke("oi")
    assert stranger.invoke("oi").content == '{"name":' + "\n" * 90


def test_the_benchmark_counts_what_a_server_does(
    url: str, tiny_student: Path, tiny_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    benchmark: Any = importlib.import_module("benchmarks.foreign_servers")
    rows = [{"sentence": f"as vendas caíram {number} %"} for number in range(4)]
    good, bad = (
        benchmark.measured(tiny_task, str(tiny_student), url, rows, at_once=3, api_key=key)
        for key in (SecretStr(KEY), SecretStr("sk-wrong-0123456789"))
    )

    assert (good["valid"], good["equal"], good["at_once_valid"], good["refused"]) == (4, 4, 3, None)
    assert "refuses (400): student tiny-student learnt to answer" in good["held"]
    assert good["chunks"] > 4
    assert "refuses (404)" in good["wrong_name"]
    assert (bad["valid"], bad["equal"], bad["at_once_valid"]) == (0, 0, 0)
    assert "refuses (401)" in bad["refused"]
    assert "answers equal to the student's here   4 of 4" in benchmark.table(good)
