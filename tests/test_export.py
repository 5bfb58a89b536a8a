"""Export: a run in every format, whole or not at all, and back without a loss."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy.chains.task import Task
from understudy.distill.exporting import export_chats
from understudy.distill.importing import import_recordings
from understudy.store import Example, Record, Run, Store, StoreError, example_id
from understudy.store.exchange import examples_from, recorded_rows
from understudy.store.export import export_frame, export_run, run_called
from understudy.store.files import escaped, read_rows

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["", "'", "''", "=1+1", "'=1", "+", "-5", "@x", "\tx", "\rx", "\r\n", '"', ";", "\ufeff", "\0"]
)
USABLE = TEXT.filter(lambda text: text.strip() and "\0" not in text)
FINITE = st.floats(0, 1e9)
NESTED = st.dictionaries(
    USABLE,
    st.recursive(
        st.none() | st.booleans() | st.integers() | FINITE | USABLE,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(USABLE, inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "answer": NESTED,
        "reasoning": TEXT,
        "raw": TEXT,
        "error": TEXT,
        "model": TEXT,
        "attempts": st.integers(1, 2**40),
        "input_tokens": st.integers(0, 2**40),
        "cached_tokens": st.integers(0, 2**40),
        "cost": FINITE,
        "seconds": FINITE,
        "confidence": st.dictionaries(USABLE, FINITE, max_size=2),
        "votes": st.dictionaries(USABLE, st.dictionaries(USABLE, st.integers(1, 9)), max_size=2),
        "details": NESTED,
    },
)
PAIRS = st.lists(
    st.tuples(
        st.tuples(USABLE, USABLE),
        st.sampled_from(["train", "test", "by hand"]),
        st.none() | USABLE.map(str.strip),
        st.none() | NESTED,
        RECORDS,
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda row: row[0],
)
FORMATS = ("csv", "jsonl", "parquet", "datasets")
SUFFIX = {"csv": "csv", "jsonl": "jsonl", "parquet": "parquet", "datasets": "saved"}


@pytest.fixture(autouse=True)
def silent():
    datasets.disable_progress_bars()


def run(**fields: Any) -> Run:
    facts = dict.fromkeys(("strategy", "target", "words", "answers"), "same")
    known = {"id": "r", "model": "m", "name": "n", "task": "t", "role": "teacher", "started": "1"}
    return Run(**{**known, **facts, **fields})


def pair(inputs: dict[str, str], *, split: str = "train", gold: Any = None, **fields: Any):
    number = example_id(inputs)
    group = fields.pop("group", None)
    example = Example(id=number, task="t", split=split, inputs=inputs, gold=gold, group=group)
    return example, Record(**{"run": "r", "example": number, "created": "2026", **fields})


def filled(pairs: list[tuple[Example, Record]], **fields: Any) -> Store:
    store = Store(":memory:")
    store.start_run(run(**fields))
    store.add_examples(example for example, _ in pairs)
    for _, record in pairs:
        store.add_record(record)
    return store


@pytest.mark.parametrize("form", FORMATS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(rows=PAIRS)
def test_an_exported_run_comes_back_as_it_was(tmp_path_factory, form, rows):
    """`raw` is an input here, too: its column has another name."""
    path = tmp_path_factory.mktemp("out") / f"run.{SUFFIX[form]}"
    pairs = [
        pair({"text": a, "raw": b}, split=split, group=group, gold=gold, **fields)
        for (a, b), split, group, gold, fields in rows
    ]
    with filled(pairs) as store:
        assert export_run(store, "r", path, format=form) == len(pairs)
        pairs = store.pairs("r")  # a group is in one split
    back = [
        (example, Record(run="r", example=example.id, **fields))
        for example, fields in recorded_rows(path, task="t", inputs=("text", "raw"))
    ]
    assert sorted(back, key=str) == sorted(pairs, key=str)


@given(TEXT)
def test_no_cell_begins_as_a_formula_and_each_is_read_as_it_was(text):
    cell = escaped(text)
    assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r", "")
    assert cell.removeprefix("'") == text or cell == text


def test_formulas_in_an_exported_csv_are_text_and_a_foreign_csv_keeps_its_apostrophes(tmp_path):
    path = tmp_path / "run.csv"
    with filled([pair({"text": "=cmd|' /C calc'!A0"}, raw="@x", answer={"n": -5})]) as store:
        export_run(store, "r", path, format="csv")
    with path.open(newline="", encoding="utf-8") as file:
        header, cells = csv.reader(file)
    assert header[:3] == ["id", "task", "split"]
    assert dict(zip(header, cells, strict=True))["text"] == "'=cmd|' /C calc'!A0"
    assert [cell for cell in cells if cell[:1] in tuple("=+-@\t\r")] == []
    (row,) = read_rows(path)
    assert (row["text"], row["raw"]) == ("=cmd|' /C calc'!A0", "@x")
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("text\n'-tis\n")
    assert list(read_rows(foreign)) == [{"text": "'-tis"}]


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_appears_whole_or_not_at_all_and_is_replaced_only_when_asked(tmp_path, form):
    path = tmp_path / f"run.{SUFFIX[form]}"
    pairs = [pair({"text": "a"}, answer={"x": 1}), pair({"text": "b"}, split="test")]
    with filled(pairs) as store:
        assert export_run(store, "r", path, format=form, split="test") == 1
        with pytest.raises(StoreError, match=r"there already.*--overwrite"):
            export_run(store, "r", path, format=form)
        assert len(list(read_rows(path))) == 1
        assert export_run(store, "r", path, format=form, overwrite=True) == 2
        assert len(list(read_rows(path))) == 2
        with pytest.raises(StoreError, match="no rows in the split wild"):
            export_run(store, "r", path, format=form, split="wild", overwrite=True)
        with pytest.raises(StoreError, match="cannot be written"):
            export_run(store, "r", tmp_path / "no" / "x", format=form)
        other = tmp_path / "mine"
        other.mkdir()
        (other / "kept").write_text("kept")
        with pytest.raises(StoreError, match="cannot be written"):
            export_run(store, "r", other, format=form, overwrite=True)
        store.add_examples([pair({"other": "c"})[0]])
        store.add_record(pair({"other": "c"})[1])
        if form != "jsonl":
            with pytest.raises(StoreError, match="other inputs than text; export it as jsonl"):
                export_run(store, "r", path, format=form, overwrite=True)
    assert len(list(read_rows(path))) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "mine"])
    assert (other / "kept").read_text() == "kept"


@pytest.mark.needs_posix
@pytest.mark.parametrize("form", [*FORMATS, "openai"])
def test_an_export_never_takes_the_place_of_the_store_or_another_database(
    tmp_path, tiny_task, form
):
    answered = pair({"sentence": "Que bom!"}, answer={"mood": "Alegria", "urgent": False})
    example = answered[0].model_copy(update={"task": "tiny"})
    with contextlib.closing(sqlite3.connect(tmp_path / "mail.db")) as other:
        other.execute("create table mail (text)")
    (tmp_path / "link").symlink_to(tmp_path / "s.db")
    with Store(tmp_path / "s.db") as store:
        store.start_run(run(task="tiny"))
        store.add_examples([example])
        store.add_record(answered[1])
        names = ["s.db", "s.db-wal", "s.db-shm", "s.db-journal", "mail.db", "mail.db-wal", "link"]
        before = contents(tmp_path)
        for name, overwrite in itertools.product(names, (True, False)):
            options: dict[str, Any] = {"format": form, "overwrite": overwrite}
            write = export_run if form in FORMATS else partial(export_chats, tiny_task)
            with pytest.raises(StoreError, match="SQLite file; name another"):
                write(store, "r", tmp_path / name, **options)
        assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The files, and what is in those that reading a store leaves as they are."""
    files = {path.name: path for path in folder.iterdir()}
    return {
        name: (path.stat().st_ino, b"" if name.endswith("-shm") else path.read_bytes())
        for name, path in files.items()
    }


def test_a_datasets_folder_has_the_splits_of_the_run(tmp_path):
    pairs = [pair({"text": "a"}), pair({"text": "b"}, split="test", answer={"x": [1]})]
    with filled(pairs) as store:
        export_run(store, "r", tmp_path / "saved", format="datasets")
    loaded = datasets.load_from_disk(str(tmp_path / "saved"))
    assert isinstance(loaded, datasets.DatasetDict)
    assert {name: part["text"][:] for name, part in loaded.items()} == {
        "train": ["a"],
        "test": ["b"],
    }
    assert loaded["test"]["answer"][0] == '{"x": [1]}'


def test_a_run_is_called_by_its_id_or_its_newest_name():
    with filled([]) as store:
        store.start_run(run(id="later", started="2"))
        assert run_called(store, "r").id == "r"
        assert run_called(store, "n").id == "later"
        store.start_run(run(id="foreign", task="u"))
        with pytest.raises(StoreError, match="several tasks have a run n; give its id: "):
            run_called(store, "n")
        assert run_called(store, "n", task="t").id == "later"
        with pytest.raises(StoreError, match="no run nobody; its runs: n"):
            run_called(store, "nobody")


@pytest.mark.parametrize("form", FORMATS)
def test_an_exported_file_brings_its_examples_and_their_splits_but_no_answer_as_gold(
    tmp_path, form
):
    """Here the answer's field and an input have the names of a record's columns."""
    path = tmp_path / f"run.{SUFFIX[form]}"
    gold = {"answer": "yes"}
    pairs = [
        pair({"raw": "a"}, split="wild", gold=gold, answer={"answer": "no"}, raw="wrong"),
        pair({"raw": "b"}, split="test", group="g", answer={"answer": "no"}, raw="wrong"),
    ]
    with filled(pairs) as store:
        export_run(store, "r", path, format=form)
    options: dict[str, Any] = {"task": "t", "inputs": ("raw",), "gold_paths": ("answer",)}
    found = examples_from(read_rows(path), **options)
    assert list(found.examples) == [example for example, _ in pairs]
    found = examples_from(iter(list(read_rows(path))), split="all", **options)
    assert [e.split for e in found.examples] == ["all", "all"]


# As chats


MOODS = {"Alegria": "Que bom!", "Medo": "Que susto.", "Emoção": "=Ai, “ai”\nai"}


@pytest.fixture
def taught(tiny_task: Task):
    """A store with three answers that teach, a failure and one that does not fit the task."""
    pairs = [
        pair({"sentence": said}, answer={"mood": mood, "urgent": False}, reasoning=f"é {mood}")
        for mood, said in MOODS.items()
    ]
    pairs += [pair({"sentence": "x"}, error="no"), pair({"sentence": "y"}, answer={"mood": "?"})]
    pairs = [(e.model_copy(update={"task": "tiny"}), r) for e, r in pairs]
    with filled(pairs, task="tiny") as store:
        yield store


def test_chats_are_the_students_prompt_and_the_text_it_is_trained_to_write(
    taught, tiny_task, tmp_path
):
    first = {"mood": "Alegria", "urgent": False}
    label = '{"mood":"Alegria","urgent":false}'
    reasoned = '{"reasoning":"é Alegria","mood":"Alegria","urgent":false}'
    left_out = {"the record has no answer": 1, "the answer does not fit the task": 1}
    expected = {
        "openai": {
            "messages": [
                {"role": "user", "content": "Frase: Que bom!"},
                {"role": "assistant", "content": label},
            ]
        },
        "trl": {
            "prompt": [{"role": "user", "content": "Frase: Que bom!"}],
            "completion": [{"role": "assistant", "content": label}],
        },
        "llamafactory": {
            "conversations": [
                {"from": "human", "value": "Frase: Que bom!"},
                {"from": "gpt", "value": label},
            ],
            "system": "",
        },
        "alpaca": {
            "instruction": "Frase: Que bom!",
            "input": "",
            "output": label,
            "system": "",
            "history": [],
        },
    }
    for form, row in expected.items():
        path = tmp_path / form
        assert export_chats(tiny_task, taught, "r", path, format=form) == (3, left_out)
        rows = chat_rows(path)
        assert (len(rows), rows[0]) == (3, row)
    path = tmp_path / "reasoned"
    export_chats(tiny_task, taught, "r", path, format="openai", target="reason_label")
    assert chat_rows(path)[0]["messages"][-1]["content"] == reasoned
    assert tiny_task.answer_json(tiny_task.thought(json.loads(label)).answer) == first


def chat_rows(path: Path) -> list[Any]:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if text.startswith("[") else list(map(json.loads, text.splitlines()))


def test_a_run_without_a_row_that_teaches_leaves_no_file(taught, tiny_task, tmp_path):
    with pytest.raises(StoreError, match="no row that can be written"):
        export_chats(tiny_task, taught, "r", tmp_path / "x", format="trl", split="test")
    assert list(tmp_path.iterdir()) == []


def test_exported_chats_come_back_as_recordings_of_the_same_answers(taught, tiny_task, tmp_path):
    path = tmp_path / "chats.jsonl"
    export_chats(tiny_task, taught, "r", path, format="openai", target="reason_label")
    with Store(":memory:") as store:
        found, lines = import_recordings(store, tiny_task, path, format="openai", model="m")
        back = [
            (e.inputs["sentence"], (r.answer or {})["mood"], r.reasoning)
            for e, r in store.pairs(found.id)
        ]
    assert lines == []
    assert back == [(said, mood, f"é {mood}") for mood, said in MOODS.items()]


def test_trl_takes_the_rows_as_conversations(taught, tiny_task, tmp_path):
    from trl.data_utils import is_conversational

    export_chats(tiny_task, taught, "r", tmp_path / "trl.jsonl", format="trl")
    assert all(map(is_conversational, chat_rows(tmp_path / "trl.jsonl")))


WHEN = "2026-01-02T03:04:05+00:00"
COUNTS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


@pytest.mark.parametrize("form", ["completions", "langsmith"])
@given(
    rows=st.lists(
        st.tuples(
            USABLE,
            st.sampled_from(list(MOODS)),
            st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
            st.lists(st.none() | st.integers(0, 2**40 - 1), min_size=4, max_size=4),
            st.sampled_from(["gpt-4.1", "claude é"]),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda row: row[0],
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_exported_talks_come_back_as_they_were(tmp_path_factory, tiny_task, form, rows):
    path = tmp_path_factory.mktemp("out") / "talks.jsonl"
    pairs = [
        pair(
            {"sentence": text},
            answer={"mood": mood, "urgent": True},
            reasoning=reasoning,
            model=model,
            created=WHEN,
            **dict(zip(COUNTS, counts, strict=True)),
        )
        for text, mood, reasoning, counts, model in rows
        if reasoning is None or "\0" not in reasoning
    ] or [pair({"sentence": "x"}, answer={"mood": "Medo", "urgent": False}, created=WHEN)]
    pairs = [(e.model_copy(update={"task": "tiny"}), r) for e, r in pairs]
    with filled(pairs, task="tiny") as store:
        assert export_chats(tiny_task, store, "r", path, format=form) == (len(pairs), {})
        stored = [told(*row) for row in store.pairs("r")]
    with Store(":memory:") as store:
        found, lines = import_recordings(store, tiny_task, path, format=form, split="train")
        back = [told(*row) for row in store.pairs(found.id)]
    assert lines == []
    assert sorted(back, key=str) == sorted(stored, key=str)


def told(example: Example, record: Record) -> tuple[Any, ...]:
    counts = [getattr(record, name) for name in COUNTS]
    model = record.model or "m"
    return example, record.answer, record.reasoning, record.created, model, *counts


def test_a_langsmith_run_keeps_errors_cost_and_seconds_and_completions_leave_failures_out(
    taught, tiny_task, tmp_path
):
    answer = {"mood": "Medo", "urgent": True}
    timed = pair({"sentence": "t"}, answer=answer, created=WHEN, cost=0.25, seconds=1.5)
    taught.add_examples([timed[0].model_copy(update={"task": "tiny"})])
    taught.add_record(timed[1])
    unfit = {"the answer does not fit the task": 1}
    none = {"the record has no answer": 1}
    path = tmp_path / "talks"
    assert export_chats(tiny_task, taught, "r", path, format="completions") == (4, unfit | none)
    options: dict[str, Any] = {"format": "langsmith", "overwrite": True}
    assert export_chats(tiny_task, taught, "r", path, **options) == (5, unfit)
    with Store(":memory:") as store:
        found, _ = import_recordings(store, tiny_task, path, format="langsmith")
        back = {e.inputs["sentence"]: r for e, r in store.pairs(found.id)}
    assert (back["x"].answer, back["x"].error) == (None, "no")
    assert (back["t"].cost, back["t"].seconds, back["t"].created) == (0.25, 1.5, WHEN)


@pytest.mark.parametrize("form", ["trl", "llamafactory", "alpaca"])
def test_files_for_trainers_come_back_too(taught, tiny_task, tmp_path, form):
    options: dict[str, Any] = {"format": form, "target": "reason_label"}
    export_chats(tiny_task, taught, "r", tmp_path / "out", **options)
    with Store(":memory:") as store:
        found, lines = import_recordings(store, tiny_task, tmp_path / "out", format=form)
        back = [
            (e.inputs["sentence"], (r.answer or {})["mood"], r.reasoning)
            for e, r in store.pairs(found.id)
        ]
    assert (lines, back) == ([], [(said, mood, f"é {mood}") for mood, said in MOODS.items()])


BROKEN_ROWS: list[dict[str, Any]] = [
    {},
    {"prompt": "x", "completion": []},
    {"prompt": [1], "completion": [2]},
    {"conversations": [{"from": ["x"], "value": {}}], "system": 5},
    {"instruction": 5, "output": 7, "history": 7},
    {"instruction": None, "output": "x", "history": [[], [1, 2, 3], "ab"]},
]


@pytest.mark.parametrize("row", BROKEN_ROWS)
@pytest.mark.parametrize("form", ["trl", "llamafactory", "alpaca"])
def test_a_trainers_row_that_cannot_be_read_is_refused(tiny_task, tmp_path, form, row):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    with Store(":memory:") as store, pytest.raises(StoreError, match="has no usable row"):
        import_recordings(store, tiny_task, path, format=form)


@settings(max_examples=40)
@given(rows=PAIRS)
def test_an_exported_frame_comes_back_as_it_was(rows):
    pairs = [
        pair({"text": a, "raw": b}, split=split, group=group, gold=gold, **fields)
        for (a, b), split, group, gold, fields in rows
    ]
    with filled(pairs) as store:
        frame = export_frame(store, "r")
        pairs = store.pairs("r")  # a group is in one split
        with pytest.raises(StoreError, match="no rows in the split wild"):
            export_frame(store, "r", split="wild")
    back = [
        (example, Record(run="r", example=example.id, **fields))
        for example, fields in recorded_rows(frame, task="t", inputs=("text", "raw"))
    ]
    assert sorted(back, key=str) == sorted(pairs, key=str)
    options: dict[str, Any] = {"task": "t", "inputs": ("text", "raw"), "gold_paths": ("n",)}
    found = examples_from(read_rows(frame), **options)
    assert {e.id for e in found.examples} == {example.id for example, _ in pairs}
