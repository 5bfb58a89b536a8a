"""The command line: what a stranger types, and the one line that every mistake gets."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from understudy.distill.cli import app, main
from understudy.store import Store

ROOT = Path(__file__).parents[1]
ORDERS = "understudy.examples.extraction.task:task"
NEWS = {
    "f1": "Moradores comemoraram a alta do emprego.",
    "f2": "A enchente deixou vizinhos apavorados.",
    "f3": "O conselho se reuniu ontem.",
}


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a command line in an empty folder: (status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["understudy", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def write_rows(path: Path, *rows: dict[str, str], header: list[str] | None = None) -> Path:
    import csv

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def assert_one_line(status: int, error: str, *words: str) -> None:
    lines = error.strip().splitlines()
    assert status == 1
    assert len(lines) == 1, error
    assert lines[0].startswith("understudy: ")
    for word in words:
        assert word in lines[0], lines[0]


def test_distill_labels_a_file_and_a_second_run_labels_nothing(run, tmp_path):
    data = write_rows(tmp_path / "news.csv", NEWS, {**NEWS, "f3": "Nada houve."})
    status, out, _ = run("distill", "--data", data)
    assert (status, "2 new examples" in out, "2 rows in understudy.db, 0 failed" in out) == (
        0,
        1,
        1,
    )
    with Store("understudy.db") as store:
        (first,) = store.runs()
        records = store.records(first.id)
    run("distill", "--data", data)
    with Store("understudy.db") as store:
        assert [r.id for r in store.runs()] == [first.id]
        assert store.records(first.id) == records


def test_a_tasks_own_data_and_teacher_are_the_defaults(run):
    status, out, _ = run("distill", "--task", ORDERS, "--limit", "5")
    assert status == 0
    assert "300 new examples" in out
    with Store("understudy.db") as store:
        assert store.splits("orders") == {
            "train": 200,
            "validation": 20,
            "calibration": 20,
            "test": 60,
        }
    assert "0 failed" in out


def test_the_courses_csv_imports_as_gold_with_one_command(run, tmp_path):
    """A byte-order mark, an unnamed index column, and Surpreza, as the course writes it."""
    row = {
        "": "0",
        "news_id": "17",
        **NEWS,
        "sentence1_polarity": "Positivo",
        "sentence1_sentiment": "Surpreza",
        "sentence2_polarity": "Negativo",
        "sentence2_sentiment": "Medo",
        "sentence3_polarity": "Neutro",
        "sentence3_sentiment": "Neutro",
    }
    data = write_rows(tmp_path / "course.csv", row)
    data.write_bytes(b"\xef\xbb\xbf" + data.read_bytes())
    status, out, _ = run("import", data)
    assert (status, "1 new examples" in out) == (0, True)
    with Store("understudy.db") as store:
        (example,) = store.examples("noticias")
    assert example.inputs == NEWS
    assert example.gold == {
        "f1": {"polaridade": "Positivo", "emocao": "Surpresa"},
        "f2": {"polaridade": "Negativo", "emocao": "Medo"},
        "f3": {"polaridade": "Neutro", "emocao": "Neutro"},
    }


def test_a_file_without_the_tasks_columns_is_named_with_what_is_missing(run, tmp_path):
    data = write_rows(tmp_path / "other.csv", {"title": "x", "f1": "y"})
    status, _, error = run("distill", "--data", data)
    assert_one_line(status, error, "other.csv", "f2", "f3", "title")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("empty",)),
        (b"f1,f2,f3\n", ("no row",)),
        (b"f1,f2,f3\n\xff\xfe,b,c\n", ("UTF-8", "line 2")),
    ],
)
def test_an_unreadable_file_is_one_line(run, tmp_path, content, words):
    data = tmp_path / "rows.csv"
    data.write_bytes(content)
    status, _, error = run("distill", "--data", data)
    assert_one_line(status, error, "rows.csv", *words)


def test_an_empty_and_a_huge_text_are_left_out_and_the_rest_is_labelled(run, tmp_path):
    data = write_rows(tmp_path / "r.csv", NEWS, {**NEWS, "f1": " "}, {**NEWS, "f2": "a" * 200_000})
    status, out, _ = run("distill", "--data", data)
    assert status == 0
    assert len(re.findall("left out", out)) == 2
    assert "1 rows in understudy.db" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["distill", "--data", "none.csv"], ("none.csv",)),
        (["distill"], ("no examples", "import")),
        (["distill", "--task", "no/such/task.py:task"], ("no/such/task.py",)),
        (["distill", "--teacher", "nobody:model", "--data", "n.csv"], ("nobody:model",)),
        (["train", "--store", "fresh.db"], ("distill",)),
        (["evaluate", "--store", "fresh.db"], ("distill",)),
        (["report", "--store", "typo.db"], ("typo.db", "distill")),
        (["report", "--store", "."], (".",)),
        (["import-labels", "none.jsonl", "--model", "x"], ("none.jsonl",)),
    ],
)
def test_a_mistake_is_one_line_that_names_it(run, tmp_path, arguments, words):
    write_rows(tmp_path / "n.csv", NEWS)
    status, _, error = run(*arguments)
    assert_one_line(status, error, *words)


def test_a_run_folder_that_is_no_student_is_one_line(run, tmp_path):
    data = write_rows(tmp_path / "n.csv", *({**NEWS, "f3": f"Dia {n}."} for n in range(12)))
    run("distill", "--data", data)
    status, _, error = run("--quiet", "evaluate", "--run", "runs/none")
    assert_one_line(status, error, "runs/none", "not a student")
    assert not Path("typo.db").exists()


def test_a_report_on_nothing_is_one_line(run):
    with Store("understudy.db"):
        pass
    status, _, error = run("report")
    assert_one_line(status, error, "no answers", "evaluate")


def test_names_that_look_like_markup_are_shown_as_they_are(run, tmp_path):
    rows = [{**NEWS, "f3": f"Dia {n}.", "split": "x[/b]" if n % 3 else "train"} for n in range(12)]
    gold = {"f1.polaridade": "Positivo"}
    data = write_rows(tmp_path / "n.csv", *({**row, **gold} for row in rows))
    run("distill", "--data", data, "--split-column", "split")
    status, out, _ = run("evaluate")
    assert status == 0
    assert "x[/b]" in out


def test_a_student_base_that_does_not_exist_is_one_line(run, tmp_path):
    data = write_rows(tmp_path / "n.csv", *({**NEWS, "f3": f"Dia {n}."} for n in range(40)))
    run("import", data, "--split", "train")
    run("distill")
    status, _, error = run("train", "--student", "./no-such-model")
    assert_one_line(status, error, "no-such-model")


def test_a_store_of_a_newer_version_is_refused_and_untouched(run):
    with Store("new.db"):
        pass
    with sqlite3.connect("new.db") as connection:
        connection.execute(
            "insert into _sqlite_migrations (migration_set, name, applied_at) "
            "values ('understudy', 'm999_from_the_future', '2030-01-01')"
        )
    connection.close()
    before = Path("new.db").read_bytes()
    status, _, error = run("report", "--store", "new.db")
    assert_one_line(status, error, "newer", "upgrade")
    assert Path("new.db").read_bytes() == before


def test_a_file_that_is_no_store_is_refused_and_untouched(run):
    Path("notes.db").write_text("my notes, precious\n" * 100)
    status, _, error = run("report", "--store", "notes.db")
    assert_one_line(status, error, "notes.db")
    assert Path("notes.db").read_text() == "my notes, precious\n" * 100


def test_evaluate_and_report_show_everybody(run, tmp_path):
    rows = [
        {**NEWS, "f3": f"Dia {n}.", "split": "test" if n % 3 == 0 else "train"} for n in range(30)
    ]
    gold = {"f1.polaridade": "Positivo", "f1.emocao": "Felicidade"}
    data = write_rows(tmp_path / "n.csv", *({**row, **gold} for row in rows))
    run("distill", "--data", data, "--split-column", "split")
    status, out, _ = run("evaluate")
    assert status == 0
    for name in ("teacher", "tfidf", "majority"):
        assert name in out
    status, out, _ = run("report", "--out", "shown")
    assert status == 0
    page = Path("shown/report.html").read_text(encoding="utf-8")
    figures = json.loads(Path("shown/report.json").read_text(encoding="utf-8"))
    assert {system["name"] for system in figures["systems"]} == {"teacher", "tfidf", "majority"}
    assert "noticias" in page


@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [
        ("torch", ["train"], "student"),
        ("jinja2", ["report"], "evaluate"),
        ("psutil", ["demo"], "all"),
    ],
)
def test_a_missing_extra_is_one_line_that_names_it(tmp_path, missing, command, extra):
    pytest.importorskip("bitsandbytes")  # all others are to be there
    rows = [{**NEWS, "f3": f"Dia {n}.", "split": "train" if n else "test"} for n in range(12)]
    data = write_rows(tmp_path / "n.csv", *rows)
    code = (
        "import sys; from understudy.distill.cli import main\n"
        "sys.argv = ['understudy', 'distill', '--data', sys.argv[1], '--split-column', 'split']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"sys.modules[{missing!r}] = None\n"
        "import importlib.util; find = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name: None if name == {missing!r} else find(name)\n"
        f"sys.argv = ['understudy', *{command!r}]; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(data)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert_one_line(
        ended.returncode, ended.stderr.splitlines()[-1], missing, f"understudy[{extra}]"
    )


def test_every_command_has_help_and_stands_in_the_readme(run):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        assert command.callback.__doc__, name
        assert re.search(rf"\b{name}\b", readme), f"the README does not tell of {name}"


def test_help_starts_fast_without_heavy_libraries():
    code = (
        "import sys; sys.argv = ['understudy', '--help']\n"
        "from understudy.distill.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'langchain_core', 'sqlite_utils', 'pandas', 'numpy'}\n"
        "sys.exit(','.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    environment = {**os.environ, "COLUMNS": "100"}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "distill" in ended.stdout
