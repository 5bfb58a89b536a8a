"""What stands behind a label: words kept once, terms, and which records taught which student."""

from __future__ import annotations

import dataclasses
import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate

from understudy.chains import Task
from understudy.distill.evaluation.systems import evaluate
from understudy.distill.labelling.label import label
from understudy.distill.recorded import record_labels
from understudy.distill.runs import describe_run, start
from understudy.store import Example, Store, StoreError, example_id, fingerprint
from understudy.store.provenance import (
    add_training,
    all_terms,
    fingerprint_of,
    save_words,
    set_terms,
    terms_of,
    trainings,
    trainings_of,
    words,
)
from understudy.store.rows import Terms

SAMPLES = Path(__file__).with_name("store_samples.py")
samples: Any = SimpleNamespace(**runpy.run_path(str(SAMPLES)))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.fixture
def store():
    with Store(":memory:") as opened:
        samples.fill(opened)
        yield opened


def lessons(store: Store) -> list[tuple[int, int]]:
    return [tuple(row) for row in store.connection.read("select * from lessons order by 1, 2")]


def test_words_are_kept_once_and_found_by_their_fingerprint(store):
    assert words(store, samples.WORDS) == samples.canonical(samples.PROMPT)
    assert words(store, samples.ANSWERS) == samples.SCHEMA
    assert words(store, "0" * 16) is None
    assert not save_words(store, samples.ANSWERS, "schema", samples.SCHEMA)
    (count,) = store.connection.read("select count(*) as n from words")
    assert count["n"] == 2


@pytest.mark.parametrize(("kind", "text"), [("prompt", "[]"), ("schema", "{}"), ("prompt", "{no")])
def test_words_that_do_not_fit_their_fingerprint_are_refused(store, kind, text):
    with pytest.raises(StoreError):
        save_words(store, samples.WORDS, kind, text)
    assert words(store, samples.WORDS) == samples.canonical(samples.PROMPT)


@given(st.lists(st.fixed_dictionaries({"role": TEXT, "text": TEXT, "format": TEXT}), max_size=3))
def test_any_prompt_comes_back_as_it_was_said(messages):
    with Store(":memory:") as store:
        save_words(store, fingerprint(messages), "prompt", samples.canonical(messages))
        kept = words(store, fingerprint(messages))
    assert kept is not None
    assert json.loads(kept) == messages


def test_a_run_that_starts_leaves_the_texts_behind_all_its_fingerprints(tiny_task: Task):
    teacher: dict[str, Any] = {"role": "teacher", "name": "t", "model": "m"}
    student: dict[str, Any] = {"role": "student", "name": "s", "model": "n"}
    with Store(":memory:") as store:
        runs = [
            start(tiny_task, store, describe_run(tiny_task, target="reason_label", **facts))
            for facts in (teacher, student, teacher)
        ]
        told = [words(store, run.words) for run in runs]
        schema = words(store, runs[0].answers)
        (count,) = store.connection.read("select count(*) as n from words")
    assert runs[0] == runs[2]
    assert "reasoning first" in str(told[0])
    assert "Frase: {sentence}" in str(told[1])
    assert [fingerprint_of("prompt", str(text)) for text in told] == [run.words for run in runs]
    assert json.loads(str(schema)) == tiny_task.json_schema("reason_label")
    assert count["n"] == 3


def test_labelling_recording_and_evaluating_keep_the_words(tiny_task: Task):
    def sentence(text: str, split: str) -> Example:
        inputs = {"sentence": text}
        return Example(id=example_id(inputs), task="tiny", split=split, inputs=inputs)

    asked, held_out = sentence("Choveu.", "train"), sentence("Fez sol.", "test")
    output: dict[str, Any] = {
        "answer": {"mood": "Medo", "urgent": True},
        "reasoning": "chuva",
    }
    with Store(":memory:") as store:
        recorded = record_labels(tiny_task, store, [(asked, output)], model="elsewhere")
        assert (recorded.words, recorded.strategy, recorded.versions) == ("", "recorded", {})
        assert words(store, recorded.words) is None
        assert "mood" in str(words(store, recorded.answers))
        reworded = dataclasses.replace(
            tiny_task, prompt=ChatPromptTemplate.from_messages([("human", "And {sentence}?")])
        )
        written = json.dumps({**output["answer"], "reasoning": "chuva"})
        labelled = label(reworded, FakeListChatModel(responses=[written]), store)
        assert "And {sentence}?" in str(words(store, labelled.words))
        store.add_examples([held_out])
        with store.connection.writing() as connection:
            connection.execute("delete from words")
        evaluate(reworded, store, splits=["test"])
        for run in store.runs(role="baseline"):
            assert "And {sentence}?" in str(words(store, run.words))


def test_a_note_on_terms_is_replaced_by_a_newer_one(store):
    known = terms_of(store, "wise-1")
    assert known == Terms(model="wise-1", licence="CC0", note="may be trained on", noted="2026")
    newer = Terms(model="wise-1", note="no longer", source="https://example.org", noted="2027")
    set_terms(store, newer)
    set_terms(store, Terms(model="a", note="x", noted="2026"))
    assert terms_of(store, "wise-1") == newer
    assert terms_of(store, "nobody") is None
    assert [one.model for one in all_terms(store)] == ["a", "wise-1"]


def test_a_training_names_the_records_that_taught_it(store):
    assert lessons(store) == [(1, 1), (1, 2)]
    assert trainings_of(store, 1) == [samples.training()]
    assert trainings_of(store, 4) == []
    second = samples.training(folder="/runs/b", name="b", created="2026-02-01")
    assert add_training(store, second, iter(samples.IDS)) == 2
    assert lessons(store)[2:] == [(2, 1), (2, 2), (2, 3), (2, 4)]
    assert trainings_of(store, 2) == [samples.training(), second]
    assert trainings(store) == [second, samples.training()]


def test_the_same_training_remembered_again_stays_one_and_keeps_its_time(store):
    later = samples.training(created="2026-09-09")
    assert add_training(store, later, [samples.IDS[0]]) == 1
    assert trainings(store) == [samples.training()]
    assert lessons(store) == [(1, 1)]
    other = samples.training(created="2026-09-09", seed=8)
    assert add_training(store, other, [samples.IDS[1]]) == 1
    assert trainings(store) == [other]
    assert lessons(store) == [(1, 2)]


def test_a_training_of_an_unknown_run_is_refused_and_nothing_stays(store):
    with pytest.raises(StoreError, match="no run nowhere"):
        add_training(store, samples.training(folder="/x", run="nowhere"), samples.IDS)
    assert trainings(store) == [samples.training()]


def test_a_training_whose_rows_break_off_is_not_remembered(store):
    def broken():
        yield samples.IDS[0]
        raise KeyError("gone")

    with pytest.raises(KeyError):
        add_training(store, samples.training(folder="/x"), broken())
    assert len(trainings(store)) == 1


def test_an_example_without_a_record_is_no_lesson(store):
    number = add_training(store, samples.training(folder="/x"), ["0" * 16, samples.IDS[2]])
    assert lessons(store)[2:] == [(number, 3)]


@pytest.mark.parametrize(
    "statement",
    [
        "select text from words where fingerprint = 'x'",
        "select * from terms where model = 'x'",
        "select * from trainings t join lessons l on l.training = t.number where l.record = 1",
        "select r.number from examples e join records r on r.run = 1 and r.example = e.position "
        "where e.task = 't' and e.id = 'x'",
    ],
)
def test_what_provenance_asks_is_found_by_an_index(store, statement):
    plan = [row["detail"] for row in store.connection.read(f"explain query plan {statement}")]
    assert not [step for step in plan if step.startswith("SCAN")], plan
