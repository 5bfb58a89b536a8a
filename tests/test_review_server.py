"""The review page's server and its command: whom it does not let in, and how it ends."""

from __future__ import annotations

import http.client
import json
import re
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from understudy.chains.loading import load_task
from understudy.distill.commands.review import review_
from understudy.distill.reviewing.server import BODY_LIMIT
from understudy.store import Example, Record, Store
from understudy.store.reviews import add_review, reviews
from understudy.store.rows import Review

SAMPLES = Path(__file__).with_name("review_samples.py")
samples: Any = SimpleNamespace(**runpy.run_path(str(SAMPLES)))
run, store, serve, client = samples.run, samples.store, samples.serve, samples.client


def test_both_names_of_this_machine_are_its_own(client):
    port = client.server.server_port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        head = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
        assert client.send("GET", "/api/next", **head)[0] == 200
    crossed = {"Host": f"localhost:{port}", "Origin": f"http://127.0.0.1:{port}"}
    assert client.send("GET", "/api/next", **crossed)[0] == 403


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


@pytest.mark.needs_posix
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
