"""The review queue: which rows come first, and that each says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from understudy.chains import Task
from understudy.distill.labelling.limits import LabellingError
from understudy.distill.reviewing.queue import review_queue
from understudy.store import Example, Record, Run, Store, example_id
from understudy.store.flags import set_flags
from understudy.store.reviews import add_review, undo_review
from understudy.store.rows import Flag, Review

NAMES = "abcdef"
IDS = {name: example_id({"sentence": name}) for name in NAMES}
SENTENCES = {example: name for name, example in IDS.items()}


def start(store: Store, task: Task, run: str, role: Any, **fields: Any) -> None:
    facts = {"model": "m", "strategy": "answer", "target": "label", "words": "w"}
    known = {"id": run, "name": run, "task": "tiny", "role": role, "answers": task.answers}
    store.start_run(Run.model_validate({**known, "started": f"2026-{run}", **facts, **fields}))


def say(store: Store, run: str, name: str, mood: str | None = "Medo", **fields: Any) -> None:
    answer = None if mood is None else {"mood": mood, "urgent": True}
    store.add_record(Record(run=run, example=IDS[name], answer=answer, created="2026", **fields))


@pytest.fixture
def store(tiny_task: Task):
    with Store(":memory:") as opened:
        for name, example in IDS.items():
            split = "test" if name == "f" else "train"
            opened.add_examples(
                [Example(id=example, task="tiny", split=split, inputs={"sentence": name})]
            )
        start(opened, tiny_task, "t", "teacher")
        yield opened


def order(store: Store, task: Task, **options: Any) -> str:
    return "".join(SENTENCES[entry.example] for entry in review_queue(task, store, **options))


def test_without_any_sign_the_rows_are_in_the_stores_order_and_say_nothing(store, tiny_task):
    for name in "bca":
        say(store, "t", name)
    found = review_queue(tiny_task, store)
    assert order(store, tiny_task) == "abc"
    assert [(entry.score, entry.reasons) for entry in found] == [(0.0, ())] * 3


def test_the_more_the_teachers_votes_are_split_the_earlier_a_row_comes(store, tiny_task):
    say(store, "t", "a", votes={"mood": {"Medo": 5}})
    say(store, "t", "b", votes={"mood": {"Medo": 4, "Neutro": 1}})
    say(store, "t", "c", votes={"mood": {"Neutro": 2, "Medo": 3}, "urgent": {"true": 5}})
    say(store, "t", "d", confidence={"mood": 0.7, "urgent": 0.9})
    found = review_queue(tiny_task, store)
    assert [(SENTENCES[e.example], *e.reasons) for e in found] == [
        ("c", "mood: the votes are Medo 3, Neutro 2"),
        ("d", "mood: the teacher is sure at 0.70"),
        ("b", "mood: the votes are Medo 4, Neutro 1"),
        ("a",),
    ]


def test_a_sure_student_that_disagrees_counts_more_than_an_unsure_one(store, tiny_task):
    start(store, tiny_task, "s1", "student")
    start(store, tiny_task, "s2", "student")
    for name in NAMES[:4]:
        say(store, "t", name)
        say(store, "s1", name, "Alegria", confidence={"mood": 1.0})  # not the newest
    say(store, "s2", "a", "Medo", confidence={"mood": 0.95})
    say(store, "s2", "b", "Neutro", confidence={"mood": 0.8})
    say(store, "s2", "c", "Neutro", confidence={"mood": 0.9})
    say(store, "s2", "d", "Medo", confidence={"mood": 0.4})
    found = review_queue(tiny_task, store)
    assert [(SENTENCES[e.example], *e.reasons) for e in found] == [
        ("c", "mood: the student says Neutro, the teacher Medo"),
        ("b", "mood: the student says Neutro, the teacher Medo"),
        ("d", "mood: the student is sure at 0.40"),
        ("a",),
    ]


def test_suspected_errors_say_what_the_label_may_be_and_reasons_add_up(store, tiny_task):
    for name in "abc":
        say(store, "t", name, votes={"mood": {"Medo": 3, "Neutro": 2 if name == "c" else 0}})
    detail = {"path": "mood", "given": "Medo", "likely": "<script>"}
    rule = "suspected_label_error"
    suspected = [
        Flag(example=IDS[name], rule=rule, score=score, detail=detail)
        for name, score in (("b", 0.7), ("c", 0.6))
    ]
    set_flags(store, "tiny", rule, suspected)
    first, second, third = review_queue(tiny_task, store)
    assert (SENTENCES[first.example], SENTENCES[second.example]) == ("c", "b")
    assert first.reasons == ("mood: Medo may be <script>", "mood: the votes are Medo 3, Neutro 2")
    assert first.score == pytest.approx(1 - 0.4 * 0.6)
    assert third.reasons == ()


def test_a_reasoning_against_its_answer_and_duplicates_in_conflict_come_early(store, tiny_task):
    for name in "abc":
        say(store, "t", name)
    for name, rule, detail in (
        ("b", "label_conflict", {"paths": ["mood"], "others": [IDS["a"]]}),
        ("c", "rationale_names_other_label", {"path": "mood", "given": "Medo", "named": "Alegria"}),
        ("a", "near_duplicate", {"of": IDS["b"]}),
    ):
        set_flags(store, "tiny", rule, [Flag(example=IDS[name], rule=rule, detail=detail)])
    found = review_queue(tiny_task, store)
    assert [(SENTENCES[e.example], *e.reasons) for e in found] == [
        ("c", "mood: the reasoning names Alegria, the answer Medo"),
        ("b", "mood: a duplicate has another label"),
        ("a",),
    ]


def test_gold_from_a_file_against_the_teacher_comes_first_and_says_so(store, tiny_task):
    for name in "abc":
        say(store, "t", name)
    golds = {"a": {"mood": "Medo"}, "b": {"mood": "Alegria", "urgent": True}, "c": {"mood": None}}
    with store.connection.writing() as connection:
        for name, gold in golds.items():
            said = (json.dumps(gold), IDS[name])
            connection.execute("update examples set gold = ? where id = ?", said)
    found = review_queue(tiny_task, store)
    assert [(SENTENCES[e.example], *e.reasons) for e in found] == [
        ("b", "mood: gold says Alegria, the teacher Medo"),
        ("a",),
        ("c",),
    ]
    with store.connection.writing() as connection:
        connection.execute("update examples set gold_by = 'Ana'")  # as an exported file brings it
    assert [entry.reasons for entry in review_queue(tiny_task, store)] == [()] * 3


def test_a_gold_text_that_says_nearly_the_same_is_no_sign(store, tiny_task):
    class Free(BaseModel):
        summary: str

    task = Task(name="tiny", schema=Free, prompt=tiny_task.prompt)
    start(store, task, "t2", "teacher")
    for name, gold in (
        ("a", "The market rose today"),
        ("b", "Rain"),
        ("c", "the market rose today"),
    ):
        answer = {"summary": "The market rose today"}
        store.add_record(Record(run="t2", example=IDS[name], answer=answer, created="2026"))
        with store.connection.writing() as connection:
            said = (json.dumps({"summary": gold}), IDS[name])
            connection.execute("update examples set gold = ? where id = ?", said)
    found = review_queue(task, store)
    assert [(SENTENCES[e.example], *e.reasons) for e in found] == [
        ("b", "summary: gold says another value than the teacher"),
        ("a",),
        ("c",),
    ]


def test_what_a_person_has_settled_is_out_until_it_is_undone(store, tiny_task):
    for name in "abc":
        say(store, "t", name)
    answer = {"mood": "Medo", "urgent": True}
    for name, verdict in (("a", "accept"), ("b", "correct"), ("c", "skip")):
        said = {"verdict": verdict, "reviewer": "Ana", "answer": answer, "created": "2026"}
        add_review(store, "tiny", Review.model_validate({"example": IDS[name], **said}))
    assert order(store, tiny_task) == "c"
    undo_review(store, "tiny", "Ana")
    undo_review(store, "tiny", "Ana")
    assert order(store, tiny_task) == "bc"


def test_a_split_a_limit_and_rows_without_an_answer(store, tiny_task):
    for name in "abcf":
        say(store, "t", name)
    say(store, "t", "d", None, error="refused")
    assert order(store, tiny_task) == "abcf"
    assert order(store, tiny_task, split="test") == "f"
    assert order(store, tiny_task, split="train", limit=2) == "ab"


def test_a_student_of_another_schema_is_not_heard(store, tiny_task):
    start(store, tiny_task, "s", "student", answers="another")
    say(store, "t", "a")
    say(store, "s", "a", "Neutro", confidence={"mood": 1.0})
    assert [entry.reasons for entry in review_queue(tiny_task, store)] == [()]


def test_without_a_teacher_it_says_so(store, tiny_task):
    with pytest.raises(LabellingError, match="no teacher"):
        review_queue(tiny_task, store)
