"""The commands evaluate and report: their options, gates and exit statuses, as they are typed."""

from __future__ import annotations

import csv
import json
import shlex
import sys
import threading
from pathlib import Path

import pytest

from tests.test_openai_teacher import Server
from understudy.distill.cli import main
from understudy.store import Store
from understudy.store.totals import spent_by

NEWS = {"f1": "Moradores comemoraram a alta.", "f2": "A enchente deixou medo.", "f3": "Dia."}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def typed(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["understudy", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        out, error = capsys.readouterr()
        return status, out, error

    return typed


@pytest.fixture
def labelled(run, tmp_path):
    """A store with 40 labelled rows of split train and 20 of split test, with gold."""
    rows = [
        {**NEWS, "f3": f"Dia {n}.", "split": "test" if n % 3 == 0 else "train"} for n in range(60)
    ]
    gold = {"f1.polaridade": "Positivo", "f1.emocao": "Felicidade"}
    data = tmp_path / "news.csv"
    with data.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], *gold])
        writer.writeheader()
        writer.writerows({**row, **gold} for row in rows)
    status, _, error = run("distill", "--data", str(data), "--split-column", "split")
    assert status == 0, error
    return run


def one_line(error: str) -> str:
    lines = [line for line in error.splitlines() if line.startswith("understudy: ")]
    assert len(lines) == 1, error
    return lines[0]


def test_a_gate_that_holds_is_status_0_and_one_that_does_not_is_status_1_with_the_reason(labelled):
    status, out, _ = labelled("evaluate", "--gate", "tfidf.accuracy >= 0.5 on test")
    assert (status, "holds" in out) == (0, True)
    status, out, error = labelled("evaluate", "--gate", "majority.accuracy >= 1.5 on test")
    assert status == 1
    assert "does not hold" in one_line(error)
    assert "majority.accuracy" in one_line(error)
    status, out, error = labelled("report", "--gate", "majority.accuracy >= 1.5")
    assert status == 1
    assert Path("report/report.html").is_file()


def test_a_gate_that_cannot_be_read_is_said_before_anybody_is_asked(labelled):
    status, _, error = labelled("evaluate", "--gate", "tfidf > 3")
    assert status == 1
    assert "gate 'tfidf > 3'" in one_line(error)
    with Store("understudy.db") as store:
        assert [found.role for found in store.runs()] == ["teacher"]


def test_the_offline_teacher_by_strategies_a_runnable_in_a_file_and_the_learning_curve(labelled):
    Path("mine.py").write_text(
        "from langchain_core.runnables import RunnableLambda\n"
        "part = {'polaridade': 'Positivo', 'emocao': 'Felicidade'}\n"
        "chain = RunnableLambda(lambda row: {'f1': part, 'f2': part, 'f3': part})\n"
    )
    arguments = ["evaluate", "--strategy", "zero_shot", "--strategy", "few_shot"]
    arguments += ["--teacher", "offline", "--system", "mine.py:chain", "--learning-curve"]
    status, out, error = labelled(*arguments)
    assert status == 0, error
    for name in ("mine.py:chain", "tfidf", "majority", "few_shot"):
        assert name in out
    assert "labels is right on" in out
    with Store("understudy.db") as store:
        strategies = {found.strategy for found in store.runs(role="teacher")}
    assert strategies == {"zero_shot", "few_shot"}


def test_a_report_without_texts_shows_none(labelled):
    labelled("evaluate")
    assert labelled("report", "--no-text", "--margin", "0.05")[0] == 0
    told = json.loads(Path("report/report.json").read_text(encoding="utf-8"))
    assert told["margin"] == 5.0
    asking, command = told["provenance"]["commands"]
    assert command.endswith("--store understudy.db --margin 0.05 --no-text")
    assert asking.endswith("--store understudy.db --no-base")
    assert "comemoraram" not in Path("report/report.html").read_text(encoding="utf-8")


@pytest.fixture
def server():
    with Server() as started:
        thread = threading.Thread(target=started.serve_forever, daemon=True)
        thread.start()
        yield started
        started.shutdown()
        thread.join()


def test_a_providers_model_is_asked_over_http_within_a_sum(labelled, server):
    """20 held-out rows; a row may cost a cent at most and costs far less."""
    Path("prices.toml").write_text('["openai:m"]\ninput = 10\noutput = 40\n', encoding="utf-8")
    arguments = ["evaluate", "--system", "openai:m", "--base-url", server.url]
    arguments += ["--max-output-tokens", "200"]
    status, _, error = labelled(*arguments[:-2], "--max-usd", "1")
    assert "--max-output-tokens" in one_line(error)
    assert (status, server.asked) == (1, [])
    status, out, error = labelled(*arguments, "--max-usd", "0.05", "--concurrency", "1")
    assert status == 0, error
    assert "--max-usd" in out  # where it ended, and what to raise
    asked = len(server.asked)
    assert 0 < asked < 20
    with Store("understudy.db") as store:
        (found,) = [one for one in store.runs(role="baseline") if one.name == "openai:m"]
        assert spent_by(store, found.id).usd <= 0.05
    status, out, error = labelled(*arguments, "--max-usd", "5")
    assert (status, len(server.asked)) == (0, 20)
    assert "openai:m" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--teacher", "offline"], "--strategy"),
        (["--strategy", "magic"], "magic"),
        (["--system", "none.py:chain"], "none.py"),
        (["--system", "runs/none"], "runs/none"),
        (["--max-usd", "-1"], "--max-usd"),
        (["--split", "nowhere"], "nowhere"),
        (["--strategy", "agent", "--teacher", "offline"], "agent"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(labelled, arguments, words):
    status, _, error = labelled("evaluate", *arguments)
    assert status in (1, 2)
    assert words in one_line(error)


def test_a_junk_system_is_one_line_and_status_1_and_the_others_are_reported(labelled):
    Path("junk.py").write_text("raise ValueError('no such thing')\n")
    Path("mine.py").write_text(
        "from langchain_core.runnables import RunnableLambda\n"
        "part = {'polaridade': 'Positivo', 'emocao': 'Felicidade'}\n"
        "chain = RunnableLambda(lambda row: {'f1': part, 'f2': part, 'f3': part})\n"
    )
    systems = ["--system", "junk.py:chain", "--run", "runs/none", "--system", "mine.py:chain"]
    status, out, error = labelled("evaluate", *systems, "--gate", "majority.accuracy >= 0 on test")
    assert status == 1
    assert "mine.py:chain" in out
    assert "holds" in out
    lines = [line for line in error.splitlines() if line.startswith("understudy: ")]
    assert [line.split(" failed: ")[0] for line in lines] == [
        f"understudy: system {Path('runs/none')}",
        "understudy: system junk.py:chain",
    ]
    assert "ValueError: no such thing" in lines[1]
    assert "Traceback" not in error
    status, out, error = labelled("evaluate", *systems, "--json")
    told = json.loads(out)
    assert status == 1
    assert [Path(one["name"]).as_posix() for one in told["failed"]] == [
        "runs/none",
        "junk.py:chain",
    ]
    assert "no such thing" in told["failed"][1]["reason"]
    assert "mine.py:chain" in {one["name"] for one in told["report"]["systems"]}
    status, out, error = labelled("evaluate", *systems, "--dry-run")
    assert (status, "mine.py:chain: 0 rows left" in out) == (1, True)
    assert "cannot be asked" in error
    status, out, _ = labelled("evaluate", "--json")
    assert (status, json.loads(out)["failed"]) == (0, [])


def test_a_missing_key_is_said_in_the_words_of_the_command_line(labelled, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    status, _, error = labelled("evaluate", "--system", "openai:gpt-x")
    assert status == 1
    assert "set OPENAI_API_KEY, or give --key-variable, the name" in one_line(error)


def test_a_gate_that_names_a_system_that_failed_does_not_hold(labelled):
    gate = ["--gate", "junk.py:chain.accuracy >= 0.5"]
    Path("junk.py").write_text("import sys\nsys.exit('bye')\n")
    words = ("evaluate", "--system", "junk.py:chain", *gate, "--json")
    status, out, error = labelled(*words)
    told = json.loads(out)
    assert (status, [one["name"] for one in told["failed"]]) == (1, ["junk.py:chain"])
    (judged,) = told["gates"]
    assert (judged["passed"], "exit bye" in judged["reason"]) == (False, True)
    assert "majority" in {one["name"] for one in told["report"]["systems"]}
    lines = [line for line in error.splitlines() if line.startswith("understudy: ")]
    assert "system junk.py:chain failed: it ends the program (exit bye)" in lines[0]
    assert "does not hold: system junk.py:chain failed" in lines[1]
    status, out, _ = labelled(*words, "--gate", "student.accuracy >= 0")
    last = json.loads(out)["gates"][1]
    assert (status, last["passed"], "there is no system student" in last["reason"]) == (
        1,
        False,
        True,
    )


def test_what_a_system_prints_keeps_standard_output_one_line_of_json(labelled):
    Path("side.py").write_text(
        "print('LOADED')\n"
        "from langchain_core.runnables import RunnableLambda\n"
        "part = {'polaridade': 'Positivo', 'emocao': 'Felicidade'}\n"
        "answer = {'f1': part, 'f2': part, 'f3': part}\n"
        "chain = RunnableLambda(lambda row: print('ROW') or answer)\n"
    )
    words = ("evaluate", "--system", "side.py", "--no-base")
    for dry in (("--dry-run",), ()):
        status, out, error = labelled(*words, "--json", *dry)
        assert (status, out.count("\n")) == (0, 1), error
        assert json.loads(out)
        assert ("LOADED" in error, error.count("ROW")) == ((True, 0) if dry else (False, 20))


def test_a_student_in_runs_whose_card_is_broken_fails_alone(labelled):
    Path("runs/broken").mkdir(parents=True)
    Path("runs/broken/understudy.json").write_text("{", encoding="utf-8")
    status, out, error = labelled("evaluate")
    assert (status, "tfidf" in out) == (1, True)
    assert str(Path("runs/broken")) in one_line(error)


def test_the_commands_of_a_report_train_and_ask_again_what_is_there_already(labelled):
    """A finished training takes these very settings and no others; an asked system is not asked."""
    arguments = ["--epochs", "1", "--set", "rank=4", "--seed", "3", "--limit", "16"]
    status, _, error = labelled("train", *arguments, "--out", "runs/small")
    assert status == 0, error
    status, _, error = labelled("evaluate", "--run", "runs/small", "--no-base")
    assert status == 0, error
    assert labelled("report")[0] == 0
    told = json.loads(Path("report/report.json").read_text(encoding="utf-8"))
    provenance = told["provenance"]
    (student,) = [one for one in provenance["asked"] if one["system"] == "small"]
    assert (student["folder"], student["first"] <= student["last"]) == (
        str(Path("runs/small")),
        True,
    )
    facts = {name: student["training"][name] for name in ("recipe", "epochs", "rows", "seed")}
    assert facts == {"recipe": "tiny", "epochs": 1.0, "rows": 16, "seed": 3}
    train, evaluate, report = map(shlex.split, provenance["commands"])
    assert "--set rank=4" in shlex.join(train)
    weights = Path("runs/small/adapter_model.safetensors").read_bytes()
    with Store("understudy.db") as store:
        before = {run.id: list(store.records(run.id)) for run in store.runs()}
    for command in (train, evaluate, report):
        status, _, error = labelled(*command[1:])
        assert status == 0, error
    assert Path("runs/small/adapter_model.safetensors").read_bytes() == weights
    with Store("understudy.db") as store:
        assert {run.id: list(store.records(run.id)) for run in store.runs()} == before
    page = Path("report/report.html").read_text(encoding="utf-8")
    assert "Answered when (UTC), trained how" in page
    again = json.loads(Path("report/report.json").read_text(encoding="utf-8"))
    assert {**told, "created": ""} == {**again, "created": ""}
