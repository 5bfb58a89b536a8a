"""A dry run of what spends or replaces something says what, asks nobody and writes nothing."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.test_migrations import FIRST, file_of
from understudy.distill.cli import main
from understudy.distill.manners import speak
from understudy.store import Store
from understudy.store.flags import filters, flag_counts
from understudy.store.provenance import all_terms
from understudy.store.stand_ins import calibrations

Run: TypeAlias = Callable[..., tuple[int, str, str]]
TASK = "noticias"
NEWS = {"f1": "Moradores comemoraram a alta.", "f2": "A enchente deixou medo.", "f3": "Dia."}
PAID = """
from pathlib import Path
from langchain_core.language_models import FakeListChatModel

class Paid(FakeListChatModel):
    max_tokens: int = 50

    @property
    def _llm_type(self):
        return "paid"

    def _call(self, *args, **kwargs):
        Path("asked").touch()
        return super()._call(*args, **kwargs)

chain = Paid(responses=["{}"])
"""

MOODS = """
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel
from understudy.chains.task import Task

class Answer(BaseModel):
    mood: str

asked = ChatPromptTemplate.from_messages([("human", "{text}")])
task = Task(name="moods", schema=Answer, prompt=asked, student_prompt=asked)
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """A command line in a folder whose store holds labels of every split."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["understudy", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capsys.readouterr()
        speak(quiet=False)
        return status, said.out, said.err

    with open("news.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*NEWS, "split"])
        writer.writeheader()
        for n in range(24):
            split = ("train", "train", "validation", "calibration")[n % 4]
            writer.writerow({**NEWS, "f3": f"Dia {n}.", "split": split})
    status, _, error = call("distill", "--data", "news.csv", "--split-column", "split", "--json")
    assert status == 0, error
    return call


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if "-" not in path.suffix}


def test_a_calibration_of_a_paid_student_says_rows_calls_and_the_worst_case(
    run: Run, tmp_path: Path
) -> None:
    Path("paid.py").write_text(PAID, encoding="utf-8")
    Path("prices.toml").write_text('["paid.py:chain"]\ninput = 1.0\noutput = 10.0\n')
    words = ("calibrate", "--run", "paid.py:chain", "--dry-run")
    before = kept(tmp_path)
    found = json.loads(run(*words, "--json")[1])
    assert found["splits"] == {"validation": 6, "calibration": 6}
    assert (found["rows"], found["expected"]["calls"], found["at_most"]["calls"]) == (12, 12, 36)
    assert found["at_most"]["usd"] >= 36 * 50 * 10 / 10**6
    assert found["at_most"]["usd"] > found["expected"]["usd"] > 0
    status, out, _ = run(*words, "--limit", "2")
    assert status == 0
    assert "validation has 6 rows, calibration 6" in out
    assert "4 rows left, 4 calls expected, 12 at most; $" in out
    assert out.splitlines()[-1].endswith("nobody was asked and nothing was written")
    assert kept(tmp_path) == before
    assert not Path("asked").exists()
    Path("prices.toml").unlink()
    assert "no price is known of" in run(*words)[1]
    assert "--prices" not in run(*words)[1]


def test_a_calibration_asks_of_a_paid_student_what_its_dry_run_said(run: Run) -> None:
    Path("paid.py").write_text(PAID, encoding="utf-8")
    run("calibrate", "--run", "paid.py:chain")  # its answers are no answers: refused
    assert Path("asked").exists()
    out = run("calibrate", "--run", "paid.py:chain", "--dry-run")[1]
    assert "0 rows left" in out


def test_a_calibration_of_a_student_of_ours_costs_nothing_and_loads_nothing(
    run: Run, tmp_path: Path
) -> None:
    before = kept(tmp_path)
    words = ("calibrate", "--run", "http://127.0.0.1:9/v1#label", "--dry-run")
    status, out, _ = run(*words)  # nobody answers there
    assert (status, "12 rows left; nobody was asked" in out) == (0, True)
    assert kept(tmp_path) == before
    status, _, error = run("calibrate", "--run", "nowhere", "--dry-run")
    assert (status, error.count("\n")) == (1, 1)
    with Store("understudy.db") as store:
        assert calibrations(store, TASK) == []
        assert [one.role for one in store.runs()] == ["teacher"]


def test_an_older_store_is_not_brought_up_to_date_by_a_look(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("moods.py").write_text(MOODS, encoding="utf-8")
    file_of(FIRST.with_name("m002.sql"), Path("old.db"))
    Path("old.db.before-m002").write_bytes(Path("old.db").read_bytes())
    before = kept(folder)
    task = ("--task", "moods.py:task", "--store", "old.db", "--dry-run")
    for words in (
        ("curate", *task, "--exclude", "near_duplicate"),
        ("calibrate", *task, "--run", "http://127.0.0.1:9/v1#label"),
        ("evaluate", *task, "--no-base"),  # whose task has other answers than the store's
        ("report", *task),
        ("forget", "bdd541936afb9afa", *task[2:]),
        ("store", "terms", "gpt", "--note", "new", *task[2:]),
        ("export", "out.jsonl", "--run", "59eee9096a6091f0", *task[2:]),
    ):
        status, out, error = run(*words)
        assert "older version" not in error, words
        assert kept(folder) == before, words
        assert (status == 0) == (words[0] not in ("evaluate", "report")), (words, error)
        if words[0] == "forget":
            assert "old.db.before-m002 is a copy that holds them" in out


def test_a_dry_run_or_plan_of_a_folder_or_of_nothing_says_so(run: Run, tmp_path: Path) -> None:
    Path("folder").mkdir()
    for words in (
        ("distill", "--plan"),
        ("curate", "--dry-run"),
        ("evaluate", "--no-base", "--dry-run"),
    ):
        status, _, error = run(*words, "--store", "folder")
        assert (status, "folder is a folder; a store is a file" in error) == (1, True), error
        if words[0] != "distill":
            status, _, error = run(*words, "--store", "none.db")
            assert (status, "there is no store none.db" in error) == (1, True), error
    assert not Path("none.db").exists()


def test_a_lacking_key_is_said_in_the_words_of_the_command(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    words = ("--system", "openai:gpt-x", "--no-base", "--split", "validation", "--dry-run")
    status, _, error = run("evaluate", *words)
    assert (status, "or give --key-variable, the name" in error) == (1, True)
    told = json.loads(run("evaluate", *words, "--json")[1])[-1]
    assert "or give --key-variable" in told["failed"]
    for dry in ((), ("--dry-run",)):
        status, _, error = run("calibrate", "--run", "openai:gpt-x", *dry)
        assert (status, "set OPENAI_API_KEY and run again" in error) == (1, True)
        assert "variable" not in error  # which calibrate does not take


def test_what_would_be_cleared_first_flags_no_row_afterwards(run: Run) -> None:
    assert run("curate", "--rule", "near_duplicate", "--json")[0] == 0
    words = ("--clear", "near_duplicate", "--exclude", "near_duplicate")
    told = json.loads(run("curate", *words, "--dry-run", "--json")[1])
    clear, exclude = told["changes"]
    assert clear["rows"] > 1
    assert (exclude["would"], exclude["rows"]) == ("exclude", 0)


def test_curation_says_which_findings_and_filters_would_change(run: Run, tmp_path: Path) -> None:
    assert run("curate", "--rule", "near_duplicate", "--json")[0] == 0
    with Store("understudy.db") as store:
        found = flag_counts(store, TASK)["near_duplicate"]
    assert found > 1
    before = kept(tmp_path)
    said = {
        ("--exclude", "near_duplicate"): f"the {found} rows that it flags would teach no student",
        ("--include", "near_duplicate"): "would teach again (it is no filter)",
        ("--clear", "near_duplicate"): f"{found} findings would be forgotten",
        ("--rule", "near_duplicate"): f"{found} earlier findings would be replaced",
        (): "exact_duplicate: 0 earlier findings would be replaced",
    }
    for words, line in said.items():
        status, out, _ = run("curate", *words, "--dry-run")
        assert (status, line in out, "nothing was changed" in out) == (0, True, True), out
    told = json.loads(run("curate", "--exclude", "near_duplicate", "--dry-run", "--json")[1])
    (change,) = told["changes"]
    assert (change["would"], change["rows"], told["written"]) == ("exclude", found, False)
    assert run("curate", "--exclude", "nope", "--dry-run")[0] == 1
    assert kept(tmp_path) == before
    with Store("understudy.db") as store:
        assert (filters(store, TASK), flag_counts(store, TASK)) == ([], {"near_duplicate": found})
    assert run("curate", "--exclude", "near_duplicate", "--json")[0] == 0
    out = run("curate", "--exclude", "near_duplicate", "--dry-run")[1]
    assert "(it is a filter already)" in out


def test_a_note_on_terms_says_what_it_would_replace(run: Run, tmp_path: Path) -> None:
    assert run("store", "terms", "gpt", "--note", "old\x1b[31m", "--licence", "CC0")[0] == 0
    before = kept(tmp_path)
    words = ("store", "terms", "gpt", "--note", "new", "--source", "page 3", "--dry-run")
    status, out, _ = run(*words)
    assert status == 0
    assert out.splitlines() == [
        "gpt: note would be: new, in the place of: old\\x1b[31m",
        "gpt: source would be: page 3",
        "nothing was written",
    ]
    told = json.loads(run(*words, "--json")[1])
    assert (told["now"]["note"], told["would"]["note"]) == ("old\x1b[31m", "new")
    assert (told["would"]["licence"], told["written"]) == ("CC0", False)
    assert (
        json.loads(run("store", "terms", "x", "--note", "n", "--dry-run", "--json")[1])["now"]
        is None
    )
    assert kept(tmp_path) == before
    with Store("understudy.db") as store:
        assert [one.note for one in all_terms(store) if one.model == "gpt"] == ["old\x1b[31m"]


def test_datasette_is_one_line_of_json_with_path_and_command(run: Run) -> None:
    status, out, _ = run("store", "datasette", "understudy.db", "--json")
    told = json.loads(out)
    assert (status, out.count("\n")) == (0, 1)
    assert told["metadata"] == "understudy.metadata.json"
    assert told["words"][:4] == ["datasette", "understudy.db", "-m", told["metadata"]]
    assert run("store", "datasette", "understudy.db")[1].strip() == told["command"]
