"""`why`, `store stats`, `store search`, `store terms`: what they tell, and how text is shown."""

from __future__ import annotations

import json
import os
import runpy
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from understudy.distill.commands.store import COMMANDS, STORE_COMMANDS
from understudy.distill.commands.stories import visible
from understudy.store import Record, Store, StoreError
from understudy.store.overview import overview
from understudy.store.story import find_records, why

SAMPLES = Path(__file__).with_name("store_samples.py")
samples: Any = SimpleNamespace(**runpy.run_path(str(SAMPLES)))


@pytest.fixture(scope="module")
def store():
    with Store(":memory:") as opened:
        samples.fill(opened)
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made: Path = samples.made(tmp_path / "app.db")
    return made


@pytest.fixture
def call(path: Path):
    """Run one of the commands on the small store: what it printed."""
    app, sub = typer.Typer(), typer.Typer()
    for name, command in COMMANDS.items():
        app.command(name)(command)
    for name, command in STORE_COMMANDS.items():
        sub.command(name)(command)
    app.add_typer(sub, name="store")

    def run(*arguments: str) -> str:
        where = [] if "--store" in arguments or "datasette" in arguments else ["--store", str(path)]
        done = CliRunner(env={"COLUMNS": "200"}).invoke(
            app, [*arguments[:2], *where, *arguments[2:]]
        )
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_a_story_answers_who_from_what_words_when_at_what_cost_and_who_learnt(store):
    story = why(store, 1)
    assert story["record"] == {
        "number": 1,
        "reasoning": "O pão ficou caro.",
        "answer": {"mood": "angry"},
        "raw": None,
        "error": None,
        "attempts": 2,
        "input_tokens": 100,
        "output_tokens": 20,
        "cached_tokens": None,
        "reasoning_tokens": None,
        "cost": 0.25,
        "seconds": 1.5,
        "confidence": None,
        "votes": {"mood": {'"angry"': 2, '"calm"': 1}},
        "details": None,
        "model": "wise-1-x",
        "created": "2026-01-02T00:00:00+00:00",
    }
    assert story["run"] == samples.TEACHER.model_dump()
    assert story["example"] == {
        "task": "moods",
        "id": samples.IDS[0],
        "split": "train",
        "inputs": {"text": samples.TEXTS[0]},
        "gold": {"mood": "worried"},
        "group": None,
        "gold_by": "Ana",
    }
    assert story["words"] == {
        "words": {"fingerprint": samples.WORDS, "text": samples.canonical(samples.PROMPT)},
        "answers": {"fingerprint": samples.ANSWERS, "text": samples.SCHEMA},
    }
    assert story["terms"]["licence"] == "CC0"
    (correction,) = story["corrections"]
    assert (correction["reviewer"], correction["answer"]) == ("Ana", {"mood": "worried"})
    assert correction["run"] == samples.TEACHER.id
    assert story["trainings"] == [samples.training().model_dump()]
    assert [other["number"] for other in story["others"]] == [5]
    assert why(store, 2)["flags"] == [
        {
            "rule": "duplicate",
            "run": samples.TEACHER.id,
            "score": 0.75,
            "detail": {"of": "x"},
            "created": "2026-01-04",
            "filtered": 1,
        }
    ]


def test_a_failure_has_a_story_too(store):
    story = why(store, 3)
    assert (story["record"]["answer"], story["record"]["error"]) == (None, "no JSON")
    assert (story["corrections"], story["trainings"], story["flags"]) == ([], [], [])


def test_a_record_is_named_by_number_by_run_and_example_or_by_its_example(store):
    run, example = samples.TEACHER.id, samples.IDS[1]
    assert find_records(store, "2") == [2]
    assert find_records(store, f"{run}:{example}") == [2]
    assert find_records(store, f" {run[:6]}:{example[:6]} ") == [2]
    assert find_records(store, f"small:{example[:8]}") == [6]
    assert find_records(store, example) == [2, 6]
    assert find_records(store, example[:9]) == [2, 6]
    assert find_records(store, samples.IDS[3]) == [4]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("99", "no record or example '99'"),
        ("-1", "no record or example '-1'"),
        ("9" * 40, "no record or example"),
        ("zz", "no record or example 'zz'"),
        ("zz:aa", "no run 'zz'"),
        (":aa", "no run ''; give a record's number"),
        ("teacher:zz", f"no record in run {samples.TEACHER.id} of an example 'zz'"),
        ("teacher:", "of an example ''; give a record's number, RUN:EXAMPLE, or 3 characters"),
        ("", "no record or example ''; give a record's number, RUN:EXAMPLE, or 3 characters"),
        ("0", "no record or example '0'; give a record's number, RUN:EXAMPLE, or 3 characters"),
        (samples.IDS[0][:2], "or 3 characters or more of an id"),
        ("' or 1=1 --", "no record or example"),
    ],
)
def test_what_is_unknown_or_ambiguous_is_one_line_that_names_candidates(store, asked, words):
    with pytest.raises(StoreError) as told:
        find_records(store, asked)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_an_ambiguous_beginning_names_candidates_and_says_that_there_are_more():
    from understudy.store import Example

    with Store(":memory:") as store:
        store.start_run(samples.TEACHER)
        names = [f"abc{number}" for number in range(9)]
        store.add_examples(
            Example(id=name, task="moods", split="s", inputs={"x": name}) for name in names
        )
        for name in names:
            store.add_record(Record(run=samples.TEACHER.id, example=name, created="2026"))
        with pytest.raises(
            StoreError, match=r"abc0, abc1, abc2, abc3, abc4, \.\.\.; write more of it"
        ):
            find_records(store, "abc")
        assert find_records(store, "abc7") == [8]


def test_an_id_that_is_shorter_than_a_beginning_is_found_by_its_whole_name():
    from understudy.store import Example

    with Store(":memory:") as store:
        store.start_run(samples.TEACHER)
        for name in ("x", "xy"):
            store.add_examples([Example(id=name, task="moods", split="s", inputs={"x": name})])
            store.add_record(Record(run=samples.TEACHER.id, example=name, created="2026"))
        assert find_records(store, "x") == [1]
        assert find_records(store, "teacher:x") == [1]
        assert find_records(store, "xy") == [2]


def test_the_same_input_in_two_tasks_gives_the_records_of_both(store):
    from understudy.store import Example

    with Store(":memory:") as two:
        for task in ("a", "b"):
            two.add_examples([Example(id="same", task=task, split="s", inputs={"x": "1"})])
            two.start_run(samples.run(f"of {task}", "teacher", "m", task=task))
            ident = samples.run(f"of {task}", "teacher", "m").id
            two.add_record(Record(run=ident, example="same", created="2026"))
        assert find_records(two, "same") == [1, 2]


def test_an_example_that_nobody_answered_is_said():
    from understudy.store import Example

    with Store(":memory:") as store:
        store.start_run(samples.TEACHER)
        store.add_examples([Example(id="alone", task="moods", split="s", inputs={"x": "1"})])
        with pytest.raises(StoreError, match="example alone has no record"):
            find_records(store, "alo")


def test_why_prints_the_whole_story(call):
    told = call("why", "1")
    for words in (
        "wise-1",
        "wise-1-x",
        "temperature",
        "2 attempts, 1.50 s, 100 input tokens, 20 output tokens, $0.250000",
        "human: How does {text} feel?",
        "CC0; may be trained on",
        "Ana: correct",
        "worried",
        "small (label, seed 7, 2026-01-03) in /runs/small",
        "O preço do pão subiu.",
    ):
        assert words in told, words
    assert "failed: no JSON" in call("why", "3")
    assert "price unknown" in call("why", "4")


def test_why_as_json_is_the_story_itself(call, store):
    told = json.loads(call("why", samples.IDS[1], "--json"))
    assert told == [why(store, 2), why(store, 6)]


def test_hostile_text_has_no_power_over_the_terminal(call):
    for told in (call("why", "4"), call("store", "search", "alert")):
        assert "\x1b" not in told
        assert "\u202e" not in told
        assert "[bold red]" in told
        assert "\\x1b[31m" in told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pão\té\n🙂", "pão\té\n🙂"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("a\u202eb\u2066c\x9b", "a\\u202eb\\u2066c\\x9b"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a\rb\x08c\0", "a\\rb\\x08c\\x00"),
    ],
)
def test_controls_and_direction_marks_are_shown_as_escapes(text, shown):
    assert visible(text) == shown


def test_a_long_text_is_cut_and_says_so():
    assert visible("a" * 12, longest=10) == "a" * 10 + " … (2 characters more)"


def test_totals_are_those_of_the_rows(store):
    found = overview(store)
    assert found["schema"] == "m003_stand_ins_and_calls"
    assert found["examples"] == [
        {"task": "moods", "split": "train", "examples": 3, "gold": 2, "corrected": 1},
        {"task": "moods", "split": "test", "examples": 1, "gold": 0, "corrected": 0},
    ]
    teacher, student = found["runs"]
    assert teacher | {"seconds": 0} == {
        "run": samples.TEACHER.id,
        "name": "teacher",
        "role": "teacher",
        "task": "moods",
        "model": "wise-1",
        "rows": 4,
        "failed": 1,
        "attempts": 8,
        "input_tokens": 400,
        "output_tokens": 80,
        "cached_tokens": None,
        "reasoning_tokens": None,
        "cost": 0.75,
        "seconds": 0,
    }
    assert teacher["seconds"] == 6.0
    assert (student["rows"], student["failed"], student["cost"]) == (2, 0, None)
    assert found["flags"] == [{"task": "moods", "rule": "duplicate", "rows": 1, "filtered": 1}]
    assert found["reviews"] == [
        {
            "task": "moods",
            "reviewer": "Ana",
            "accepted": 0,
            "corrected": 1,
            "skipped": 0,
            "undone": 0,
        }
    ]
    assert [(one["name"], one["lessons"]) for one in found["trainings"]] == [("small", 2)]
    assert [one["model"] for one in found["terms"]] == ["wise-1"]


def test_totals_of_an_empty_store_are_empty():
    with Store(":memory:") as store:
        found = overview(store)
    assert {name: found[name] for name in ("examples", "runs", "flags", "terms")} == {
        "examples": [],
        "runs": [],
        "flags": [],
        "terms": [],
    }


def test_stats_shows_the_totals(call, path):
    told = call("store", "stats")
    for words in ("moods", "wise-1", "duplicate", "Ana", "/runs/small", "CC0", "MB"):
        assert words in told, words
    data = json.loads(call("store", "stats", "--json"))
    with Store(path) as store:
        assert data == overview(store)


def test_stats_breaks_no_word_at_80_columns(path):
    task = "emotions-of-news"
    with Store(path) as store:
        for number in range(3):
            named = f"by-a-teacher-{number}"
            store.start_run(samples.run(named, "teacher", "gpt-4o-mini-2024-07-18", task=task))
        run = samples.run("big", "teacher", "wise-1")
        store.start_run(run)
        store.add_record(
            samples.record(
                run,
                0,
                "angry",
                input_tokens=123_456_789,
                output_tokens=23_456_789,
                cached_tokens=1_234_567,
                reasoning_tokens=1_234_567,
                cost=1234.5678,
                seconds=123_456.7,
            )
        )
        found = overview(store)
    app = typer.Typer()
    app.command()(STORE_COMMANDS["stats"])
    told = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["--store", str(path)]).output
    assert max(map(len, told.splitlines())) <= 80
    words = set(told.split())
    for run in found["runs"]:
        shown = {run["run"][:8], run["name"], run["model"], run["task"], str(run["rows"])}
        assert shown <= words, shown - words
    for word in ("corrected", "with", "tokens", "failed", "seconds", "skipped", "123456789"):
        assert word in words, told
    assert {"/runs/small", "2026-01-03", "duplicate", "filtered", "undone", "CC0"} <= words, told


def test_terms_are_noted_and_shown(call, path):
    assert "wise-1" in call("store", "terms")
    told = call("store", "terms", "gpt-x", "--note", "not for [rivals]", "--source", "a page")
    assert "not for [rivals]" in told
    assert "wise-1" not in told
    assert "not for [rivals]" in call("store", "terms", "gpt-x", "--licence", "own")  # kept
    assert "nothing is noted of the terms of nobody" in call("store", "terms", "nobody")


def test_a_search_prints_what_it_found(call):
    told = call("store", "search", "praça")
    assert "Houve festa na [praça]." in told
    assert samples.IDS[1] in told
    assert "nothing holds all these words" in call("store", "search", "inexistente")
    assert json.loads(call("store", "search", "praça", "--json"))[0]["number"] == 2


def test_the_metadata_is_written_for_its_owner_alone(call, path):
    told = call("store", "datasette", str(path))
    written = path.with_name("app.metadata.json")
    assert told.strip() == f"datasette {path} -m {written} --setting suggest_facets off"
    assert os.name != "posix" or stat.S_IMODE(written.stat().st_mode) == 0o600
    assert list(json.loads(written.read_text())["databases"]) == ["app"]
    call("store", "datasette", str(path))
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["app.db", "app.metadata.json"]


@pytest.mark.parametrize(
    "text", ['{"title": "My museum"}', '["Understudy store"]', "title: Understudy store", ""]
)
def test_metadata_that_somebody_else_wrote_stays(call, path, text):
    theirs = path.with_name("app.metadata.json")
    theirs.write_text(text)
    with pytest.raises(StoreError, match=r"app\.metadata\.json is not .* move it away"):
        call("store", "datasette", str(path))
    assert theirs.read_text() == text


def test_no_metadata_is_written_beside_what_is_no_store(call, tmp_path):
    other = tmp_path / "notes.db"
    other.write_text("shopping list, and some more text that is long enough to be no database")
    for name in (other, tmp_path / "missing.db"):
        with pytest.raises(StoreError):
            call("store", "datasette", str(name))
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.needs_plain_user
def test_a_store_that_may_only_be_read_is_still_told_of(call, path):
    path.chmod(0o400)
    assert "wise-1" in call("why", "1")
