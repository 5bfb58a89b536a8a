"""Which records teach, and that a student is served what it was taught."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableLambda

from understudy.chains import Task, answer_chain
from understudy.chains.student.rendering import prompt_ids
from understudy.chains.student.weights import load_tokenizer
from understudy.chains.task import TARGETS
from understudy.distill.training.dataset import (
    examples_sha256,
    rows_sha256,
    tokenised,
    training_rows,
)
from understudy.store import Example, Record, example_id


def pair(sentence: str, **fields: Any) -> tuple[Example, Record]:
    inputs = {"sentence": sentence}
    example = Example(id=example_id(inputs), task="tiny", split="train", inputs=inputs)
    fields = {"answer": {"mood": "Medo", "urgent": True}, "reasoning": "treme", **fields}
    return example, Record(run="r", example=example.id, created="now", **fields)


class AnyCard:
    """The card of a student that has learnt whatever it is asked."""

    target = "label"

    def check(self, task: Task) -> None:
        pass


class Listener(FakeListChatModel):
    """Stands where a student stands in an answer chain and keeps the messages that reach it."""

    card: Any
    heard: Any

    def with_structured_output(self, schema: Any, **_: Any) -> Runnable[Any, Any]:
        def answer(prompt: Any) -> dict[str, Any]:
            self.heard.append(prompt.to_messages())
            parsed = {"mood": "Medo", "urgent": True}
            return {"raw": AIMessage(""), "parsed": parsed, "parsing_error": None}

        return RunnableLambda(answer)


@pytest.fixture(scope="session")
def tokenizer(tiny_base: Path) -> Any:
    return load_tokenizer(tiny_base, "tiny")


@settings(max_examples=150, deadline=None)
@given(sentence=st.text(max_size=80))
def test_what_a_student_is_served_is_exactly_the_prefix_of_what_it_was_taught(
    tiny_task: Task, tokenizer: Any, sentence: str
):
    taught = training_rows(tiny_task, [pair(sentence)], target="reason_label")
    [row] = tokenised(tokenizer, taught.rows)
    listener = Listener(responses=[], card=AnyCard(), heard=[])
    answer_chain(tiny_task, listener).invoke({"sentence": sentence})
    served = prompt_ids(tokenizer, listener.heard[0])
    cut = len(served)
    assert row["input_ids"][:cut] == served
    assert row["completion_mask"] == [0] * cut + [1] * (len(row["input_ids"]) - cut)
    assert row["input_ids"][-1] == tokenizer.eos_token_id


@settings(max_examples=100, deadline=None)
@given(reasoning=st.text(min_size=1, max_size=40))
def test_the_tokens_in_the_loss_are_the_completion_whatever_the_reasoning(
    tiny_task: Task, tokenizer: Any, reasoning: str
):
    taught = training_rows(tiny_task, [pair("a", reasoning=reasoning)], target="reason_label")
    [row] = tokenised(tokenizer, taught.rows)
    learnt = [i for i, mask in zip(row["input_ids"], row["completion_mask"], strict=True) if mask]
    assert tokenizer.decode(learnt[:-1]) == taught.rows[0].completion


def test_a_label_student_is_taught_no_reasoning_and_the_other_writes_it_first(tiny_task: Task):
    [label] = training_rows(tiny_task, [pair("a")], target="label").rows
    [reasoned] = training_rows(tiny_task, [pair("a")], target="reason_label").rows
    assert label.completion == '{"mood":"Medo","urgent":true}'
    assert reasoned.completion == '{"reasoning":"treme","mood":"Medo","urgent":true}'
    assert label.messages == reasoned.messages


def test_rows_that_cannot_teach_are_counted_with_the_reason(tiny_task: Task):
    pairs = [
        pair("a"),
        pair("b", answer=None, error="timeout"),
        pair("c", reasoning=None),
        pair("d", answer={"mood": "Tédio", "urgent": True}),
        pair("e", reasoning="longer than the forty characters it may have"),
    ]
    reasoned = training_rows(tiny_task, pairs, target="reason_label")
    assert [row.example for row in reasoned.rows] == [pairs[0][0].id]
    assert reasoned.left_out == {
        "the teacher failed": 1,
        "no reasoning": 1,
        "the answer does not fit the schema": 2,
    }


def test_all_targets_learn_the_same_rows_once_one_record_has_a_reasoning(tiny_task: Task):
    pairs = [
        pair("a", reasoning=None),
        pair("b", reasoning=""),
        pair("c"),
        pair("d", reasoning="longer than the forty characters it may have"),
        pair("e", reasoning="ends </s> early"),
        pair("f"),
    ]
    for target in TARGETS:
        found = training_rows(tiny_task, pairs, target=target, end_token="</s>")
        assert [row.example for row in found.rows] == [pairs[2][0].id, pairs[5][0].id]
        assert found.left_out == {
            "no reasoning": 2,
            "the answer does not fit the schema": 1,
            "it holds the end token </s> as text": 1,
        }


def test_labels_recorded_without_any_reasoning_teach_the_label_target_alone(tiny_task: Task):
    pairs = [pair("a", reasoning=None), pair("b", reasoning=None), pair("c", answer=None)]
    label = training_rows(tiny_task, pairs, target="label")
    assert [row.example for row in label.rows] == [pairs[0][0].id, pairs[1][0].id]
    assert label.left_out == {"the teacher failed": 1}
    reasoned = training_rows(tiny_task, pairs, target="reason_label")
    assert reasoned.rows == ()
    assert reasoned.left_out == {"no reasoning": 2, "the teacher failed": 1}


def test_the_digests_know_rows_apart_but_not_their_order(tiny_task: Task):
    pairs = [pair("a"), pair("b")]
    rows = training_rows(tiny_task, pairs, target="label").rows
    back = training_rows(tiny_task, pairs[::-1], target="label").rows
    reasoned = training_rows(tiny_task, pairs, target="reason_label").rows
    assert rows_sha256(rows) == rows_sha256(back) != rows_sha256(reasoned)
    assert examples_sha256(rows) == examples_sha256(reasoned) != examples_sha256(rows[:1])


def test_a_reasoning_that_argues_against_the_label_that_won_does_not_teach(tiny_task):
    against = pair("perde", details={"unsupported": ["mood"]})
    for_it = pair("ganha", details={"unsupported": []})
    found = training_rows(tiny_task, [against, for_it], target="reason_label")
    assert [row.example for row in found.rows] == [for_it[0].id]
    assert found.left_out == {"the reasoning argues against a label that won": 1}
