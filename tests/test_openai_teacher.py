"""A teacher behind OpenAI's protocol: what is asked over HTTP, what is stored, what is not."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage

from understudy.chains import answer_chain
from understudy.chains.replies import completed_reply
from understudy.chains.teachers import load_teacher
from understudy.distill.labelling.label import label
from understudy.distill.labelling.limits import LabellingError, Limits
from understudy.examples.news.task import task
from understudy.store import Example, Record, Run, Store, example_id

KEY = "sk-test-0123456789abcdef"
TASK = "understudy.examples.news.task:task"
PART = {"polaridade": "Neutro", "emocao": "Neutro"}
GOOD = {"raciocinio": "sem pista", "f1": PART, "f2": PART, "f3": PART}
OUTSIDE = {**GOOD, "f2": {"polaridade": "Ótimo", "emocao": "Neutro"}}
AT_ONCE = 4


class Server(ThreadingHTTPServer):
    """Speaks chat completions on loopback; `mode` says how well."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode = "good"
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def reply(self, asked: dict[str, Any], key: str | None) -> tuple[int, bytes]:
        """The HTTP status and body for one request."""
        with self.lock:
            self.asked.append(asked)
            self.keys.add(key)
            first = len(self.asked) == 1
        if self.mode == "garbage":
            return 200, b"{<html>"
        if self.mode == "refused":
            return 401, failure(f"Incorrect API key provided:\n{KEY} ({key})")
        if self.mode == "busy once" and first:
            return 429, failure("slow down")
        wrong = self.mode == "outside" or (self.mode == "outside once" and first)
        how = {"cut off": "length", "filtered": "content_filter"}.get(self.mode, "stop")
        refusal = "I cannot help." if self.mode == "refusal" else None
        return 200, completion(asked, OUTSIDE if wrong else GOOD, how, refusal)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/chat/completions"
        status, body = self.server.reply(asked, self.headers["Authorization"])
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After-Ms", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


def failure(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "x", "code": None}}).encode()


def completion(
    asked: dict[str, Any],
    answer: dict[str, Any],
    finish_reason: str = "stop",
    refusal: str | None = None,
) -> bytes:
    """A chat completion in the form that was asked for: a tool call, or JSON as the content."""
    text = json.dumps(answer, ensure_ascii=False)
    if finish_reason != "stop":
        text = text[: len(text) // 2]
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if refusal:
        message |= {"content": None, "refusal": refusal}
    elif "tools" in asked:
        name = asked["tools"][0]["function"]["name"]
        call = {"id": "1", "type": "function", "function": {"name": name, "arguments": text}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": f"{asked['model']}-2025",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }
    return json.dumps(whole).encode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, server: Server) -> Iterator[Path]:
    """Where the store lies; when a test is over the key was sent, and no file here holds it."""
    yield tmp_path
    assert server.keys == {f"Bearer {KEY}"}
    assert [path.name for path in tmp_path.iterdir() if KEY.encode() in path.read_bytes()] == []
    assert (tmp_path / "u.db").stat().st_size > 0


def labelled(
    server: Server, folder: Path, *, rows: int, model: str = "fake-model"
) -> tuple[Run, list[Record]]:
    """Label that many rows through a teacher loaded by its name."""
    teacher = load_teacher(f"openai:{model}", task=TASK, base_url=server.url)
    with Store(folder / "u.db") as store:
        inputs = [{"f1": "Sol.", "f2": "Chuva.", "f3": f"Dia {day}."} for day in range(rows)]
        store.add_examples(
            Example(id=example_id(row), task=task.name, split="train", inputs=row) for row in inputs
        )
        run = label(task, teacher, store, concurrency=AT_ONCE, limits=Limits(retries=1))
        return run, list(store.records(run.id))


@pytest.mark.parametrize(
    ("model", "asked_by"), [("fake-model", "tools"), ("gpt-5-mini", "response_format")]
)
def test_an_answer_is_stored_with_its_tokens_and_the_models_own_name(
    server: Server, folder: Path, model: str, asked_by: str
) -> None:
    run, records = labelled(server, folder, rows=3, model=model)

    answer = {name: value for name, value in GOOD.items() if name != "raciocinio"}
    stored = [
        (r.answer, r.reasoning, r.input_tokens, r.output_tokens, r.attempts, r.model, r.error)
        for r in records
    ]
    assert stored == [(answer, "sem pista", 100, 20, 1, f"{model}-2025", None)] * 3
    assert (run.model, run.parameters["base_url"]) == (model, server.url)
    assert [{"tools", "response_format"} & set(asked) for asked in server.asked] == [{asked_by}] * 3


def test_the_schema_that_is_sent_is_the_tasks(server: Server, folder: Path) -> None:
    labelled(server, folder, rows=1)
    (asked,) = server.asked
    parameters = asked["tools"][0]["function"]["parameters"]
    assert list(parameters["properties"]) == ["raciocinio", "f1", "f2", "f3"]
    assert asked["tool_choice"]["function"]["name"] == "Noticia"
    assert "Dia 0." in asked["messages"][-1]["content"]


def test_a_refused_key_stops_after_a_few_rows_in_one_line(server: Server, folder: Path) -> None:
    server.mode = "refused"
    with pytest.raises(LabellingError, match=r"fake-model refuses every call.* 401") as stop:
        labelled(server, folder, rows=60)

    assert 1 <= len(server.asked) <= AT_ONCE
    assert KEY not in str(stop.value)
    assert "\n" not in str(stop.value)
    with Store(folder / "u.db") as store:
        (run,) = store.runs(task.name)
        errors = [record.error or "" for record in store.records(run.id)]
    assert len(errors) == len(server.asked)
    assert all("Incorrect API key" in error and "\n" not in error for error in errors)


def test_a_busy_server_is_asked_again_and_every_request_is_counted(
    server: Server, folder: Path
) -> None:
    server.mode = "busy once"
    _, records = labelled(server, folder, rows=2)

    assert [record.error for record in records] == [None, None]
    assert sum(record.attempts for record in records) == len(server.asked) == 3


def test_an_answer_outside_the_schema_is_asked_for_again_and_recorded_as_paid_for(
    server: Server, folder: Path
) -> None:
    server.mode = "outside"
    _, records = labelled(server, folder, rows=3)

    assert [(r.answer, r.attempts, r.input_tokens, r.model) for r in records] == [
        (None, 3, 300, "fake-model-2025")
    ] * 3
    assert all("f2.polaridade" in (record.error or "") for record in records)
    raws = [[json.loads(line) for line in (record.raw or "").splitlines()] for record in records]
    assert raws == [[OUTSIDE] * 3] * 3
    assert len(server.asked) == 9


def test_the_canonical_answer_stands_beside_what_was_said(server: Server, folder: Path) -> None:
    server.mode = "outside once"
    _, (record,) = labelled(server, folder, rows=1)
    answer = {name: value for name, value in GOOD.items() if name != "raciocinio"}
    assert (record.answer, record.attempts, record.error) == (answer, 2, None)
    assert [json.loads(line) for line in (record.raw or "").splitlines()] == [OUTSIDE, GOOD]


class Seen(BaseCallbackHandler):
    """The replies of a row, those inside an error of the SDK too: what a ledger counts."""

    run_inline = True

    def __init__(self) -> None:
        self.replies: list[AIMessage] = []

    def on_llm_end(self, response: Any, **_: Any) -> None:
        self.replies.append(response.generations[0][0].message)

    def on_llm_error(self, error: BaseException, **_: Any) -> None:
        reply = completed_reply(error)
        self.replies += [reply] if reply else []


@pytest.mark.parametrize("model", ["fake-model", "gpt-5-mini"])
@pytest.mark.parametrize(
    ("mode", "line"),
    [
        ("cut off", r"^the reply was cut off at its output cap \(max_tokens=20\); allow more"),
        ("refusal", r"^the model refused: I cannot help\."),
        ("filtered", r"^the model refused: content_filter"),
    ],
)
def test_a_reply_that_was_stopped_is_named_and_not_bought_twice(
    server: Server, model: str, mode: str, line: str
) -> None:
    if mode == "filtered" and openai.__version__ < "3":
        pytest.skip("openai 2 leaves the reply out of its error")
    server.mode, seen = mode, Seen()
    teacher = load_teacher(f"openai:{model}", task=TASK, base_url=server.url, max_output_tokens=20)
    chain = answer_chain(task, teacher)
    row = {"f1": "Sol.", "f2": "Chuva.", "f3": "Neve."}
    with pytest.raises(OutputParserException, match=line):
        chain.invoke(row, {"callbacks": [seen]})
    with pytest.raises(OutputParserException, match=line):
        asyncio.run(chain.ainvoke(row, {"callbacks": [seen]}))

    assert [asked["max_completion_tokens"] for asked in server.asked] == [20, 20]
    usages = [reply.usage_metadata for reply in seen.replies]
    assert [(u["input_tokens"], u["output_tokens"]) for u in usages if u] == [(100, 20)] * 2
    assert {reply.response_metadata["model_name"] for reply in seen.replies} == {f"{model}-2025"}


@pytest.mark.parametrize("model", ["fake-model", "gpt-5-mini"])
def test_what_goes_back_is_what_the_protocol_takes(server: Server, model: str) -> None:
    server.mode = "outside once"
    teacher = load_teacher(f"openai:{model}", task=TASK, base_url=server.url)
    answer_chain(task, teacher).invoke({"f1": "Sol.", "f2": "Chuva.", "f3": "Neve."})

    first, second = (asked["messages"] for asked in server.asked)
    said, error = second[len(first) :]
    assert said["role"] == "assistant"
    assert "f2.polaridade: " in error["content"]
    if model == "fake-model":
        (call,) = said["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == OUTSIDE
        assert (error["role"], error["tool_call_id"]) == ("tool", call["id"])
    else:
        assert json.loads(said["content"]) == OUTSIDE
        assert error["role"] == "user"


def test_a_body_that_is_no_json_is_a_record_and_is_asked_again(
    server: Server, folder: Path
) -> None:
    server.mode = "garbage"
    _, records = labelled(server, folder, rows=2)
    assert [(record.answer, record.raw, record.input_tokens) for record in records] == [
        (None, None, None)
    ] * 2
    assert all(record.error and "\n" not in record.error for record in records)

    server.mode = "good"
    _, records = labelled(server, folder, rows=2)
    assert [record.error for record in records] == [None, None]
