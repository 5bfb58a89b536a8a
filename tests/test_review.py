"""The review page's server: what it shows, what it saves, and whom it does not let in."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field

from understudy.chains.loading import load_task
from understudy.chains.task import Task, TaskError
from understudy.distill.cli_review import review_
from understudy.distill.dataset import lesson_rows
from understudy.distill.review import BODY_LIMIT, ReviewServer, serve_review
from understudy.distill.review_desk import Decision, Desk
from understudy.distill.review_rows import decided_answer, shown_row
from understudy.store import Example, Record, Run, Store
from understudy.store.reviews import add_review, reviews
from understudy.store.rows import Review


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


def test_a_row_comes_with_its_reasons_who_said_what_and_the_schemas_own_choices(client):
    answer = client.get()
    row = answer["row"]
    assert answer["progress"] == {"done": 0, "total": 3}
    assert (row["example"], row["reasons"], row["proposed_by"]) == ("a", ["why a"], "teacher")
    assert row["inputs"] == [{"name": "text", "text": "row abc a"}]
    fields = {field["path"]: field for field in row["fields"]}
    assert list(fields) == list(TASK.paths)
    assert fields["mood"]["choices"] == [
        {"value": "good", "text": "good", "said_by": ["teacher", "3 of 5 votes"]},
        {"value": "bad", "text": "bad", "said_by": ["student 83%", "2 of 5 votes"]},
        {"value": "neutral", "text": "neutral", "said_by": []},
    ]
    assert [one["text"] for one in fields["sure"]["choices"]] == ["true", "false"]
    assert [one["text"] for one in fields["part.kind"]["choices"]] == ["red", "blue", "none"]
    assert (fields["count"]["text"], fields["count"]["says"]) == ("2", [["student", "3"]])
    assert (fields["tags"]["text"], fields["note"]["text"]) == ('["a"]', "")
    assert (row["reasons_asked"], row["reasoning"]) == (True, "because")


def test_accepted_is_gold_by_the_reviewer_and_the_queue_goes_on(client, store):
    reply = client.decide(client.get()["row"])
    assert (reply["saved"], reply["note"], reply["row"]["example"]) == (1, "Accepted.", "b")
    assert reply["progress"] == {"done": 1, "total": 3}
    first = store.examples("t")[0]
    assert (first.gold, first.gold_by) == (ANSWER, "Ana")
    (kept,) = reviews(store, "t")
    assert (kept.verdict, kept.run, kept.reasoning) == ("accept", "teacher", "because")


def test_corrected_fields_and_reasoning_are_kept_as_the_schema_types_them(client, store):
    changes = {
        "mood": "neutral",
        "sure": False,
        "name": "5",
        "note": "x",
        "count": "7",
        "ratio": "2.5",
        "tags": '["b", "c"]',
        "part.kind": None,
        "part.size": "3",
    }
    reply = client.decide(client.get()["row"], "correct", changes=changes, reasoning="new")
    assert reply["note"] == "Corrected."
    assert store.examples("t")[0].gold == {
        "mood": "neutral",
        "sure": False,
        "name": "5",
        "note": "x",
        "count": 7,
        "ratio": 2.5,
        "tags": ["b", "c"],
        "part": {"kind": None, "size": 3},
    }
    (kept,) = reviews(store, "t")
    assert (kept.verdict, kept.reasoning) == ("correct", "new")


def test_a_corrected_label_does_not_teach_the_reasoning_of_the_old_one(client, store):
    change: dict[str, Any] = {"changes": {"mood": "bad"}}
    reply = client.decide(client.get()["row"], "correct", **change)
    reply = client.decide(reply["row"], "correct", **change, reasoning="because")
    client.decide(reply["row"])
    assert [(r.verdict, r.reasoning) for r in reviews(store, "t")] == [
        ("correct", None),
        ("correct", "because"),
        ("accept", "because"),
    ]
    taught = lesson_rows(TASK, store, "teacher", split="train", target="reason_label")
    assert [(row.example, row.answer["mood"]) for row in taught.rows] == [
        ("b", "bad"),
        ("c", "good"),
    ]
    assert taught.left_out == {"no reasoning": 1}


def test_a_decision_taken_back_shows_the_reasoning_that_it_had_left_alone(client, store):
    row = client.get()["row"]
    client.decide(row, "skip")
    assert client.post("/api/undo", {})["row"]["draft_reasoning"] is None
    client.decide(row, "correct", changes={"mood": "bad"})
    assert client.post("/api/undo", {})["row"]["draft_reasoning"] is None
    client.decide(row, "correct", reasoning="")
    assert client.post("/api/undo", {})["row"]["draft_reasoning"] == ""


def test_an_edited_reasoning_alone_is_a_correction_and_no_edit_at_all_is_none(client, store):
    row = client.get()["row"]
    reply = client.decide(row, "correct", reasoning="better")
    client.decide(reply["row"], "correct", changes={"mood": "good"})
    one, other = reviews(store, "t")
    assert (one.verdict, one.answer, one.reasoning) == ("correct", ANSWER, "better")
    assert (other.verdict, other.answer, other.reasoning) == ("accept", ANSWER, "because")


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"changes": {"mood": "great"}}, "mood: Input should be 'good', 'bad' or 'neutral'"),
        ({"changes": {"count": "many"}}, "count: Input should be a valid integer"),
        ({"changes": {"count": "-1"}}, "count: Input should be greater than or equal to 0"),
        ({"changes": {"tags": '["a'}}, "tags: Input should be a valid array"),
        ({"changes": {"tags": "[" * 100_000}}, "tags: Input should be a valid array"),
        ({"changes": {"ratio": "NaN"}}, "answer: a number is infinite or none"),
        ({"changes": {"ratio": "1e999"}}, "a number is infinite"),
        ({"changes": {"name": 5}}, "name: give its new value as text"),
        ({"changes": {"nothing": "x"}}, "nothing: the answer has no such field"),
        ({"changes": {"part.size": ""}}, "part.size: Input should be a valid integer"),
        ({"reasoning": "x" * 41}, "why: String should have at most 40 characters"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_with_the_reason(client, store, more, error):
    reply = client.decide(client.get()["row"], "correct", **more)
    assert error in reply["error"]
    assert "row" not in reply
    assert reviews(store, "t") == []


TYPED = st.text(max_size=12) | st.sampled_from(
    ["", "3", "-1", "1e400", "null", "[]", '["x"]', "{}", "true", '"q"', "2026-01-01", "\ud800"]
)
GIVEN = TYPED | st.none() | st.booleans() | st.sampled_from(["good", "red", "blue", "neutral"])


@given(st.dictionaries(st.sampled_from(TASK.paths), GIVEN), st.none() | TYPED)
def test_whatever_is_typed_is_an_answer_that_fits_or_one_line(changes, reasoning):
    with Store(":memory:") as store:
        filled(store, "a")
        desk = Desk(TASK, store, [("a", ())], reviewer="Ana")
        seen = desk.next("one")["row"]["seen"]
        decision = Decision(
            example="a", verdict="correct", seen=seen, changes=changes, reasoning=reasoning
        )
        reply = desk.decide("one", decision)
        (example,) = store.examples("t")
        if "error" in reply:
            assert len(reply["error"].splitlines()) == 1
            assert example.gold is None
        else:
            assert example.gold is not None
            assert TASK.answer_json(TASK.thought(example.gold).answer) == example.gold


def test_a_gold_that_differs_is_said_where_it_does(client, store):
    with store.connection.writing() as connection:
        connection.execute("""update examples set gold = '{"mood": "bad", "count": 2}'""")
    row = client.get()["row"]
    assert row["gold_differs"] == ["mood"]
    assert row["gold_by"] == "the data file"
    mood = row["fields"][0]["choices"]
    assert [one["said_by"][-1:] for one in mood] == [["3 of 5 votes"], ["2 of 5 votes"], []]
    assert "gold" in mood[1]["said_by"]
    assert all(says == [] for says in (row["fields"][n]["says"] for n in (1, 3)))
    client.decide(row)
    assert store.examples("t")[0].gold == ANSWER


def test_both_names_of_this_machine_are_its_own(client):
    port = client.server.server_port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        head = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
        assert client.send("GET", "/api/next", **head)[0] == 200
    crossed = {"Host": f"localhost:{port}", "Origin": f"http://127.0.0.1:{port}"}
    assert client.send("GET", "/api/next", **crossed)[0] == 403


def test_an_optional_part_without_values_is_null(store):
    row = shown_row(TASK, store, "a")
    assert row is not None
    changes = {"part.kind": None, "part.size": ""}
    with pytest.raises(TaskError, match=r"part\.size"):
        decided_answer(TASK, row, changes, reasoning=None)


def test_a_row_without_any_answer_is_corrected_from_nothing(serve, store):
    store.add_examples([Example(id="new", task="t", split="train", inputs={"text": "x"})])
    server = serve_review(TASK, store, [("new", ())], reviewer="Ana")
    row = server.desk.next("one")["row"]
    server.server_close()
    client = Client(serve())
    assert row["proposed_by"] is None
    assert "no answer to accept" in client.decide(row)["error"]
    assert client.decide(row, "correct", changes={"mood": "bad"})["error"].startswith("sure: ")
    changes = {"mood": "bad", "sure": True, "name": "N", "count": "0", "ratio": "1", "tags": "[]"}
    assert client.decide(row, "correct", changes=changes)["saved"]
    gold = store.examples("t")[-1].gold
    assert gold is not None
    assert (gold["part"], gold["note"], gold["ratio"]) == (None, None, 1.0)


def test_undo_shows_the_row_again_as_it_had_been_decided(client, store):
    client.decide(client.get()["row"], "correct", changes={"mood": "bad"}, reasoning="new")
    reply = client.post("/api/undo", {"review": None})
    assert reply["note"] == "Undone: this row had been corrected."
    assert reply["row"]["example"] == "a"
    assert reply["row"]["fields"][0]["draft"] == 1
    assert reply["row"]["draft_reasoning"] == "new"
    assert reply["progress"]["done"] == 0
    assert store.examples("t")[0].gold is None
    assert client.post("/api/undo", {})["note"] == "There is nothing to undo."


def test_skipped_rows_are_done_for_this_sitting_and_shown_again_in_the_next(client, serve):
    for _ in range(3):
        reply = client.decide(client.get()["row"], "skip")
    assert (reply["row"], reply["counts"]) == (None, {"skip": 3})
    assert reply["progress"] == {"done": 3, "total": 3}
    assert Client(serve()).get()["row"]["example"] == "a"


def test_two_windows_are_shown_different_rows_while_there_are_enough(serve):
    server = serve("ab")
    one, two = Client(server, "one"), Client(server, "two")
    assert [one.get()["row"]["example"], two.get()["row"]["example"]] == ["a", "b"]
    assert one.decide(one.get()["row"])["row"]["example"] == "b"  # all that is left


def test_a_row_that_was_decided_in_another_window_is_said_and_passed(serve, store, tmp_path):
    with Store(tmp_path / "s.db") as again:
        ana, rui = Client(serve()), Client(serve(on=again, reviewer="Rui"))
        mine, his = ana.get()["row"], rui.get()["row"]
        assert mine["example"] == his["example"] == "a"
        ana.decide(mine, "correct", changes={"mood": "bad"})
        for verdict, more in (("correct", {"changes": {"mood": "neutral"}}), ("skip", {})):
            reply = rui.decide(his, verdict, **more)
            assert "saved" not in reply
            assert "corrected by Ana in another window" in reply["note"]
            assert reply["row"]["example"] == "b"
        held = rui.get("/api/next?holding=a")
        assert (held["row"]["example"], "by Ana" in held["note"]) == ("b", True)
        assert rui.get("/api/next?holding=b")["held"] is True
        assert len(reviews(store, "t")) == 1


def test_a_row_whose_answer_has_changed_since_it_was_shown_is_shown_again(client, store):
    row = client.get()["row"]
    store.start_run(run("teacher").model_copy(update={"id": "new", "started": "2026-02-02"}))
    new = ANSWER | {"mood": "bad"}
    store.add_record(Record(run="new", example="a", answer=new, created="2026-02-02"))
    reply = client.decide(row)
    assert "has another answer" in reply["note"]
    assert reply["row"]["fields"][0]["chosen"] == 1
    assert client.decide(reply["row"])["saved"] == 1
    assert store.examples("t")[0].gold == new


def test_of_many_windows_at_once_none_loses_or_doubles_a_row(tmp_path):
    names = [f"{n:02}" for n in range(40)]
    with Store(tmp_path / "many.db") as one, Store(tmp_path / "many.db") as two:
        filled(one, names)
        servers = [
            serve_review(TASK, opened, [(name, ()) for name in names], reviewer=reviewer)
            for opened, reviewer in ((one, "Ana"), (two, "Rui"))
        ]
        saved: list[int] = []

        def work(client: Client) -> None:
            row = client.get()["row"]
            while row is not None:
                reply = client.decide(row)
                saved.extend([reply["saved"]] if "saved" in reply else [])
                row = reply["row"]

        threads = [
            threading.Thread(target=work, args=(Client(server, tab),))
            for server in servers
            for tab in ("one", "two")
        ]
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for server in servers:
            server.shutdown()
            server.server_close()
        kept = reviews(one, "t")
        assert sorted(review.example for review in kept) == names
        assert sorted(saved) == sorted(review.id or 0 for review in kept)
        assert sum(server.desk.counts.total() for server in servers) == len(names)


def test_a_long_queue_is_never_sent_and_quickly_passed_over(store):
    entries = [(f"gone {n}", ()) for n in range(200)] + [("a", ())]
    entries += [(f"later {n}", ()) for n in range(100_000)]
    server = serve_review(TASK, store, entries, reviewer="Ana")
    started = time.perf_counter()
    reply = server.desk.next("one")
    assert time.perf_counter() - started < 2
    assert reply["row"]["example"] == "a"
    assert len(json.dumps(reply)) < 10_000
    server.server_close()


def test_the_page_carries_its_policy_and_nothing_of_the_rows(client, store):
    status, head, body = client.send("GET", f"/?token={client.server.token}", X_Review_Token="")
    page = body.decode()
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', page))
    policy = head["content-security-policy"]
    assert status == 200
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert head["x-content-type-options"] == "nosniff"
    assert head["referrer-policy"] == "no-referrer"
    assert head["cache-control"] == "no-store"
    assert client.server.token not in page
    assert "row abc" not in page
    assert not re.search(r"(src|href)=\"(?!data:,)|https?://|@[A-Z]+@|innerHTML", page)
    other = client.send("GET", f"/?token={client.server.token}")[2].decode()
    assert f'nonce="{nonce}"' not in other


JSON = {"Content_Type": "application/json"}
REFUSED = [
    ("GET", "/", {}, 403),
    ("GET", "/?token=wrong", {}, 403),
    ("GET", "/?token=%C3%A9", {}, 403),
    ("GET", "/api/next", {"X_Review_Token": ""}, 403),
    ("GET", "/api/next", {"X_Review_Token": "é"}, 403),
    ("GET", "/api/next", {"Host": "evil.example"}, 421),
    ("GET", "/api/next", {"Host": "127.0.0.1"}, 421),
    ("GET", "/api/next", {"Origin": "http://evil.example"}, 403),
    ("GET", "/api/next", {"Origin": "null"}, 403),
    ("GET", "/api/next", {"Sec_Fetch_Site": "cross-site"}, 403),
    ("GET", "/nothing", {}, 404),
    ("GET", "/api/review", {}, 404),
    ("GET", "/../../etc/passwd", {}, 404),
    ("POST", "/api/next", JSON, 404),
    ("POST", "/api/review", {"Content_Type": "text/plain"}, 415),
    ("POST", "/api/review", {"Content_Type": "application/x-www-form-urlencoded"}, 415),
    ("POST", "/api/review", {**JSON, "X_Review_Token": ""}, 403),
    ("POST", "/api/review", {**JSON, "Origin": "https://evil.example"}, 403),
    ("POST", "/api/review", {**JSON, "Content_Length": str(BODY_LIMIT + 1)}, 413),
    ("POST", "/api/review", {**JSON, "Content_Length": "9" * 5000}, 413),
    ("POST", "/api/review", {**JSON, "Content_Length": "-1"}, 400),
    ("POST", "/api/review", {**JSON, "Content_Length": "many"}, 400),
    ("POST", "/api/review", {**JSON, "Transfer_Encoding": "chunked", "Content_Length": "2"}, 411),
    ("PUT", "/api/review", JSON, 405),
    ("OPTIONS", "/api/review", {"Origin": "http://evil.example"}, 405),
    ("HEAD", "/", {}, 405),
    ("BREW", "/", {}, 501),
]


@pytest.mark.parametrize(("method", "path", "head", "status"), REFUSED)
def test_who_does_not_belong_here_is_refused(client, store, method, path, head, status):
    body = b"{}" if method == "POST" else None
    code, told, content = client.send(method, path, body, **head)
    assert code == status
    assert told["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert client.server.token.encode() not in content
    assert b"evil" not in content
    assert client.get()["row"]["example"] == "a"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"example": "a"}',
        b'{"example": 1, "verdict": "skip", "seen": ""}',
        b'{"example": "a", "verdict": "delete", "seen": ""}',
        b'{"example": "a", "verdict": "skip", "seen": "", "reviewer": "Eva"}',
        b'{"example": "\\ud800", "verdict": "skip", "seen": ""}',
    ],
)
def test_a_body_that_is_no_decision_is_a_bad_request(client, store, body):
    status, _, content = client.send("POST", "/api/review", body, Content_Type="application/json")
    assert status == 400, content
    assert reviews(store, "t") == []
    assert client.get()["row"]["example"] == "a"


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET //[ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\0" * 100 + b"\r\n",
        b"POST /api/review HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 50\r\n\r\n{",
    ],
)
def test_rubbish_leaves_the_server_alive(client, capfd, sent):
    port = client.server.server_port
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent.replace(b"%d", str(port).encode()))
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(100)
    assert re.match(rb"(HTTP/1\.[01] 4\d\d |HTTP/1\.[01] 505|\{\"error\"|$)", answer), answer
    assert client.get()["row"]["example"] == "a"
    assert capfd.readouterr() == ("", "")


def test_it_listens_on_this_machine_only_and_logs_no_token(client, capfd):
    assert client.server.server_address[0] == "127.0.0.1"
    client.send("GET", f"/?token={client.server.token}")
    client.get()
    assert capfd.readouterr() == ("", "")


def test_a_store_that_cannot_be_read_is_a_line_for_the_page(client, store):
    store.close()
    status, _, body = client.send("GET", "/api/next")
    assert status == 503
    assert "s.db" in json.loads(body)["error"]


def command(store: Path, **options: Any) -> None:
    given: dict[str, Any] = {"task": f"{store.parent / 'task.py'}:task", "store": store}
    defaults: dict[str, Any] = {"reviewer": "Ana", "port": 0, "split": None, "limit": None}
    review_(**given | defaults | {"no_open": True} | options)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101, "\u202eana"])
def test_a_reviewer_without_a_name_is_one_line(tmp_path, capsys, name):
    with pytest.raises(SystemExit):
        command(tmp_path / "s.db", reviewer=name)
    assert "--reviewer is a name of 1 to 100" in capsys.readouterr().err


def test_a_port_that_is_taken_is_one_line(tmp_path, capsys, client):
    answered(tmp_path / "one.db")
    with pytest.raises(SystemExit):
        command(tmp_path / "one.db", port=client.server.server_port)
    assert "give another --port" in capsys.readouterr().err


def test_nothing_to_review_is_one_line(tmp_path, capsys):
    answered(tmp_path / "one.db")
    with Store(tmp_path / "one.db") as store:
        accepted: dict[str, Any] = {
            "verdict": "accept",
            "answer": {"mood": "good"},
        }
        add_review(store, "t", Review(example="a", reviewer="Rui", created="2026", **accepted))
    with pytest.raises(SystemExit):
        command(tmp_path / "one.db")
    assert "no row of task t waits for review" in capsys.readouterr().err


def answered(path: Path) -> None:
    """A task beside the store, and in it one row that a teacher has answered."""
    source = path.with_name("task.py")
    source.write_text(
        "from typing import Literal\n"
        "from langchain_core.prompts import ChatPromptTemplate\n"
        "from pydantic import BaseModel\n"
        "from understudy.chains import Task\n"
        "class Reply(BaseModel):\n    mood: Literal['good', 'bad']\n"
        "prompt = ChatPromptTemplate.from_messages([('human', '{text}')])\n"
        "task = Task(name='t', schema=Reply, prompt=prompt)\n"
    )
    task = load_task(f"{source}:task")
    with Store(path) as store:
        store.add_examples([Example(id="a", task="t", split="train", inputs={"text": "x"})])
        words = {"words": task.teacher_words, "answers": task.answers}
        store.start_run(run("teacher").model_copy(update=words))
        answer = {"mood": "good"}
        store.add_record(Record(run="teacher", example="a", answer=answer, created="2026"))


def test_ctrl_c_stops_the_command_with_one_line(tmp_path):
    answered(tmp_path / "s.db")
    options = ["--task", "task.py:task", "--store", "s.db", "--reviewer", "Ana", "--no-open"]
    process = subprocess.Popen(
        [sys.executable, "-m", "understudy.distill.cli", "review", *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", line)
    assert found, (line, process.stderr and process.stderr.read())
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
    connection.request("GET", "/api/next", headers={"X-Review-Token": found[2]})
    row = json.loads(connection.getresponse().read())["row"]
    body = json.dumps({"example": "a", "seen": row["seen"], "verdict": "accept"})
    head = {"X-Review-Token": found[2], "Content-Type": "application/json"}
    connection.request("POST", "/api/review", body, head)
    assert json.loads(connection.getresponse().read())["saved"] == 1
    process.send_signal(signal.SIGINT)  # the connection is open still
    rest, errors = process.communicate(timeout=30)
    assert rest == "1 rows reviewed by Ana: 1 accepted, 0 corrected, 0 skipped\n"
    assert (process.returncode, errors) == (0, "")
