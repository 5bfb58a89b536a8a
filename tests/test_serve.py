"""Students behind OpenAI's API: its own client and ChatOpenAI are served, strangers are not."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from understudy.chains import Task, answer_chain
from understudy.chains.student import ChatStudent, load_student
from understudy.distill.serving.limits import Limits, Refusal, ServeError
from understudy.distill.serving.requests import ChatRequest, chat_messages, read_request
from understudy.distill.serving.schema import Rehearsal, check_schema
from understudy.distill.serving.server import (
    address,
    listen,
    load_served,
    student_server,
)

NO_KEY = SecretStr("none")
KEY = "sk-of-these-tests-0123456789"
ASK = "Frase: as vendas caíram"
LONG = {  # takes some seconds to write
    "type": "object",
    "properties": {"t": {"type": "string", "minLength": 700}},
    "required": ["t"],
}


def formatted(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def choice_of(*classes: str) -> dict[str, Any]:
    """A schema of one label."""
    return {"type": "object", "properties": {"a": {"enum": list(classes)}}, "required": ["a"]}


class Served:
    """A server in a thread, and ways to speak to it."""

    def __init__(self, students: Any, *, key: str | None = None, **limits: Any) -> None:
        self.students = students
        self.listening = listen("127.0.0.1", 0, key=key)
        self.url = address(self.listening)
        self.port = self.listening.getsockname()[1]
        self.server = student_server(students, self.listening, key=key, limits=Limits(**limits))
        self.thread = threading.Thread(target=self.server.run, args=([self.listening],))
        self.client = self.openai()

    def __enter__(self) -> Served:
        self.thread.start()
        deadline = time.monotonic() + 120
        while not self.server.started:
            assert self.thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return self

    def __exit__(self, *_: Any) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()

    def openai(self, key: str = "none") -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0)

    def create(self, model: str = "base", **asked: Any) -> Any:
        messages = asked.pop("messages", [{"role": "user", "content": ASK}])
        return self.client.chat.completions.create(model=model, messages=messages, **asked)

    def send(
        self, method: str, path: str, body: bytes | None = None, **head: Any
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one plain request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        head = {name.replace("_", "-"): value for name, value in head.items()}
        with contextlib.closing(connection):
            connection.request(method, path, body, head)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, told, answer.read()

    def metric(self, name: str, **labels: str) -> float:
        text = self.send("GET", "/metrics")[2].decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@pytest.fixture(scope="module")
def students(tiny_student: Path, tiny_base: Path) -> dict[str, ChatStudent]:
    return {
        "tiny-student": load_student(tiny_student),
        "base": ChatStudent(model=str(tiny_base)),
    }


@pytest.fixture(scope="module")
def served(students: Any) -> Iterator[Served]:
    with Served(students) as running:
        yield running


# ---- existing apps


def test_the_official_client_gets_what_the_student_answers_in_this_process(
    served: Served, students: Any, tiny_task: Task
) -> None:
    schema = tiny_task.json_schema("reason_label")
    inside = students["tiny-student"].invoke(ASK, response_format=formatted(schema))

    answer = served.create("tiny-student", response_format=formatted(schema), temperature=0)

    choice = answer.choices[0]
    assert choice.message.content == inside.text
    assert (choice.message.role, choice.finish_reason, choice.index) == ("assistant", "stop", 0)
    confidence = inside.response_metadata["confidence"]
    assert choice.model_extra["confidence"] == pytest.approx(confidence, abs=1e-4)
    assert answer.usage.prompt_tokens == inside.usage_metadata["input_tokens"]
    assert answer.usage.completion_tokens == inside.usage_metadata["output_tokens"]
    assert answer.model == "tiny-student"
    assert answer.system_fingerprint == f"fp_{students['tiny-student'].sha256[:12]}"
    assert answer.id.startswith("chatcmpl-")


def test_chat_openai_with_a_schema_swaps_by_base_url_alone(
    served: Served, students: Any, tiny_task: Task
) -> None:
    def app(model: Any) -> Any:  # somebody's app: it knows nothing of students
        return model.with_structured_output(tiny_task.schema, method="json_schema").invoke(ASK)

    mood = app(ChatOpenAI(model="tiny-student", base_url=served.url, api_key=NO_KEY))

    assert isinstance(mood, tiny_task.schema)
    assert mood == app(students["tiny-student"])


def test_the_official_client_parses_a_pydantic_class(served: Served, tiny_task: Task) -> None:
    with served.openai() as client:
        parsed = client.chat.completions.parse(
            model="tiny-student",
            messages=[{"role": "user", "content": ASK}],
            response_format=tiny_task.schema,
        )
    assert isinstance(parsed.choices[0].message.parsed, tiny_task.schema)


@pytest.mark.parametrize("profile", [{"structured_output": True}, None])
def test_a_served_student_answers_its_task_as_it_does_in_process(
    served: Served, students: Any, tiny_task: Task, profile: Any
) -> None:
    student = students["tiny-student"]
    rows = [{"sentence": f"as vendas caíram {number} por cento"} for number in range(6)]
    remote = ChatOpenAI(
        model="tiny-student",
        base_url=served.url,
        api_key=NO_KEY,
        profile=profile,  # None: LangChain knows no such model, and calls a tool
    )

    there = answer_chain(
        tiny_task, remote, target=student.card.target, prompt=tiny_task.student_prompt
    ).batch(rows)

    here = answer_chain(tiny_task, student).batch(rows)
    assert [(one.reasoning, one.answer) for one in there] == [
        (one.reasoning, one.answer) for one in here
    ]


CLIENT = """
import asyncio, json, sys

port, form, asks = json.loads(sys.stdin.read())

async def said(ask):
    asked = {"model": "base", "messages": [{"role": "user", "content": ask}]}
    body = json.dumps({**asked, "response_format": form}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/chat/completions HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n"
    head += f"Connection: close\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
    writer.write(head.encode() + body)
    answer = json.loads((await reader.read()).partition(b"\\r\\n\\r\\n")[2])
    return answer["choices"][0]["message"]["content"]

async def main():
    print(json.dumps(await asyncio.gather(*map(said, asks))))

asyncio.run(main())
"""  # a process of its own, and lean: a client in this one keeps the server from its work


def test_requests_at_once_reach_the_model_in_full_batches(served: Served, students: Any) -> None:
    text = {"type": "string", "minLength": 90, "maxLength": 99}
    form = formatted({"type": "object", "properties": {"t": text}, "required": ["t"]})
    asks = [f"Frase: as vendas caíram {number} por cento" for number in range(64)]
    served.create(response_format=form)  # its grammar is known
    engine = students["base"].engine

    def mean_batch(ask: Any) -> tuple[float, list[str]]:
        calls, rows = engine.calls, engine.rows
        texts = ask()
        return (engine.rows - rows) / (engine.calls - calls), texts

    def over_http() -> list[str]:
        command = [sys.executable, "-c", CLIENT]
        asked = json.dumps([served.port, form, asks])
        ended = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
        return list(json.loads(ended.stdout))

    def in_this_process() -> list[str]:
        answers = students["base"].batch(asks, response_format=form)
        return [message.text for message in answers]

    here, wanted = mean_batch(in_this_process)
    there, texts = mean_batch(over_http)

    assert texts == wanted
    assert there > 0.8 * here > 16


def test_a_stream_is_the_answer_in_parts(served: Served, tiny_task: Task) -> None:
    form = formatted(tiny_task.json_schema("reason_label"))
    whole = served.create("tiny-student", response_format=form)

    chunks = list(
        served.create(
            "tiny-student",
            response_format=form,
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert len(chunks) > 5
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage.__class__(**whole.usage.model_dump())
    assert len({chunk.id for chunk in chunks}) == 1


def test_chat_openai_streams(served: Served) -> None:
    model = ChatOpenAI(model="base", base_url=served.url, api_key=NO_KEY, max_completion_tokens=9)
    parts = list(model.stream(ASK))
    assert "".join(str(part.text) for part in parts) == model.invoke(ASK).text


def test_a_stream_that_cannot_begin_has_the_status_of_its_error(served: Served) -> None:
    with pytest.raises(openai.BadRequestError, match="max_tokens 2 is too small"):
        served.create(stream=True, response_format=formatted(LONG), max_tokens=2)


def test_seed_temperature_stop_and_limits_reach_the_student(served: Served, students: Any) -> None:
    def said(**options: Any) -> str:
        return str(served.create(max_tokens=40, **options).choices[0].message.content)

    assert said(temperature=1, seed=5) == said(temperature=1, seed=5) != said(temperature=0)
    greedy = said()
    assert greedy == students["base"].invoke(ASK, max_tokens=40).text
    assert said(stop=greedy[8]) == greedy.partition(greedy[8])[0]
    assert served.create(max_completion_tokens=3).usage.completion_tokens == 3


def test_several_choices_have_seeds_of_their_own(served: Served) -> None:
    several = served.create(n=3, seed=7, temperature=1.5, max_tokens=20)
    texts = [choice.message.content for choice in several.choices]
    last = served.create(seed=9, temperature=1.5, max_tokens=20).choices[0].message.content
    assert len(set(texts)) == 3
    assert texts[2] == last
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert several.usage.completion_tokens > 20
    with pytest.raises(openai.BadRequestError, match="at most 8, not 9"):
        served.create(n=9)


def test_json_object_and_text_are_formats(served: Served) -> None:
    free = served.create(response_format={"type": "json_object"}, max_tokens=60)
    assert isinstance(json.loads(free.choices[0].message.content), dict)
    assert served.create(response_format={"type": "text"}, max_tokens=5).choices


def test_every_students_name_is_a_model_and_others_are_not_found(served: Served) -> None:
    with served.openai() as client:
        models = {model.id: model for model in client.models.list()}
        assert list(models) == ["tiny-student", "base"]
        extra: Any = models["tiny-student"].model_extra
        assert extra["target"] == "reason_label"
        assert client.models.retrieve("base").id == "base"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-5")
    with pytest.raises(openai.NotFoundError) as caught:
        served.create("gpt-5")
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


def test_two_students_answer_side_by_side(served: Served, students: Any, tiny_task: Task) -> None:
    form = formatted(tiny_task.json_schema("reason_label"))
    answers = {name: served.create(name, response_format=form) for name in students}
    for name, student in students.items():
        inside = student.invoke(ASK, response_format=form).text
        assert answers[name].choices[0].message.content == inside
    assert len({answer.system_fingerprint for answer in answers.values()}) == 2


def test_a_student_is_served_under_its_teachers_name(tiny_student: Path, tiny_base: Path) -> None:
    named = load_served([f"gpt-5-mini={tiny_student}", str(tiny_student), str(tiny_base)])
    assert list(named) == ["gpt-5-mini", "tiny-student", str(tiny_base)]
    assert load_served([str(tiny_student)], reasoning="-")["tiny-student"].reasoning == "-"
    with pytest.raises(ServeError, match="two students are called tiny-student"):
        load_served([str(tiny_student), str(tiny_student)])


def test_the_api_describes_itself(served: Served) -> None:
    told = json.loads(served.send("GET", "/openapi.json")[2])
    body = told["paths"]["/v1/chat/completions"]["post"]["requestBody"]
    fields = body["content"]["application/json"]["schema"]["properties"]
    assert fields.keys() == ChatRequest.model_fields.keys()


# ---- what is refused

MALFORMED = [
    (b"", "body"),
    (b"{", "body"),
    (b"[]", "body"),
    (b"\xff\xfe", "body"),
    (b"[" * 100_000, "body"),
    (b'{"model": "base"}', "messages"),
    (b'{"model": "base", "messages": []}', "messages"),
    (b'{"model": "base", "messages": [{"role": "wizard", "content": "x"}]}', "messages.0.role"),
    (b'{"model": "base", "messages": [{"role": "user", "content": "\\ud800"}]}', "body"),
]
MESSAGE = [{"role": "user", "content": "x"}]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 3}, "temperature"),
    ({"temperature": -1}, "temperature"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"seed": 2**64}, "seed"),
    ({"n": 0}, "n"),
    ({"n": 2, "stream": True}, "n"),
    ({"top_p": 0.5, "temperature": 1}, "top_p"),
    ({"top_logprobs": 5, "logprobs": True}, "top_logprobs"),
    ({"presence_penalty": 0.5}, "presence_penalty"),
    ({"logit_bias": {"5": 1}}, "logit_bias"),
    ({"best_of": 2}, "best_of"),
    ({"stop": ["x"] * 17}, "stop"),
    ({"response_format": {"type": "json_schema"}}, "response_format"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools.0.function"),
    ({"messages": MESSAGE * 257}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content"),
    (
        {
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "[1"}}],
                }
            ]
        },
        "messages.0.tool_calls",
    ),
]


@pytest.mark.parametrize(("body", "where"), MALFORMED)
def test_a_body_that_is_no_request_is_a_bad_request(served: Served, body: bytes, where: str):
    status, _, answer = served.send("POST", "/v1/chat/completions", body)
    assert status == 400
    assert json.loads(answer)["error"]["param"].startswith(where)


@pytest.mark.parametrize(("asked", "where"), REFUSED)
def test_what_a_student_cannot_do_is_refused_by_name(served: Served, asked: Any, where: str):
    body = json.dumps({"model": "base", "messages": MESSAGE, "max_tokens": 4, **asked}).encode()
    status, told, answer = served.send("POST", "/v1/chat/completions", body)
    error = json.loads(answer)["error"]
    assert status == 400, answer
    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith(where)
    assert where.partition(".")[0] in error["message"]
    assert told["content-type"] == "application/json"


def test_what_only_concerns_the_hosted_service_is_accepted() -> None:
    body = {
        "model": "base",
        "messages": MESSAGE,
        "user": "u",
        "reasoning_effort": "low",
        "store": False,
        "top_p": 1,
        "presence_penalty": 0,
        "metadata": {"a": "b"},
    }
    asked = read_request(json.dumps(body).encode(), Limits())
    assert asked.options == {}
    assert set(ChatRequest.model_fields) > body.keys()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(sorted(ChatRequest.model_fields)) | st.text(max_size=3), inner
            )
        ),
    )
)
def test_any_json_is_a_request_or_refused(data: Any) -> None:
    for body in (data, {"model": "m", "messages": MESSAGE, **(data if type(data) is dict else {})}):
        with contextlib.suppress(Refusal):
            assert chat_messages(read_request(json.dumps(body).encode(), Limits()))


SCHEMA_WORDS = ["$ref", "$defs", "anyOf", "allOf", "type", "properties", "items", "enum", "const"]


@given(
    st.recursive(
        st.sampled_from(["#", "#/$defs/a", "object", "x"]) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(SCHEMA_WORDS), inner, max_size=4)
        ),
    )
)
def test_any_schema_is_measured(data: Any) -> None:
    with contextlib.suppress(Refusal):
        assert json.loads(check_schema({"properties": data}, Limits(), where="x"))


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


def laughing(levels: int, width: int = 2) -> dict[str, Any]:
    """References that multiply at every level."""
    defs: dict[str, Any] = {
        f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * width} for n in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{levels}": {"type": "integer"}}}


def all_simple_paths(count: int) -> dict[str, Any]:
    """References among all: few when counted, factorially many when followed."""
    names = [f"d{n}" for n in range(count)]
    every = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
    return {"$ref": "#/$defs/d0", "$defs": dict.fromkeys(names, every)}


PATTERNS = [{"type": "string", "pattern": f"(a|b)*a(a|b){{{n}}}"} for n in range(1, 24)]
HOSTILE = {
    "patterns": {"type": "object", "properties": {"a": {"allOf": PATTERNS}}, "required": ["a"]},
    "multiple": {"type": "object", "properties": {"a": {"type": "integer", "multipleOf": 999983}}},
    "laughs": laughing(40),
    "paths": all_simple_paths(12),
    "deep": nested(60),
    "large": choice_of(*(f"class {number}" for number in range(6000))),
    "itself": {"$ref": "#"},
    "circle": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
    "nowhere": {"$ref": "#/$defs/missing"},
    "far": {"$ref": "http://127.0.0.1:1/schema.json"},
    "endless": {"type": "object", "properties": {"a": {"type": "string", "minLength": 10**9}},
                "required": ["a"]},
    "impossible": {"type": "object", "properties": {"a": {"enum": []}}, "required": ["a"]},
    "pattern": {"type": "string", "pattern": "("},
    "strange": {"type": ["object", 5], "properties": 3},
    "numbers": {"type": "string", "minLength": "x"},
    "keyword": {"type": "object", "not": {"type": "string"}},
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_is_a_bad_request_and_the_server_lives(served: Served, name: str):
    began = time.monotonic()
    with pytest.raises(openai.BadRequestError) as caught:
        served.create(response_format=formatted(HOSTILE[name]))
    assert time.monotonic() - began < 15
    assert caught.value.param == "response_format"
    assert caught.value.code == "invalid_schema"
    answer = served.create(response_format=formatted(choice_of("x", "y")))
    assert json.loads(answer.choices[0].message.content)["a"] in "xy"


def test_a_hostile_schema_of_a_tool_is_one_too(served: Served) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": HOSTILE["patterns"]}}
    with pytest.raises(openai.BadRequestError) as caught:
        served.create(tools=[tool])
    assert (caught.value.param, caught.value.code) == ("tools.0", "invalid_schema")


def test_a_compiler_that_has_died_is_started_again(served: Served) -> None:
    form = formatted(choice_of("before", "after"))
    compilers = [
        child
        for child in psutil.Process().children()
        if "understudy.distill.serving.rehearsal" in child.cmdline()
    ]
    assert compilers
    for child in compilers:
        child.kill()
    time.sleep(0.5)
    answer = served.create(response_format=form)
    assert json.loads(answer.choices[0].message.content)["a"] in ("before", "after")


def test_others_are_answered_while_a_hostile_schema_is_compiled(served: Served) -> None:
    known = formatted(choice_of("x", "y"))
    served.create(response_format=known)
    hostile = {**HOSTILE["patterns"], "title": "again"}
    trouble: list[Any] = []

    def ask() -> None:
        try:
            served.create(response_format=formatted(hostile))
        except openai.BadRequestError as error:
            trouble.append(error.code)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    began, count = time.monotonic(), 0
    while thread.is_alive() and count < 10:
        served.create(response_format=known)
        count += 1
    assert (time.monotonic() - began) / count < 0.5
    thread.join()
    assert trouble == ["invalid_schema"]


def test_a_wide_but_ordinary_schema_is_no_trouble() -> None:
    fields = {f"field_{n}": {"type": "string", "maxLength": 20} for n in range(200)}
    check_schema({"type": "object", "properties": fields}, Limits(), where="response_format")
    with pytest.raises(Refusal, match="parts"):
        check_schema(laughing(5, width=10), Limits(), where="tools.0")


def test_a_prompt_too_long_for_the_model_is_told_so(served: Served) -> None:
    for text in ("vendas " * 2_000, "é" * 300_000):
        with pytest.raises(openai.BadRequestError) as caught:
            served.create(messages=[{"role": "user", "content": text}])
        assert caught.value.code == "context_length_exceeded"


def test_ten_megabytes_are_too_many(served: Served) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        served.create(messages=[{"role": "user", "content": "x" * 10_000_000}])
    assert caught.value.status_code == 413
    served.create(max_tokens=2)


GUARDED = [
    ("GET", "/v1/models", {"Host": "evil.example"}, 421),
    ("GET", "/v1/models", {"Host": "127.0.0.1"}, 421),
    ("GET", "/health", {"Host": "evil.example"}, 421),
    ("GET", "/v1/models", {"Origin": "http://evil.example"}, 403),
    ("GET", "/v1/models", {"Origin": "null"}, 403),
    ("GET", "/v1/models", {"Sec_Fetch_Site": "cross-site"}, 403),
    ("POST", "/v1/chat/completions", {"Origin": "https://evil.example"}, 403),
    ("OPTIONS", "/v1/chat/completions", {"Origin": "https://evil.example"}, 403),
    ("GET", "/nothing", {}, 404),
    ("GET", "/docs", {}, 404),
    ("GET", "/v1/chat/completions", {}, 405),
    ("POST", "/v1/completions", {}, 404),
    ("POST", "/v1/responses", {}, 404),
]


@pytest.mark.parametrize(("method", "path", "head", "status"), GUARDED)
def test_other_sites_and_other_names_are_refused(served: Served, method, path, head, status):
    code, told, body = served.send(method, path, b"{}" if method == "POST" else None, **head)
    assert code == status
    assert json.loads(body)["error"]["message"]
    assert b"evil" not in body
    assert told["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in told


def test_this_machines_own_names_and_pages_are_let_in(served: Served) -> None:
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        host = f"{name}:{served.port}"
        code, _, body = served.send("GET", "/health", Host=host, Origin=f"http://{host}")
        assert (code, json.loads(body)) == (200, {"status": "ok"})


def test_without_the_key_only_health_is_answered(students: Any, caplog: Any) -> None:
    with Served(students, key=KEY) as locked:
        assert locked.send("GET", "/health")[0] == 200
        for given in (dict[str, Any](), *({"Authorization": text} for text in (
            "Bearer wrong", KEY, f"Basic {KEY}", "Bearer é", f"Bearer {KEY}x", "Bearer ",
        ))):  # fmt: skip
            for method, path in (("GET", "/v1/models"), ("GET", "/metrics"), ("POST", "/x")):
                code, told, body = locked.send(method, path, **given)
                assert (code, told["www-authenticate"]) == (401, "Bearer")
                assert json.loads(body)["error"]["code"] == "invalid_api_key"
                assert KEY.encode() not in body
        assert locked.send("GET", "/openapi.json")[0] == 401
        with locked.openai(KEY) as client:
            assert [model.id for model in client.models.list()] == ["tiny-student", "base"]
        with locked.openai("wrong") as client, pytest.raises(openai.AuthenticationError):
            client.models.list()
    assert KEY not in caplog.text


def test_who_is_refused_while_still_sending_reads_why(students: Any) -> None:
    with Served(students, key=KEY) as locked:
        for path, head, status in (
            ("/v1/chat/completions", {}, b"401"),
            ("/nothing", {"Authorization": f"Bearer {KEY}"}, b"404"),
        ):
            body = b"x" * 3_000_000
            lines = {"Host": f"127.0.0.1:{locked.port}", "Connection": "close", **head}
            text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            text = f"POST {path} HTTP/1.1\r\n{text}Content-Length: {len(body)}\r\n\r\n"
            with socket.create_connection(("127.0.0.1", locked.port), timeout=20) as client:
                client.sendall(text.encode() + body[:1000])
                time.sleep(0.2)
                client.sendall(body[1000:])
                assert status in client.recv(4096)[:20]


def test_an_address_that_others_reach_needs_a_key() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(ServeError, match="set an API key first"):
            listen(host, 0, key=None)
    for poor in ("short", "chave com espaços 123", "é" * 20, ""):
        with pytest.raises(ServeError, match="at least 16 characters"):
            listen("127.0.0.1", 0, key=poor)
    with listen("0.0.0.0", 0, key=KEY) as listening:
        assert address(listening).startswith("http://127.0.0.1:")
        with pytest.raises(ServeError, match="give another --port"):
            listen("127.0.0.1", listening.getsockname()[1], key=None)


# ---- load, time, and clients that leave


def wait_until(true: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_full_queue_says_when_to_come_again(students: Any) -> None:
    text = {"type": "string", "minLength": 250}
    form = formatted({"type": "object", "properties": {"t": text}, "required": ["t"]})
    with Served(students, rows=3) as small:
        statuses: list[int] = []
        told: list[dict[str, str]] = []
        body = json.dumps({"model": "base", "messages": MESSAGE, "response_format": form}).encode()

        def ask() -> None:
            code, head, _ = small.send("POST", "/v1/chat/completions", body)
            statuses.append(code)
            told.append(head)

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses.count(429) >= 1
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 3
        assert {head.get("retry-after") for head in told} == {None, "1"}
        assert small.metric("understudy_rows") == 0
        with pytest.raises(openai.RateLimitError):
            small.create(n=4, max_tokens=2)


def test_an_answer_that_takes_too_long_is_ended(students: Any) -> None:
    engine = students["base"].engine
    with Served(students, seconds=0.3) as hasty:
        with pytest.raises(openai.InternalServerError) as caught:
            hasty.create(response_format=formatted(LONG))
        assert (caught.value.status_code, caught.value.code) == (504, "timeout")
        before = engine.rows
        time.sleep(0.3)
        assert engine.rows - before <= 1
        assert hasty.create(max_tokens=2).choices


@pytest.mark.parametrize("stream", [False, True])
def test_the_row_of_a_client_that_leaves_is_not_written_on(
    served: Served, students: Any, stream: bool
) -> None:
    engine = students["base"].engine
    body = {
        "model": "base",
        "messages": MESSAGE,
        "stream": stream,
        "response_format": formatted(LONG),
    }
    text = json.dumps(body).encode()
    gone = served.metric("understudy_requests_total", status="499")
    before = engine.rows
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        client.sendall(f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text)
        wait_until(lambda: engine.rows > before + 5)
    time.sleep(0.3)
    stood = engine.rows
    time.sleep(0.3)
    assert engine.rows == stood < before + 690
    if not stream:
        wait_until(lambda: served.metric("understudy_requests_total", status="499") > gone)
    wait_until(lambda: served.metric("understudy_rows") == 0)


def test_slow_and_silent_clients_are_not_waited_for(students: Any) -> None:
    with Served(students, body_seconds=0.3, silence=0.3) as hasty:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{hasty.port}\r\n"
        for said, heard in ((f"{head}Content-Length: 90\r\n\r\n{{", b"408"), ("POST /v1", b"")):
            with socket.create_connection(("127.0.0.1", hasty.port), timeout=10) as client:
                client.sendall(said.encode())
                answer = b"".join(iter(lambda: client.recv(4096), b""))
                assert heard in answer[:20]
        assert hasty.create(max_tokens=2).choices


def test_metrics_are_prometheus_text_with_few_labels(served: Served) -> None:
    served.create(max_tokens=2)
    for number in range(5):
        served.send("GET", f"/stranger/{number}")
    text = served.send("GET", "/metrics")[2].decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {"understudy_requests", "understudy_request_seconds", "understudy_tokens"} <= set(
        families
    )
    routes = {sample.labels["route"] for sample in families["understudy_requests"].samples}
    assert "other" in routes
    assert not any("stranger" in route for route in routes)
    assert served.metric("understudy_tokens_total", kind="completion") > 0
    calls = served.metric("understudy_model_calls_total", model="base")
    assert 0 < calls <= served.metric("understudy_model_rows_total", model="base")


# ---- the command


def started(*arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
    """`understudy serve ...` and the address that it printed."""
    command = [sys.executable, "-m", "understudy.distill.cli", "serve", *arguments]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://\S+/v1", line)
    assert found, line + process.stdout.read()
    return process, found[0]


@pytest.mark.slow
@pytest.mark.needs_posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_after_what_it_had_begun(tiny_base: Path, number: int) -> None:
    process, url = started(f"base={tiny_base}", "--port", "0", UNDERSTUDY_API_KEY=KEY)
    client = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)
    answers: list[str] = []

    def ask() -> None:
        form: Any = formatted(LONG)
        messages: Any = MESSAGE
        done = client.chat.completions.create(model="base", messages=messages, response_format=form)
        answers.append(str(done.choices[0].message.content))

    thread = threading.Thread(target=ask)
    with client:
        client.models.list()
        thread.start()
        time.sleep(0.6)
        assert not answers, "it has to be at work when the signal comes"
        process.send_signal(number)
        thread.join(timeout=60)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert len(json.loads(answers[0])["t"]) >= 700
    assert "finished" in output
    assert KEY not in output


def test_the_command_says_in_one_line_why_it_does_not_serve(tiny_student: Path) -> None:
    for arguments, reason in (
        (["--host", "0.0.0.0", str(tiny_student)], "set an API key first"),
        (["--api-key-env", "NO_SUCH", str(tiny_student)], "NO_SUCH is not set"),
        ([str(tiny_student), str(tiny_student), "--port", "0"], "two students are called"),
        (["./no/such/run", "--port", "0"], "there is no such folder"),
    ):
        command = [sys.executable, "-m", "understudy.distill.cli", "serve", *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode != 0
        assert reason in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


# ---- log probabilities and tools


def test_logprobs_are_those_of_the_written_tokens(served: Served, students: Any) -> None:
    answer = served.create(response_format=formatted(choice_of("x", "y")), logprobs=True)
    content = answer.choices[0].logprobs.content
    assert b"".join(bytes(one.bytes) for one in content).decode() == (
        answer.choices[0].message.content
    )
    label = math.exp(sum(one.logprob for one in content))
    assert label == pytest.approx(answer.choices[0].model_extra["confidence"]["a"], abs=1e-4)


def test_an_app_that_asks_for_responses_is_told_where_to_ask(served: Served) -> None:
    model = ChatOpenAI(model="base", base_url=served.url, api_key=NO_KEY, use_responses_api=True)
    with pytest.raises(openai.NotFoundError, match="use_responses_api=False") as caught:
        model.invoke(ASK)
    assert caught.value.code == "unsupported_route"
    status, _, body = served.send("POST", "/v1/embeddings", b"{}")
    assert status == 404
    assert "it answers /v1/chat/completions" in json.loads(body)["error"]["message"]


def test_log_probabilities_of_other_tokens_are_refused_in_a_line(served: Served) -> None:
    with pytest.raises(openai.BadRequestError, match="tells the log probability of what it wrote"):
        served.create(max_tokens=2, logprobs=True, top_logprobs=3)
    assert served.create(max_tokens=2, logprobs=True, top_logprobs=0).choices[0].logprobs.content


def test_the_log_probabilities_of_a_stream_add_up_to_those_of_the_answer(served: Served) -> None:
    asked: Any = {"response_format": formatted(choice_of("x", "y")), "logprobs": True}
    whole = served.create(**asked).choices[0].logprobs.content
    chunks = [chunk.choices[0] for chunk in served.create(stream=True, **asked)]
    parts = [one for choice in chunks if choice.logprobs for one in choice.logprobs.content]
    model = ChatOpenAI(model="base", base_url=served.url, api_key=NO_KEY, logprobs=True)
    summed: Any = None
    for part in model.stream(ASK, response_format=asked["response_format"]):
        summed = part if summed is None else summed + part

    assert [(one.token, one.bytes) for one in parts] == [(one.token, one.bytes) for one in whole]
    for one, other, heard in zip(
        parts, whole, summed.response_metadata["logprobs"]["content"], strict=True
    ):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
        assert heard["logprob"] == pytest.approx(other.logprob, abs=1e-4)


def test_what_is_known_of_schemas_does_not_grow_with_their_size(students: Any) -> None:
    def held(rehearsal: Rehearsal) -> int:
        return sum(len(digest) for _, digest in rehearsal._known)

    async def asked() -> int:
        limits = Limits()
        tokenizers = {name: one.engine.tokenizer for name, one in students.items()}
        rehearsal = Rehearsal(tokenizers, limits)
        try:
            for number in range(20):
                classes = [f"class {n} {'x' * 50} {number}" for n in range(500)]
                await rehearsal.check("base", choice_of(*classes))
            return held(rehearsal)
        finally:
            await rehearsal.stop()

    assert asyncio.run(asked()) == 20 * 32


def test_the_server_answers_others_while_a_schema_takes_long(students: Any) -> None:
    pattern = {"type": "string", "pattern": r"^(\w| )*\(zq\)#$"}  # its end is searched for
    slow = formatted({"type": "object", "properties": {"s": pattern}, "required": ["s"]})
    with Served(students, compile_seconds=30) as patient:
        answers: list[Any] = []
        asking = threading.Thread(
            target=lambda: answers.append(patient.create(response_format=slow))
        )
        patient.create(max_tokens=2)
        asking.start()
        waits = []
        while asking.is_alive():
            began = time.monotonic()
            assert patient.send("GET", "/health")[0] == 200
            waits.append(time.monotonic() - began)
            time.sleep(0.02)
    assert json.loads(answers[0].choices[0].message.content)["s"].endswith("(zq)#")
    assert len(waits) > 20
    assert max(waits) < 1


def test_tools_are_called_as_openai_calls_them(served: Served, students: Any) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "sell",
            "description": "Sells.",
            "parameters": {
                "type": "object",
                "properties": {"what": {"enum": ["apples", "pears"]}},
                "required": ["what"],
            },
        },
    }
    required: Any = {"tools": [tool], "tool_choice": "required"}
    answer = served.create(**required).choices[0]
    call = answer.message.tool_calls[0]
    assert answer.finish_reason == "tool_calls"
    assert call.function.name == "sell"
    assert json.loads(call.function.arguments)["what"] in ("apples", "pears")
    parts = [chunk.choices[0].delta for chunk in served.create(stream=True, **required)]
    streamed = [part for delta in parts for part in delta.tool_calls or ()]
    assert streamed[0].function.name == "sell"
    assert "".join(part.function.arguments for part in streamed) == call.function.arguments

    model = ChatOpenAI(model="base", base_url=served.url, api_key=NO_KEY)
    called = model.bind_tools([tool], tool_choice="sell").invoke([HumanMessage(ASK)])
    assert called.tool_calls[0]["name"] == "sell"
