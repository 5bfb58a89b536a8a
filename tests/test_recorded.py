"""Answers from elsewhere: what is kept of them, and what the store does not claim of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy.chains.task import Task
from understudy.distill.commands.stories import print_story
from understudy.distill.importing import Placing, import_examples, import_recordings, import_rows
from understudy.distill.recorded import record_labels
from understudy.distill.redaction import without_keys
from understudy.store import Example, Store, StoreError, example_id
from understudy.store.export import export_run
from understudy.store.story import why

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMED = TEXT.filter(lambda t: t.strip() and "\0" not in t)
COUNT = st.none() | st.integers(0, 2**40)
ANSWERED = {"answer": st.just({"mood": "Medo", "urgent": True}), "reasoning": NAMED}
FAILED = {
    "answer": st.none(),
    "error": NAMED.filter(lambda t: without_keys(t) == t),
    "reasoning": st.none() | NAMED,
}
REST: dict[str, Any] = {
    "split": st.sampled_from(["train", "test", "wild"]),
    "gold": st.none() | st.just({"mood": "Neutro"}),
    "gold_by": st.none() | NAMED,
    "raw": st.none() | NAMED,
    "attempts": st.integers(1, 9),
    "input_tokens": COUNT,
    "output_tokens": COUNT,
    "cached_tokens": COUNT,
    "reasoning_tokens": COUNT,
    "cost": st.none() | st.floats(0, 1e6),
    "seconds": st.floats(0, 1e6),
    "confidence": st.none() | st.dictionaries(NAMED, st.floats(0, 1), min_size=1, max_size=2),
    "votes": st.none() | st.just({"mood": {'"Medo"': 2, '"=é"': 1}}),
    "details": st.none() | st.dictionaries(NAMED, TEXT, min_size=1, max_size=2),
    "model": st.none() | NAMED,
    "created": st.datetimes().map(lambda t: f"{t.isoformat(timespec='seconds')}+00:00"),
}
ROW = st.fixed_dictionaries({**REST, **ANSWERED}) | st.fixed_dictionaries({**REST, **FAILED})


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.dictionaries(NAMED, ROW, min_size=1, max_size=4))
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_file_of_recordings_goes_through_two_stores_as_it_was(tmp_path, tiny_task, form, rows):
    path, out = tmp_path / "said.jsonl", tmp_path / f"out.{form}"
    lines = ({"inputs": {"sentence": text}, **row} for text, row in rows.items())
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with Store(":memory:") as first, Store(":memory:") as second:
        run, _ = import_recordings(first, tiny_task, path, model="m")
        export_run(first, run.id, out, format=form, overwrite=True)
        again, _ = import_recordings(second, tiny_task, out, model="m")
        kept = first.pairs(run.id)
        assert again.id == run.id
        assert kept == second.pairs(again.id)
    for example, record in kept:
        row = rows[example.inputs["sentence"]]
        said = {**record.model_dump(), **example.model_dump(include={"split", "gold", "gold_by"})}
        assert {name: said[name] for name in row} == {**row, "model": row["model"] or "m"}


@pytest.mark.parametrize("key", ["sk-proj-abcDEF123456_78", "Bearer abc123.def456"])
def test_keys_in_recorded_errors_and_details_do_not_reach_the_store(tmp_path, tiny_task, key):
    secret = key.split()[-1]
    said = f"401: {key} is wrong"
    labels, runs = tmp_path / "labels.jsonl", tmp_path / "runs.jsonl"
    row = {"sentence": "a", "answer": None, "error": said, "raw": said, "details": {"x": [said]}}
    labels.write_text(json.dumps(row))
    late = {"run_type": "chain", "inputs": {"sentence": "b"}, "outputs": None}
    tools = {**late, "outputs": {"mood": "Medo"}, "tools": [{"header": said}]}
    cut = {**late, "inputs": {"sentence": "c"}, "error": "x" * 290 + " " + said}
    runs.write_text("\n".join(map(json.dumps, ({**late, "error": said}, tools, cut))))
    with Store(tmp_path / "s.db") as store:
        import_recordings(store, tiny_task, labels, model="m")
        import_recordings(store, tiny_task, runs, format="langsmith", model="n")
        held = [r for run in store.runs() for r in store.records(run.id)]
        assert len(held) == 3
        assert all(r.error for r in held)
        assert "***" in str(held)
        assert secret not in str(held)
        assert secret[:8] not in str(held)


def test_the_store_claims_no_words_and_no_versions_for_an_answer_from_elsewhere(
    tmp_path: Path, tiny_task: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "runs.jsonl"
    ended = {"start_time": "2024-05-31T10:00:00", "end_time": "2024-05-31T12:00:02+02:00"}
    said = {"mood": "Medo", "urgent": True, "reasoning": "é medo"}
    row = {"run_type": "chain", "inputs": {"sentence": "a"}, "outputs": said, **ended}
    path.write_text(json.dumps(row))
    with Store(":memory:") as store:
        run, _ = import_recordings(store, tiny_task, path, format="langsmith")
        assert (run.strategy, run.words, run.versions) == ("recorded", "", {})
        (record,) = store.records(run.id)
        assert record.created == "2024-05-31T10:00:02+00:00"
        print_story(why(store, 1))
    told = " ".join(capsys.readouterr().out.split())
    assert "2024-05-31T10:00:02+00:00 (recorded elsewhere, first imported" in told
    assert "not known: the answer was recorded elsewhere" in told
    assert "strategy recorded" in told
    assert "reasoning first" not in told
    assert "langchain-core" not in told


@pytest.mark.parametrize(
    ("when", "created"),
    [
        ({"created": 1717149600}, "2024-05-31T10:00:00+00:00"),
        ({"created_at": 1717149600.5}, "2024-05-31T10:00:00+00:00"),
    ],
)
def test_a_completion_keeps_the_time_of_its_provider(tmp_path, tiny_task, when, created):
    asked = [{"role": "user", "content": "a"}]
    row = {"messages": asked, "output": json.dumps({"mood": "Medo"}), **when}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    with Store(":memory:") as store:
        run, _ = import_recordings(store, tiny_task, path, format="completions")
        assert [record.created for record in store.records(run.id)] == [created]


def test_the_output_of_a_batch_alone_is_told_that_it_holds_no_prompt(tmp_path, tiny_task):
    body = {"choices": [{"message": {"role": "assistant", "content": "{}"}}]}
    row = {"id": "b", "custom_id": "1", "response": {"status_code": 200, "body": body}}
    path = tmp_path / "batch.jsonl"
    path.write_text(json.dumps(row))
    with Store(":memory:") as store:
        with pytest.raises(StoreError, match=r"output, which holds no prompt; .* custom_id"):
            import_recordings(store, tiny_task, path, format="completions")
        asked = {"custom_id": "1", "body": {"messages": [{"role": "user", "content": "a"}]}}
        path.write_text(json.dumps({**row, "request": asked}))
        run, _ = import_recordings(store, tiny_task, path, format="completions")
        assert len(store.records(run.id)) == 1


def test_a_group_is_not_parted_by_a_later_import(tmp_path, tiny_task):
    path = tmp_path / "rows.csv"
    with Store(":memory:") as store:
        path.write_text("sentence,who,fold\na,g,test\nb,g,train\nc,h,train\n")
        columns: dict[str, Any] = {"group_column": "who", "split_column": "fold"}
        added, _ = import_rows(store, tiny_task, path, placing=Placing(**columns))
        assert (added.new, added.split_of_group) == (3, 1)
        path.write_text("sentence,who\nd,g\ne,h\nf,i\nb,g\n")
        reference = Path(tmp_path, "tiny.py")
        reference.write_text(TINY)
        where: dict[str, Any] = {"split": "wild", "group_column": "who"}
        lines = import_examples(store, f"{reference}:task", path, **where)
        assert lines[0] == f"{path}: 3 new examples, 1 already known"
        assert lines[1] == f"{path}: 2 rows went into the split where the store has their group"
        said = [(e, {"answer": None}) for e in (one("j", "g"), one("k", "k"))]
        run = record_labels(tiny_task, store, said, model="m")
        assert [e.split for e, _ in store.pairs(run.id)] == ["test", "train"]
        sides = {e.inputs["sentence"]: (e.group, e.split) for e in store.examples("tiny")}
        plan = store.connection.read(
            'explain query plan select split from examples where task = :t and "group" = :g',
            t="tiny",
            g="g",
        )
    assert sides == {
        **dict.fromkeys("abdj", ("g", "test")),
        **dict.fromkeys("ce", ("h", "train")),
        "f": ("i", "wild"),
        "k": ("k", "train"),
    }
    assert "examples_by_group" in plan[0]["detail"]


def one(text: str, group: str) -> Example:
    inputs = {"sentence": text}
    number = example_id(inputs)
    return Example(id=number, task="tiny", split="train", inputs=inputs, group=group)


TINY = """
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel
from understudy.chains import Task

class Mood(BaseModel):
    mood: str

prompt = ChatPromptTemplate.from_messages([("human", "{sentence}")])
task = Task(name="tiny", schema=Mood, prompt=prompt)
"""


def test_a_split_is_written_in_small_letters_and_has_a_name(tmp_path, tiny_task):
    path = tmp_path / "rows.csv"
    path.write_text("sentence,answer\na,\n")
    with Store(":memory:") as store:
        import_rows(store, tiny_task, path, placing=Placing(split=" TRAIN "))
        assert store.splits("tiny") == {"train": 1}
        path.write_text("sentence,answer\nb,\n")
        import_recordings(store, tiny_task, path, split="Train")
        assert store.splits("tiny") == {"train": 2}
        for empty in ("", "  "):
            with pytest.raises(StoreError, match="--split is empty"):
                Placing(split=empty)
            with pytest.raises(StoreError, match="--split is empty"):
                import_recordings(store, tiny_task, path, split=empty)
