"""A task with every kind of field, a store of answers to it, its review server and a window."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pytest
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field

from understudy.chains.task import Task
from understudy.distill.reviewing.server import ReviewServer, serve_review
from understudy.store import Example, Record, Run, Store


class Part(BaseModel):
    """A part that may be missing."""

    kind: Literal["red", "blue"] | None = None
    size: int


class Reply(BaseModel):
    """Every kind of field."""

    why: str = Field(max_length=40)
    mood: Literal["good", "bad", "neutral"]
    sure: bool
    name: str
    note: str | None
    count: int = Field(ge=0)
    ratio: float
    tags: list[str]
    part: Part | None


TASK = Task(
    name="t",
    schema=Reply,
    reasoning="why",
    prompt=ChatPromptTemplate.from_messages([("human", "{text}")]),
)
ANSWER = {
    "mood": "good",
    "sure": True,
    "name": "Ana",
    "note": None,
    "count": 2,
    "ratio": 0.5,
    "tags": ["a"],
    "part": {"kind": "red", "size": 1},
}


def run(role: Any) -> Run:
    facts: dict[str, Any] = dict.fromkeys(("strategy", "target", "words"), "same")
    facts |= {"answers": TASK.answers, "started": "2026-01-01"}
    return Run(id=role, name=role, task="t", role=role, model=f"{role}-1", **facts)


def filled(store: Store, names: Sequence[str] = "abc") -> None:
    """A store where a teacher has answered every row, and a student the first."""
    store.add_examples(
        Example(id=name, task="t", split="train", inputs={"text": f"row abc {name}"})
        for name in names
    )
    for role in ("teacher", "student"):
        store.start_run(run(role))
    for name in names:
        votes = {"mood": {'"good"': 3, '"bad"': 2}}
        facts: dict[str, Any] = {"reasoning": "because", "votes": votes, "created": "2026-01-01"}
        store.add_record(Record(run="teacher", example=name, answer=ANSWER, **facts))
    told: dict[str, Any] = {
        "answer": ANSWER | {"mood": "bad", "count": 3},
        "confidence": {"mood": 0.83},
    }
    store.add_record(Record(run="student", example=names[0], created="2026-01-01", **told))


class Client:
    """A window: speaks to the server as the page does, with `head` in place of its headers."""

    def __init__(self, server: ReviewServer, tab: str = "one") -> None:
        self.server = server
        self.head = {"X-Review-Token": server.token, "X-Review-Tab": tab}

    def send(
        self, method: str, path: str, body: bytes | None = None, **head: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        headers = self.head | {name.replace("_", "-"): value for name, value in head.items()}
        connection.request(method, path, body, {k: v for k, v in headers.items() if v})
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        content = answer.read()
        connection.close()
        return answer.status, told, content

    def get(self, path: str = "/api/next") -> Any:
        status, _, body = self.send("GET", path)
        assert status == 200, body
        return json.loads(body)

    def post(self, path: str, data: Any) -> Any:
        text = json.dumps(data).encode()
        status, _, body = self.send("POST", path, text, Content_Type="application/json")
        assert status == 200, body
        return json.loads(body)

    def decide(self, row: Any, verdict: str = "accept", **more: Any) -> Any:
        facts: dict[str, Any] = {"example": row["example"], "seen": row["seen"], "verdict": verdict}
        return self.post("/api/review", facts | more)


@pytest.fixture
def store(tmp_path) -> Iterator[Store]:
    with Store(tmp_path / "s.db") as opened:
        filled(opened)
        yield opened


@pytest.fixture
def serve(store: Store) -> Iterator[Any]:
    """Starts a server: `serve("abc", reviewer="Ana")`."""
    servers = []

    def started(names: str = "abc", *, on: Store = store, reviewer: str = "Ana") -> ReviewServer:
        entries = [(name, (f"why {name}",)) for name in names]
        server = serve_review(TASK, on, entries, reviewer=reviewer)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def client(serve: Any) -> Client:
    return Client(serve())
