"""The commands import, import-labels and export, as a person types them."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import datasets
import pytest
import typer
from typer.testing import CliRunner

from understudy.distill.commands import data as cli_data
from understudy.distill.commands import export as cli_export
from understudy.store import Store, StoreError

TASK = """
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel
from understudy.chains import Task

class Mood(BaseModel):
    why: str
    mood: str

task = Task(
    name="moods",
    schema=Mood,
    reasoning="why",
    prompt=ChatPromptTemplate.from_messages([("human", "Say the mood of: {text}")]),
)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command in an empty folder that has a task; (exit status, output)."""
    monkeypatch.chdir(tmp_path)
    Path("moods.py").write_text(TASK)
    app = typer.Typer()
    for name, command in (cli_data.COMMANDS | cli_export.COMMANDS).items():
        app.command(name)(command)

    def invoke(name: str, *arguments: Any, stdin: bytes = b"") -> tuple[int, str]:
        given = [name, *map(str, arguments)]
        if name != "export" or "--format" in given:
            given += ["--task", "moods.py:task"]
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, given, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return invoke


def stored() -> list[tuple[str, str, Any]]:
    with Store("understudy.db", create=False) as store:
        return [(e.inputs["text"], e.split, e.gold) for e in store.examples("moods")]


def test_a_preview_shows_the_rows_as_they_would_be_imported_and_writes_nothing(run):
    hostile = "[red]\x1b[31m\u202eabc"
    rows = [hostile, *(f"text {number}" for number in range(10)), ""]
    Path("data.csv").write_text("sentence,label\n" + "".join(f"{row},good\n" for row in rows))
    options = ("data.csv", "--column", "sentence=text", "--column", "label=mood")
    status, out = run("import", *options, "--split", "wild", "--preview")
    assert status == 0
    assert r"[red]\x1b[31m\u202eabc" in out
    assert "\x1b" not in out
    assert "text 3" in out
    assert "text 4" not in out
    assert '{"mood": "good"}' in out
    assert "of the first 12 rows: wild 11; 1 left out\nrow 12 left out: text is empty\n" in out
    assert out.endswith("nothing was written\n")
    assert not Path("understudy.db").exists()
    status, out = run("import", *options, "--split", "wild")
    assert (status, len(stored())) == (0, 11)
    assert stored()[1] == ("text 0", "wild", {"mood": "good"})
    assert "data.csv: 11 new examples, 0 already known\n" in out


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"text,mood\na,good\n", ()),
        (b'{"text": "a", "mood": "good"}\n', ()),
        (b'\n[{"text": "a", "mood": "good"}]\n', ("--format", "json")),
        (b"text;mood\na;good\n", ("--format", "csv")),
    ],
)
def test_a_dash_is_standard_input_in_the_format_that_it_looks_like(run, content, options):
    status, out = run("import", "-", "--split", "train", *options, stdin=content)
    assert (status, out) == (
        0,
        "-: 1 new examples, 0 already known\ntask moods by split: 1 train\n",
    )
    assert stored() == [("a", "train", {"mood": "good"})]


def test_standard_input_that_is_broken_is_named_and_leaves_no_row(run):
    with pytest.raises(StoreError, match=r"^standard input, line 3: has 2 cells"):
        run("import", "-", stdin=b"text\na\nb,c\n")
    assert not Path("understudy.db").exists()


def test_the_splits_of_a_datasets_folder_are_kept_unless_told_otherwise(run):
    datasets.disable_progress_bars()
    parts = {name: datasets.Dataset.from_dict({"text": [name]}) for name in ("train", "hard")}
    datasets.DatasetDict(parts).save_to_disk("saved")
    assert run("import", "saved")[0] == 0
    assert stored() == [("train", "train", None), ("hard", "hard", None)]
    Path("understudy.db").unlink()
    run("import", "saved", "--split", "all")
    assert {split for _, split, _ in stored()} == {"all"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "xml"), "format xml is unknown; choose csv, json"),
        (("--column", "text"), "--column text: write THEIRS=OURS"),
        (("--format", "openai", "--group-column", "g"), "has no columns; only --split"),
    ],
)
def test_options_that_mean_nothing_are_said(run, arguments, words):
    Path("data.csv").write_text("text\na\n")
    status, out = run("import", "data.csv", *arguments)
    assert status in (1, 2)
    assert words in out


def test_a_column_is_mapped_to_what_the_task_has(run):
    Path("data.csv").write_text("text\na\n")
    with pytest.raises(Exception, match="--column text=f1: f1 is none of text, mood"):
        run("import", "data.csv", "--column", "text=f1")


def test_recordings_are_exported_in_every_format_and_come_back(run):
    answers = [json.dumps({"why": "so", "mood": mood}) for mood in ("=good", "bad")]
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Say the mood of: {number}"},
                {"role": "assistant", "content": answer},
            ]
        }
        for number, answer in enumerate([*answers, '{"why": "no mood"}'])
    ]
    Path("chats.jsonl").write_text("\n".join(map(json.dumps, rows)))
    status, out = run("import", "chats.jsonl", "--format", "openai", "--model", "gpt")
    by_split = "by split: 3 train\n"
    assert (status, out) == (
        0,
        f"teacher gpt: 3 recorded rows in understudy.db, 1 without answer\n{by_split}",
    )
    for form in ("csv", "jsonl", "parquet", "datasets"):
        out_path = f"out.{form}" if form != "datasets" else "out"
        status, out = run("export", out_path, "--run", "teacher", "--format", form)
        assert (status, out) == (0, f"{out_path}: 3 rows of teacher (gpt)\n")
        status, out = run("import-labels", out_path, "--model", "gpt", "--store", f"{form}.db")
        said = f"teacher gpt: 3 recorded rows in {form}.db, 1 without answer\n"
        assert out == said + by_split
        with Store("understudy.db") as first, Store(f"{form}.db") as second:
            (run_id,) = (found.id for found in first.runs())
            assert [(e, r.answer, r.reasoning, r.raw, r.error) for e, r in first.pairs(run_id)] == [
                (e, r.answer, r.reasoning, r.raw, r.error) for e, r in second.pairs(run_id)
            ]
    for form in ("openai", "trl", "llamafactory", "alpaca"):
        target = ("--target", "reason_label")
        status, out = run("export", f"out.{form}", "--run", "teacher", "--format", form, *target)
        assert (status, out) == (
            0,
            f"out.{form}: 2 rows of teacher (gpt)\n"
            f"out.{form}: 1 rows left out: the record has no answer\n",
        )
    status, out = run("import", "out.openai", "--format", "openai", "--store", "again.db")
    assert "2 recorded rows in again.db, 0 without answer" in out


def test_import_says_into_which_splits_rows_went_beside_those_that_were_there(run):
    Path("old.csv").write_text("text,part\na,wild\nb,test\nc,train\n")
    Path("new.csv").write_text("text,part\nc,test\nd,train\ne,train\nf,\x1b[31mred\n")
    status, out = run("import", "old.csv", "--split-column", "part")
    assert (status, out.splitlines()[1]) == (0, "task moods by split: 1 train, 1 test, 1 wild")
    status, out = run("import", "new.csv", "--split-column", "part")
    assert out.splitlines() == [
        "new.csv: 3 new examples, 1 already known",
        "task moods by split: 3 train, 1 test, 1 wild, 1 \\x1b[31mred",
    ]
    told = json.loads(run("import", "new.csv", "--split-column", "part", "--json")[1])
    assert (told["new"], told["known"]) == (0, 4)
    assert told["splits"] == {"wild": 1, "test": 1, "train": 3, "\x1b[31mred": 1}


def test_a_column_of_many_splits_is_told_in_one_short_line(run):
    Path("data.csv").write_text("text,part\n" + "".join(f"t{n},s{n}\n" for n in range(20)))
    _, out = run("import", "data.csv", "--split-column", "part")
    named = ", ".join(f"1 s{n}" for n in range(8))
    assert f"task moods by split: {named}, 12 in 12 more\n" in out


def test_a_preview_of_a_providers_file_shows_its_answers(run):
    row = {"inputs": {"text": "a"}, "outputs": {"why": "so", "mood": "good"}, "run_type": "chain"}
    Path("runs.jsonl").write_text(json.dumps(row))
    status, out = run("import", "runs.jsonl", "--format", "langsmith", "--preview")
    assert status == 0
    assert '{"why": "so", "mood": "good"}' in out
    assert not Path("understudy.db").exists()


def test_a_refused_import_leaves_no_new_store_and_an_old_one_as_it_was(run):
    Path("empty.csv").write_text("text\n\n")
    Path("broken.jsonl").write_text('{"text": "a", "answer": null}\n{"text"\n')
    Path("data.csv").write_text("text\na\n")
    refused = (
        ("import", "empty.csv"),
        ("import", "broken.jsonl", "--format", "completions"),
        ("import-labels", "broken.jsonl", "--model", "m"),
    )
    for there in (False, True):
        for arguments in refused:
            with pytest.raises(StoreError):
                run(*arguments)
            assert [path.name for path in Path().glob("understudy.db*")] == (
                ["understudy.db"] if there else []
            )
        run("import", "data.csv", "--split", "train")
        assert stored() == [("a", "train", None)]


@pytest.mark.needs_posix
@pytest.mark.parametrize("command", [("import",), ("import-labels", "--model", "m")])
def test_ctrl_c_during_an_import_is_one_line(run, command):
    os.mkfifo("slow.jsonl")  # opening it waits for the import

    def writes_and_presses() -> None:
        with Path("slow.jsonl").open("wb") as file:
            file.write(b'{"text": "a", "answer": null}\n' * 10)
            file.flush()
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGINT)
            pressed.wait(20)

    pressed = threading.Event()
    thread = threading.Thread(target=writes_and_presses)
    thread.start()
    try:
        status, out = run(*command, "slow.jsonl")
    finally:
        pressed.set()
        thread.join()
    assert (status, out) == (130, "understudy: stopped; nothing was imported\n")
    assert not Path("understudy.db").exists()


TEACHER = {
    "inputs": {"text": "é"},
    "outputs": {"why": "so", "mood": "=good"},
    "extra": {"metadata": {"ls_model_name": "gpt"}},
}


@pytest.fixture
def taught(run):
    Path("runs.jsonl").write_text(json.dumps(TEACHER))
    assert run("import", "runs.jsonl", "--format", "langsmith")[0] == 0
    return run


@pytest.mark.parametrize(
    "form", ["csv", "jsonl", "openai", "completions", "langsmith", "trl", "llamafactory", "alpaca"]
)
def test_export_to_a_dash_is_the_file_on_standard_output(taught, form):
    assert taught("export", "file", "--run", "teacher", "--format", form)[0] == 0
    written = Path("file").read_text(encoding="utf-8")  # the runner, too, gives plain line ends
    assert taught("export", "-", "--run", "teacher", "--format", form) == (
        0,
        f"{written}-: 1 rows of teacher (gpt)\n",
    )
    assert not Path("-").exists()


def test_what_export_cannot_do_is_one_line_and_no_file(taught):
    for form in ("parquet", "datasets"):
        assert taught("export", "-", "--run", "teacher", "--format", form) == (
            2,
            f"understudy: --format {form} is no text for standard output; name a file\n",
        )
    for form in ("csv", "jsonl", "parquet", "datasets", "completions", "langsmith"):
        for target in ("label", "reason_label"):
            given = ("--format", form, "--target", target)
            status, out = taught("export", "out", "--run", "teacher", *given)
            assert (status, out.count("\n")) == (2, 1)
            assert f"--format {form} has none" in out
    assert sorted(p.name for p in Path().iterdir() if p.name in ("-", "out")) == []


@pytest.mark.parametrize("form", ["csv", "jsonl", "openai", "datasets"])
def test_export_leaves_what_is_there_as_it_is_and_says_how_to_replace_it(taught, form):
    for given in ((), ("--dry-run",)):
        Path("there").write_text("mine")
        export = ("export", "there", "--run", "teacher", "--format", form, *given)
        status, out = taught(*export)
        assert (status, out.count("\n")) == (1, 1)
        assert out.startswith("understudy: there is ")
        assert ("--overwrite to replace it" in out) is (form != "datasets")
        assert ("is a file, and --format datasets writes a folder" in out) is (form == "datasets")
        assert Path("there").read_text() == "mine"
    status, out = taught(*export[:-1], "--overwrite")
    assert (status, Path("there").read_text() == "mine") == (
        (1, True) if form == "datasets" else (0, False)
    )
