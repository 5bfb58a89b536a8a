"""The command distill: its options, what it says before, during and after, and how it ends."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from understudy.distill.cli import main
from understudy.distill.commands.display import row_lines
from understudy.distill.labelling.outcome import extrapolated
from understudy.distill.labelling.teaching import FLAGS, NAMES, in_flags, read_shots
from understudy.examples.news.task import task
from understudy.store import Example, Record, Store, StoreError, example_id

KEY = "sk-test-0123456789abcdef"
ORDERS = "understudy.examples.extraction.task:task"
PART = {"polaridade": "Neutro", "emocao": "Neutro"}
GOOD = {"raciocinio": "sem pista", "f1": PART, "f2": PART, "f3": PART}
ANSWER = {name: value for name, value in GOOD.items() if name != "raciocinio"}
Said = tuple[int, str, str]
Run = Callable[..., Said]


class Teacher(ThreadingHTTPServer):
    """An OpenAI-compatible teacher on loopback; `reply(number, asked)` gives status, headers, body.

    Every answered call uses 1,000 tokens in, 400 of them cached, and 100 out.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.reply: Callable[[int, dict[str, Any]], Any] = lambda number, asked: GOOD

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Teacher

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(asked)
            number = len(self.server.asked)
        reply = self.server.reply(number, asked)
        status, headers, body = reply if isinstance(reply, tuple) else (200, {}, reply)
        whole = json.dumps(completion(asked, body) if status == 200 else {"error": body}).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(whole)))
        self.end_headers()
        self.wfile.write(whole)

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


def completion(asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(answer, ensure_ascii=False)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if "tools" in asked:
        name = asked["tools"][-1]["function"]["name"]
        call = {"id": "1", "type": "function", "function": {"name": name, "arguments": text}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": asked["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 1000,
            "completion_tokens": 100,
            "total_tokens": 1100,
            "prompt_tokens_details": {"cached_tokens": 400},
        },
    }


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Teacher]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Teacher() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `understudy distill` in an empty folder: (status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["understudy", "distill", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def news(count: int, **fields: str) -> Path:
    """A file of that many news rows of the split train, in the working directory."""
    path = Path("news.csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["f1", "f2", "f3", "split", *fields])
        writer.writeheader()
        for number in range(count):
            texts = {"f1": "Sol.", "f2": "Chuva.", "f3": f"Dia {number}."}
            writer.writerow({**texts, "split": "train", **fields})
    return path


def prices(**dollars_per_million: float) -> Path:
    path = Path("prices.toml")
    lines = [f"{name} = {value}" for name, value in dollars_per_million.items()]
    path.write_text('["fake"]\n' + "\n".join(lines) + "\n")
    return path


def asking(server: Teacher, *more: object, model: str = "fake") -> list[object]:
    return ["--teacher", f"openai:{model}", "--base-url", server.url, *more]


def summary(out: str) -> str:
    """The line that counts a run's rows, calls and cost."""
    (line,) = [line for line in out.splitlines() if " asked now" in line][-1:]
    return line


def told_splits(line: str) -> dict[str, int]:
    """What the line that counts rows by split says."""
    assert line.startswith("by split: ")
    pairs = (told.split(" ") for told in line.removeprefix("by split: ").split(", "))
    return {split: int(count) for count, split in pairs}


def stored() -> list[Record]:
    with Store("understudy.db") as store:
        return [record for one in store.runs() for record in store.records(one.id)]


# --- what is chosen -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--strategy", "voting"], ["voting", "zero_shot, few_shot"]),
        (["--strategy", "rationalise"], ["rationalise"]),
        (["--samples", "3"], ["zero_shot takes no --samples", "self_consistency"]),
        (["--strategy", "vote", "--samples", "3"], ["--samples", "it has --persona, --mend"]),
        (["--strategy", "cot", "--random-labels"], ["--random-labels is of few_shot"]),
        (["--strategy", "few_shot"], ["few_shot needs --shots"]),
        (["--strategy", "agent"], ["agent needs --tools"]),
        (["--strategy", "agent", "--tools", "none.py:tools"], ["none.py"]),
        (["--strategy", "few_shot", "--shots", "none.csv"], ["none.csv"]),
        (["--teacher", "offline", "--teacher", "offline"], ["zero_shot", "at most 1 --teacher"]),
        (["--strategy", "negotiate", *["--teacher", "offline"] * 3], ["at most 2 --teacher"]),
        (["--strategy", "vote"], ["2 voters"]),
        (["--base-url", "http://a", "--base-url", "http://b"], ["2 --base-url for 1 --teacher"]),
        (["--temperature", "1"], ["offline", "no --temperature"]),
        (["--teacher", "openai:m", "--key-variable", "x"], ["--key-variable is the name"]),
        (["--max-usd", "0"], ["--max-usd=0", "above 0"]),
        (["--prices", "none.toml"], ["none.toml"]),
        (["--reuse-labels", "abc"], ["abc"]),
    ],
)
def test_a_choice_that_does_not_fit_is_one_line(
    run: Run, words: list[str], said: list[str]
) -> None:
    status, _, error = run("--task", ORDERS, *words)
    (line,) = error.strip().splitlines()
    assert status == 1
    assert line.startswith("understudy: ")
    for word in said:
        assert word in line


def test_a_choice_that_does_not_fit_leaves_no_store_behind(run: Run) -> None:
    run("--task", ORDERS, "--samples", "3")
    assert not Path("understudy.db").exists()


def test_every_option_of_every_strategy_has_a_word() -> None:
    import inspect

    from understudy.chains.strategies import STRATEGIES

    texts = {"words", "analysis_words", "criticism", "objection"}  # belong in a task's own file
    others = {"prompts", "seed", "target"}
    for name in NAMES:
        for one in inspect.signature(STRATEGIES[name]).parameters.values():
            if one.kind is one.KEYWORD_ONLY:
                assert one.name in {*FLAGS, *texts, *others}, f"{name} has {one.name}"


def test_several_teachers_and_personas_vote(run: Run, server: Teacher) -> None:
    status, out, _ = run(
        *("--data", news(3), "--strategy", "vote", "--base-url", server.url),
        *("--teacher", "openai:one", "--teacher", "openai:two"),
        *("--persona", "You are calm.", "--persona", "You are a trader."),
    )
    assert status == 0
    assert "12 calls" in out
    assert {asked["model"] for asked in server.asked} == {"one", "two"}
    assert {str(asked["messages"][0]["content"]).split(".")[0] for asked in server.asked} == {
        "You are calm",
        "You are a trader",
    }
    (first, *_) = stored()
    assert first.votes


def test_each_teacher_may_have_a_server_of_its_own(run: Run, server: Teacher) -> None:
    with Teacher() as second:
        threading.Thread(target=second.serve_forever, args=(0.01,)).start()
        status, *_ = run(
            *("--data", news(2), "--strategy", "two_step"),
            *("--teacher", "openai:thinker", "--base-url", server.url),
            *("--teacher", "openai:formatter", "--base-url", second.url),
        )
        second.shutdown()
    assert status == 0
    assert {asked["model"] for asked in server.asked} == {"thinker"}
    assert {asked["model"] for asked in second.asked} == {"formatter"}


def test_samples_at_a_temperature_are_counted(run: Run, server: Teacher) -> None:
    words = ["--strategy", "self_consistency", "--samples", "3", "--temperature", "0.7"]
    status, out, _ = run("--data", news(1), *words, *asking(server))
    assert (status, "3 calls" in out) == (0, True)
    assert [asked["temperature"] for asked in server.asked] == [0.7] * 3


@pytest.mark.parametrize("warmth", [0.3, 0.0])
def test_a_temperature_is_the_teachers_own_where_a_strategy_has_none(
    run: Run, server: Teacher, warmth: float
) -> None:
    words = ["--temperature", warmth, "--max-output-tokens", "77"]
    run("--data", news(1), *words, *asking(server))
    (asked,) = server.asked
    assert asked["temperature"] == warmth
    assert 77 in (asked.get("max_tokens"), asked.get("max_completion_tokens"))


def test_an_agent_is_given_the_tools_of_a_file(run: Run, server: Teacher) -> None:
    Path("tools.py").write_text(
        "def weather(day: str) -> str:\n    'The weather.'\n    return 'sun'\ntools = [weather]\n"
    )
    status, _, error = run("--task", ORDERS, "--strategy", "agent", "--tools", "tools.py:weather")
    assert (status, "is no list of tools" in error) == (1, True)
    words = ["--strategy", "agent", "--tools", "tools.py", "--max-calls", 3]
    status, out, _ = run("--data", news(2), *words, *asking(server))
    assert (status, "2 rows in understudy.db, 0 failed" in out) == (0, True)
    named = {tool["function"]["name"] for tool in server.asked[0]["tools"]}
    assert named == {"weather", "Noticia"}


# --- worked examples ------------------------------------------------------------------------------


def shots_file(name: str = "shots.csv", reasoning: bool = True) -> Path:
    paths = {f"f{n}.{kind}": "Neutro" for n in (1, 2, 3) for kind in ("polaridade", "emocao")}
    rows = [{"f1": "Alta.", "f2": "Queda.", "f3": f"Nada {n}.", **paths} for n in range(3)]
    rows = [row | ({"raciocinio": f"motivo {row['f3']}"} if reasoning else {}) for row in rows]
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return Path(name)


def test_shots_of_a_file_stand_before_the_question(run: Run, server: Teacher) -> None:
    words = ["--strategy", "cot", "--shots", shots_file(), "--shots-k", "2"]
    status, *_ = run("--data", news(1), *words, *asking(server))
    assert status == 0
    (asked,) = server.asked
    said = [m for m in asked["messages"] if m["role"] == "assistant"]
    assert len(said) == 2
    assert json.loads(said[0]["content"])["raciocinio"] == "motivo Nada 0."


def test_an_exported_run_is_a_file_of_shots(run: Run, server: Teacher) -> None:
    run("--data", news(3), *asking(server))
    with Store("understudy.db") as store:
        from understudy.store.export import export_run

        (made,) = store.runs()
        for name in ("shots.jsonl", "shots.csv"):
            export_run(store, made.id, name, format=name.split(".")[1])
    for name in ("shots.jsonl", "shots.csv"):
        shots = read_shots(task, name, reasoned=True)
        assert [(s.inputs["f3"], s.answer, s.reasoning) for s in shots] == [
            (f"Dia {n}.", ANSWER, "sem pista") for n in range(3)
        ]


def test_shots_without_a_reasoning_are_refused_where_one_is_needed(tmp_path: Path) -> None:
    path = shots_file(str(tmp_path / "s.csv"), reasoning=False)
    assert len(read_shots(task, path)) == 3
    with pytest.raises(StoreError, match=r"s\.csv, row 1 has no reasoning; give a column racioc"):
        read_shots(task, path, reasoned=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("f1,f2,f3\na,b,c\n", "row 1: has no answer"),
        ("f1,f2,f3,f1.polaridade\na,b,c,Neutro\n", "row 1: "),
        ("f1,f2,f3\na,,c\n", "f2 is empty"),
        ("title\na\n", "no column f1"),
        ("f1,f2,f3\n", "no row"),
    ],
)
def test_a_row_that_is_no_shot_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "shots.csv"
    path.write_text(text)
    with pytest.raises(StoreError, match=said) as error:
        read_shots(task, path)
    assert "\n" not in str(error.value)
    assert "shots.csv" in str(error.value)


# --- what is said ---------------------------------------------------------------------------------


def test_model_price_and_terms_are_said_before_the_first_call(run: Run, server: Teacher) -> None:
    prices(input=1, output=10, cached_input=0.5)
    _, out, _ = run("--data", news(1), *asking(server))
    lines = out.splitlines()[1:4]
    assert lines[0].startswith("teacher fake: held to the schema by ")
    assert lines[1] == "price of fake: $1 in, $10 out per million tokens (prices.toml)"
    assert lines[2].startswith("terms of fake: not known to us")


def test_an_unknown_price_is_said_and_never_zero(run: Run, server: Teacher) -> None:
    _, out, error = run("--data", news(1), *asking(server))
    assert "price of fake: price unknown: give --prices FILE" in out
    assert "cost unknown" in summary(out)
    assert "$" not in error
    status, _, error = run(*asking(server, "--max-usd", "1", "--max-output-tokens", "100"))
    assert (status, "--max-usd needs a price" in error) == (1, True)


def test_tracing_that_is_on_is_said(run: Run) -> None:
    from langsmith.run_helpers import tracing_context

    with tracing_context(enabled=True):
        _, out, _ = run("--task", ORDERS, "--split", "none")
    assert "tracing is on: prompts and answers leave this machine" in out


def test_the_summary_counts_what_earlier_calls_of_the_command_spent(
    run: Run, server: Teacher
) -> None:
    prices(input=1, output=10, cached_input=0.5)
    run("--data", news(4), "--limit", "3", *asking(server))
    _, out, _ = run(*asking(server))
    # A call: 600 tokens at $1, 400 at $0.50, 100 at $10, per million.
    assert summary(out) == (
        "teacher fake: 4 rows in understudy.db, 0 failed; 1 asked now, 4 calls, "
        "4,000 tokens in (1,600 cached), 400 out, $0.0072"
    )
    with Store("understudy.db") as store:
        assert told_splits(out.splitlines()[-1]) == store.splits(task.name)
    assert "3 rows are answered already and are not asked again" in out


def test_what_failed_is_a_table_with_what_to_do(run: Run, server: Teacher) -> None:
    server.reply = lambda number, asked: (
        (400, {}, {"message": f"maximum context length exceeded by {number}"})
        if number % 3
        else GOOD
    )
    status, out, _ = run("--data", news(9), "--concurrency", 1, *asking(server))
    assert status == 0
    assert "9 rows in understudy.db, 6 failed" in out
    (row,) = [line for line in out.splitlines() if "context length" in line]
    assert " 6 " in row
    assert "length exceeded by" in row  # and "#" where the table is wide enough
    assert "shorten the row" in out
    failed = {record.example for record in stored() if record.answer is None}
    assert any(number in row for number in failed)


def test_json_is_all_of_standard_output(run: Run, server: Teacher) -> None:
    prices(input=1, output=10, cached_input=0.5)
    server.reply = lambda number, asked: (400, {}, {"message": "no"}) if number == 2 else GOOD
    status, out, error = run("--data", news(3), "--concurrency", 1, "--json", *asking(server))
    told = json.loads(out)
    assert status == 0
    assert (told["rows"], told["failed"], told["asked"], told["left"]) == (3, 1, 3, 1)
    with Store("understudy.db") as store:
        assert told["splits"] == store.splits(task.name)
    assert told["cost"] == pytest.approx(2 * 0.0018)
    assert [one["rows"] for one in told["failures"]] == [1]
    assert told["stopped"] is None
    assert "what failed" in error


def test_a_smoke_run_shows_its_rows_and_what_the_rest_would_cost(run: Run, server: Teacher) -> None:
    prices(input=1, output=10, cached_input=0.5)
    words = ["--data", news(100), "--split-column", "split", *asking(server)]
    status, out, _ = run("--smoke", 4, *words)
    assert (status, len(server.asked)) == (0, 4)
    assert out.count("  answer: {") == out.count("  reasoning: sem pista") == 4
    assert out.count("1 call, 1,000 tokens in (400 cached), 100 out, $0.0018") == 4
    assert "the 96 rows left at this mean of $0.0018: $0.17" in out
    _, again, _ = run("--smoke", 4, *words)
    assert len(server.asked) == 4, "the same rows are shown again for nothing"
    assert "  reasoning: sem pista" in again
    run(*words)
    assert len(server.asked) == 100


def test_a_smoke_run_of_limited_rows_is_one_of_them(run: Run, server: Teacher) -> None:
    words = ["--data", news(50), "--split-column", "split", "--limit", 10, *asking(server)]
    _, out, _ = run("--smoke", 4, *words)
    assert [line.split()[-1] for line in out.splitlines() if "  f3: " in line] == [
        f"{n}." for n in range(4)
    ]
    assert "6 rows left" in out
    run(*words)
    assert len(server.asked) == 10


def test_a_sum_that_leaves_something_out_says_so(run: Run, server: Teacher) -> None:
    run("--data", news(3), "--limit", 2, *asking(server))
    prices(input=1, output=10, cached_input=0.5)
    _, out, _ = run(*asking(server))
    assert summary(out).endswith("$0.0018 and the unknown cost of 2 rows")


def test_calls_that_did_not_say_what_they_used_are_counted_at_most(
    run: Run, server: Teacher
) -> None:
    prices(input=1, output=10, cached_input=0.5)

    def late(number: int, asked: dict[str, Any]) -> dict[str, Any]:
        time.sleep(1.0 if number == 1 else 0)
        return GOOD

    server.reply = late
    words = ["--concurrency", 1, "--max-output-tokens", 50, "--max-usd", 1, "--timeout", 0.5]
    _, out, _ = run("--data", news(2), *words, *asking(server))
    assert re.search(r"\$0\.0036 \(at most \$0\.00\d+: some calls did not say\)$", summary(out))


def test_what_costs_nothing_is_said_to(run: Run) -> None:
    _, out, _ = run("--task", ORDERS, "--limit", 1)
    assert summary(out).endswith("4 calls, $0.00")


def test_what_a_model_writes_moves_no_terminal(run: Run, server: Teacher) -> None:
    server.reply = lambda number, asked: {**GOOD, "raciocinio": "a\x1b[2J\u202eb\r\nc" + "x" * 5000}
    _, out, error = run("--data", news(2), "--smoke", 1, *asking(server))
    assert "\x1b" not in out + error
    assert "\u202e" not in out + error
    assert max(map(len, out.splitlines())) < 1200


def test_a_row_without_an_answer_shows_why() -> None:
    inputs = {"f1": "a\nb"}
    example = Example(id=example_id(inputs), task="t", split="train", inputs=inputs)
    record = Record(run="r", example=example.id, error="Refused: no", created="now")
    lines = list(row_lines(example, record))
    assert lines[1:3] == ["  f1: a b", "  no answer: Refused: no"]
    assert "cost unknown" in lines[-1]


def test_the_rest_of_a_sample_is_priced_with_an_interval() -> None:
    costs = [0.010, 0.020, 0.030, 0.020]
    said = Record(run="r", example="e", answer={"mood": "good"}, created="now")
    records = [said.model_copy(update={"cost": cost}) for cost in costs]
    assert extrapolated(records, 1000) == (
        "the 1,000 rows left at this mean of $0.020: $20.00 (95 % interval $12.00 to $28.00)"
    )
    assert extrapolated(records, 0) == "no row is left"
    assert "unknown: give --prices" in extrapolated([*records, said], 5)
    failed = Record(run="r", example="e", error="no network", cost=0.0, created="now")
    assert "no row has an answer" in extrapolated([failed], 5)


def test_errors_of_the_engine_come_in_the_words_of_the_command_line() -> None:
    assert in_flags("raise max_usd, give max_output_tokens") == (
        "raise --max-usd, give --max-output-tokens"
    )
    theirs = "HTTP 400: Unsupported parameter: 'max_tokens' is not supported, see `base_url`"
    assert in_flags(theirs) == theirs


def test_a_plan_says_what_it_would_cost_and_asks_nothing(run: Run, server: Teacher) -> None:
    prices(input=1, output=10)
    words = ["--data", news(30), "--split-column", "split", *asking(server)]
    words += ["--max-output-tokens", 200]
    status, out, _ = run("--plan", *words)
    assert (status, server.asked) == (0, [])
    assert "rows left: 30 " in out
    assert re.search(r"cost in US dollars: 0\.\d+ expected, 0\.\d+ at most", out)
    status, out, _ = run("--plan", "--json", *words)
    told = json.loads(out)
    assert (status, told["rows"], server.asked) == (0, 30, [])
    assert not Path("understudy.db").exists()
    status, out, _ = run("--plan", "--smoke", 5, "--json", *words)
    assert json.loads(out)["rows"] == 5


def test_a_plan_leaves_the_store_as_it_is(run: Run) -> None:
    prices(input=1, output=10)
    run("--data", news(3), "--split-column", "split", "--teacher", "offline")
    before = Path("understudy.db").read_bytes()
    status, out, _ = run("--data", news(9), "--split-column", "split", "--plan")
    assert (status, Path("understudy.db").read_bytes()) == (0, before)
    assert "rows left: 6 " in out
    Path("notes.db").write_text("no store at all, but words", encoding="utf-8")
    status, _, error = run("--plan", "--store", "notes.db", "--teacher", "offline")
    assert (status, error.count("\n"), "notes.db" in error) == (1, 1, True)


@pytest.mark.parametrize("named", [[], ["--key-variable", "GROQ_API_KEY"]])
def test_a_plan_needs_no_key(run: Run, monkeypatch: pytest.MonkeyPatch, named: list[str]) -> None:
    for variable in ("OPENAI_API_KEY", "GROQ_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    prices(input=1, output=10)
    words = ["--data", news(3), "--split-column", "split", "--teacher", "openai:a-model", *named]
    status, out, error = run("--plan", "--max-output-tokens", 50, *words)
    assert (status, "rows left: 3 " in out) == (0, True), error
    status, _, error = run(*words)
    assert (status, "needs" in error, "key" in error) == (1, True, True)


def test_rows_come_from_standard_input(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": f"I order {n} lamps. Ana Lima"}) + "\n" for n in range(3))
    command = [sys.executable, "-m", "understudy.distill.cli", "distill", "--data", "-"]
    ended = subprocess.run(
        [*command, "--task", ORDERS],
        cwd=tmp_path,
        input=rows,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "-: 3 new examples, 0 already known" in ended.stdout
    assert "3 rows in understudy.db" in ended.stdout


def test_rows_asked_twice_say_how_far_a_teacher_agrees_with_itself(
    run: Run, server: Teacher
) -> None:
    other = {**GOOD, "f1": {"polaridade": "Positivo", "emocao": "Neutro"}}
    server.reply = lambda number, asked: other if number > 20 and number % 2 else GOOD
    words = ["--data", news(30), "--split-column", "split", *asking(server)]
    status, out, _ = run("--repeat", 20, *words)
    assert (status, len(server.asked)) == (0, 40)
    agreement = 1 - 10 / (20 * 3)  # a sentence is one part: polarity and emotion
    assert re.search(rf"says the same in {agreement:.3f} \[0\.\d+, 0\.\d+\] of answer parts", out)
    status, out, _ = run("--repeat", 20, "--json", *words)
    assert len(server.asked) == 40, "what was asked twice is not asked again"
    assert json.loads(out)["agreement"]["value"] == pytest.approx(agreement)
    run(*words)
    assert len(server.asked) == 50, "the first answers teach, the second ones are beside them"


def test_rows_asked_twice_stay_within_one_budget(run: Run, server: Teacher) -> None:
    prices(input=1, output=10, cached_input=0.5)
    words = ["--data", news(20), "--max-output-tokens", 200, *asking(server)]
    status, _, error = run("--repeat", 10, "--max-usd", "0.03", "--json", *words)
    assert (status, "raise --max-usd" in error) == (0, True)
    assert 10 < len(server.asked) <= 0.03 / 0.0018


def test_labels_that_are_about_to_be_bought_again_are_said(run: Run, server: Teacher) -> None:
    run("--data", news(3), *asking(server))
    with Store("understudy.db") as store:
        (first,) = store.runs()
    _, out, _ = run("--temperature", "0.5", "--limit", "1", *asking(server))
    assert (
        f"run {first.id} has 3 answers of this model, told the same words with other parameters "
        f"(temperature): --reuse-labels {first.id} takes them over"
    ) in out


def test_older_labels_count_where_it_is_said(run: Run, server: Teacher) -> None:
    run("--data", news(5), *asking(server))
    with Store("understudy.db") as store:
        (first,) = store.runs()
    words = ["--reuse-labels", first.id, *asking(server, model="other")]
    status, out, _ = run(*words)
    assert (status, len(server.asked)) == (0, 5)
    assert f"labels bought with the words {first.id} count for this run, too" in out
    assert "5 rows in understudy.db, 0 failed; 0 asked now, 5 with older labels, 0 calls" in out


# --- how it ends ----------------------------------------------------------------------------------


def test_a_budget_ends_the_run_cleanly_and_a_larger_one_goes_on(run: Run, server: Teacher) -> None:
    prices(input=1, output=10, cached_input=0.5)
    words = ["--data", news(50), *asking(server, "--max-output-tokens", "200")]
    status, out, error = run(*words, "--max-usd", "0.04", "--json")
    told = json.loads(out)
    assert status == 0
    assert 0.02 < told["cost"] <= 0.04
    assert told["left"] == 50 - told["rows"] > 0
    assert re.search(rf"raise --max-usd to go on; {told['left']} rows are left", error)
    before = len(server.asked)
    status, out, _ = run(*words, "--max-usd", "10")
    assert (status, len(server.asked)) == (0, 50)
    assert before == told["rows"]
    assert "50 rows in understudy.db, 0 failed" in out


def test_answers_and_calls_that_fail_are_asked_again_as_often_as_is_said(
    run: Run, server: Teacher
) -> None:
    outside = {**GOOD, "f1": {"polaridade": "Ótimo", "emocao": "Neutro"}}
    server.reply = lambda number, asked: outside if number == 1 else GOOD
    _, out, _ = run("--data", news(1), "--store", "a.db", *asking(server))
    assert "1 rows in a.db, 0 failed; 1 asked now, 2 calls" in out
    server.asked.clear()
    words = ["--data", "news.csv", "--schema-retries", 0, *asking(server)]
    _, out, _ = run(*words, "--store", "b.db")
    assert "1 failed; 1 asked now, 1 calls" in out
    assert "more --schema-retries" in out
    server.asked.clear()
    server.reply = lambda number, asked: (503, {}, {"message": "busy"}) if number == 1 else GOOD
    _, out, _ = run(*words, "--store", "c.db", "--retries", 0)
    assert "1 failed; 1 asked now, 1 calls" in out


def test_requests_a_minute_are_a_pace(run: Run, server: Teacher) -> None:
    begun = time.monotonic()
    run("--data", news(6), "--rpm", 600, *asking(server))
    assert time.monotonic() - begun > 0.5
    assert len(server.asked) == 6


def test_a_daily_limit_ends_with_75_and_the_time_to_come_back(run: Run, server: Teacher) -> None:
    server.reply = lambda number, asked: (
        (429, {"Retry-After": "3600"}, {"message": "daily limit"}) if number > 2 else GOOD
    )
    status, out, error = run("--data", news(20), "--concurrency", 1, *asking(server))
    assert status == 75
    last = error.strip().splitlines()[-1]
    assert re.search(r"until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", last)
    assert "18 rows are left" in last
    assert "rows in understudy.db" in out


def test_a_run_without_an_answer_ends_with_1(run: Run, server: Teacher) -> None:
    server.reply = lambda number, asked: (400, {}, {"message": f"bad request {KEY}"})
    status, out, error = run("--data", news(3), *asking(server))
    assert status == 1
    assert "no row has an answer; most often: " in error.splitlines()[-1]
    assert KEY not in out + error


@pytest.mark.needs_posix
def test_ctrl_c_ends_with_130_and_keeps_what_was_done(tmp_path: Path, server: Teacher) -> None:
    import os
    import signal

    def slow(number: int, asked: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.1)
        return GOOD

    server.reply = slow
    data = tmp_path / "news.csv"
    rows = "".join(f"Sol.,Chuva.,Dia {n}.\n" for n in range(500))
    data.write_text("f1,f2,f3\n" + rows)
    command = [sys.executable, "-m", "understudy.distill.cli", "distill", "--data", str(data)]
    command += [str(word) for word in asking(server)]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        while len(server.asked) < 10:
            assert running.poll() is None
            time.sleep(0.02)
        os.kill(running.pid, signal.SIGINT)
        _, error = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "run the same command again to go on" in error
    with Store(tmp_path / "understudy.db") as store:
        (one,) = store.runs()
        assert len(store.records(one.id)) >= 2


def test_help_shows_the_options_by_what_they_are_about(run: Run) -> None:
    status, out, _ = run("--help")
    titles = re.findall(r"─ (\w+) ─", out)
    assert (status, titles) == (0, ["Options", "Rows", "Strategy", "Money", "Pace"])
