"""The extraction example: nothing of the house is bound to the news task."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.chains import Thought, answer_chain, load_task
from understudy.chains.task import value_at
from understudy.chains.teachers import load_teacher
from understudy.examples.extraction.generate import (
    LONGEST_TEXT,
    SPLIT_SIZES,
    OrderRow,
    main,
    order_rows,
)
from understudy.examples.extraction.task import SYSTEM, Order, data, task, teacher
from understudy.examples.extraction.teacher import OrderTeacher
from understudy.store.exchange import examples_from, read_rows

ROWS = order_rows(0)
PATHS = ("customer", "product", "quantity", "extras", "delivery_note")
CHAIN = answer_chain(task, teacher)


def gold_of(row: OrderRow) -> dict[str, Any]:
    return {path: getattr(row, path) for path in PATHS} | {"extras": list(row.extras)}


@pytest.fixture(scope="module")
def thoughts() -> list[Thought]:
    return CHAIN.batch([{"text": row.text} for row in ROWS])


def test_the_shipped_file_is_what_the_generator_writes(tmp_path: Path) -> None:
    again, other = tmp_path / "again.csv", tmp_path / "other.csv"
    main([str(again), "--seed", "0"])
    main([str(other), "--seed", "1"])
    assert again.read_bytes() == data.read_bytes()
    assert other.read_bytes() != data.read_bytes()


def test_each_split_has_its_rows_and_no_text_stands_twice() -> None:
    assert Counter(row.split for row in ROWS) == SPLIT_SIZES
    assert SPLIT_SIZES == {"train": 200, "validation": 20, "calibration": 20, "test": 60}
    assert len({row.text for row in ROWS}) == 300
    assert max(len(row.text) for row in ROWS) <= LONGEST_TEXT


def test_every_gold_answer_fits_the_schema_and_stands_in_its_text() -> None:
    for row in ROWS:
        assert task.answer_json(task.thought(gold_of(row)).answer) == gold_of(row)
        words = [row.customer, row.product, *row.extras, row.delivery_note or ""]
        assert all(word.casefold() in row.text.casefold() for word in words), row


def test_the_file_becomes_examples_with_the_gold_of_every_field() -> None:
    imported = examples_from(
        read_rows(data),
        task=task.name,
        inputs=task.inputs,
        gold_paths=task.paths,
        labels=task.labels,
        split_column="split",
    )
    assert (imported.refused, imported.notes) == ([], [])
    found = [(example.inputs, example.split, example.gold) for example in imported.examples]
    assert found == [({"text": row.text}, row.split, gold_of(row)) for row in ROWS]


def test_the_texts_are_varied() -> None:
    for path, at_least in (("customer", 150), ("product", 40), ("quantity", 25), ("extras", 100)):
        values = {json.dumps(gold_of(row)[path]) for row in ROWS}
        assert len(values) >= at_least, path
    none = mean(row.delivery_note is None for row in ROWS)
    assert 0.3 < none < 0.5


def test_the_teacher_answers_every_row_and_quotes_only_the_text(thoughts: list[Thought]) -> None:
    for row, thought in zip(ROWS, thoughts, strict=True):
        assert isinstance(thought.answer, Order)
        assert thought.reasoning
        quoted = thought.reasoning.split('"')[1::2]
        assert all(words in row.text for words in quoted), thought.reasoning


@pytest.mark.parametrize(
    ("path", "measured"),
    [
        ("customer", 0.843),
        ("product", 0.810),
        ("quantity", 0.910),
        ("extras", 0.983),
        ("delivery_note", 0.963),
    ],
)
def test_the_teacher_is_good_but_not_perfect(
    path: str, measured: float, thoughts: list[Thought]
) -> None:
    compare = task.comparator(path)
    answers = [task.answer_json(thought.answer) for thought in thoughts]
    scores = [
        compare(value_at(gold_of(row), path), value_at(answer, path))
        for row, answer in zip(ROWS, answers, strict=True)
    ]
    assert 0.7 < mean(scores) < 0.99
    assert mean(scores) == pytest.approx(measured, abs=0.001)


def test_the_worked_example_of_the_prompt_is_answered_as_the_prompt_says() -> None:
    told = SYSTEM.partition("text: ")[2].replace("{{", "{").replace("}}", "}")
    text, _, answer = told.partition("\n")
    thought = CHAIN.invoke({"text": text})
    assert thought.answer.model_dump(mode="json") == json.loads(answer)


def test_a_hasty_reader_falls_for_a_correction_and_for_the_writer() -> None:
    text = "On behalf of Studio Nine: Please send 3, no, make that 5 oak stools. Best, Ana Ruiz"
    answer = CHAIN.invoke({"text": text}).answer
    assert isinstance(answer, Order)
    assert (answer.customer, answer.quantity) == ("Ana Ruiz", 3)


@given(st.text(max_size=400))
def test_any_text_has_a_valid_answer(text: str) -> None:
    assert isinstance(CHAIN.invoke({"text": text}).answer, Order)


@given(st.lists(st.sampled_from(["Best, Ana ", "out of ", "12 ", "with ", "x" * 90, ", ", ". "])))
def test_long_words_are_cut_to_what_the_schema_holds(pieces: list[str]) -> None:
    answer = task.thought(OrderTeacher().answer({"text": "".join(pieces)})).answer
    assert isinstance(answer, Order)


def test_an_order_has_five_fields_and_no_labels() -> None:
    assert task.inputs == ("text",)
    assert task.paths == PATHS
    assert task.labels == {}
    assert task.parts == {"": PATHS}
    assert len(SYSTEM.split()) < 200


def test_the_two_targets_differ_by_the_reasoning_only() -> None:
    silent, reasoned = task.json_schema("label"), task.json_schema("reason_label")
    assert silent["properties"] == {
        "customer": {"maxLength": 40, "type": "string"},
        "product": {"maxLength": 40, "type": "string"},
        "quantity": {"maximum": 999, "minimum": 1, "type": "integer"},
        "extras": {
            "items": {"maxLength": 30, "type": "string"},
            "maxItems": 3,
            "type": "array",
        },
        "delivery_note": {"anyOf": [{"maxLength": 60, "type": "string"}, {"type": "null"}]},
    }
    assert silent["required"] == list(PATHS)
    assert list(reasoned["properties"]) == ["reasoning", *PATHS]
    assert reasoned["required"] == ["reasoning", *PATHS]
    assert reasoned["properties"]["reasoning"]["maxLength"] == 200
    assert silent["additionalProperties"] is reasoned["additionalProperties"] is False


@pytest.mark.parametrize(
    ("path", "expected", "found", "score"),
    [
        ("customer", "Ana Ruiz", "ana ruiz", 1.0),
        ("quantity", 2, 2.0, 1.0),
        ("quantity", 2, 12, 0.0),
        ("extras", ["felt pads", "ribbon"], ["ribbon", "felt pads"], 1.0),
        ("extras", ["felt pads", "ribbon"], ["ribbon"], 2 / 3),
        ("delivery_note", None, None, 1.0),
        ("delivery_note", None, "ring twice", 0.0),
        ("delivery_note", "ring twice", "ring", 2 / 3),
    ],
)
def test_fields_compare_by_what_they_are(
    path: str, expected: Any, found: Any, score: float
) -> None:
    assert task.comparator(path)(expected, found) == pytest.approx(score)


def test_the_task_file_names_its_teacher_and_its_data() -> None:
    reference = f"{data.with_name('task.py')}:task"
    loaded = load_task(reference)
    assert (loaded.teacher_words, loaded.answers) == (task.teacher_words, task.answers)
    assert isinstance(load_teacher("offline", task=reference), OrderTeacher)
    with data.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == ["text", "split", *PATHS]
