"""What the targets teach, and that a student that learnt a reasoning beside serves labels alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from understudy.chains import Task, answer_chain
from understudy.chains.student import ChatStudent
from understudy.chains.student.card import read_card, write_card
from understudy.chains.student.rendering import EXPLAIN, PREDICT, prompt_ids, settled
from understudy.chains.student.weights import load_tokenizer
from understudy.chains.task import TARGETS
from understudy.distill.training.dataset import rows_sha256, sequences, tokenised, training_rows
from understudy.distill.training.selection import Selection
from understudy.store import Example, Record, example_id


def pair(sentence: str, **fields: Any) -> tuple[Example, Record]:
    inputs = {"sentence": sentence}
    example = Example(id=example_id(inputs), task="tiny", split="train", inputs=inputs)
    fields = {"answer": {"mood": "Medo", "urgent": True}, "reasoning": "treme", **fields}
    return example, Record(run="r", example=example.id, created="now", **fields)


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    return load_tokenizer(tiny_base, "tiny")


@pytest.fixture
def student_of(tiny_student: Path, tiny_task: Task, tmp_path: Path):
    """The tiny student, as one of another target."""

    def make(target: Any) -> ChatStudent:
        folder = tmp_path / target
        shutil.copytree(tiny_student, folder)
        schema = tiny_task.json_schema(target)
        write_card(
            folder,
            read_card(folder).model_copy(update={"target": target, "answer_schema": schema}),
        )
        return ChatStudent(model=str(folder))

    return make


def taught(tokenizer: Any, task: Task, target: Any, **options: Any) -> list[tuple[str, str]]:
    """Each sequence as text: the prompt, and what is in the loss."""
    rows = training_rows(task, [pair("a")], target=target, **options).rows
    texts = []
    for ids in tokenised(tokenizer, rows):
        cut = ids["completion_mask"].index(1)
        assert ids["completion_mask"] == [0] * cut + [1] * (len(ids["input_ids"]) - cut)
        texts.append(tuple(map(tokenizer.decode, (ids["input_ids"][:cut], ids["input_ids"][cut:]))))
    return texts


def test_each_target_teaches_its_own_text_from_the_same_row(tokenizer, tiny_task):
    asked = "<|user|>\n{}Frase: a</s>\n<|assistant|>\n"
    label, reason = '{"mood":"Medo","urgent":true}</s>', '{"reasoning":"treme"}</s>'
    first = '{"reasoning":"treme","mood":"Medo","urgent":true}</s>'
    assert taught(tokenizer, tiny_task, "label") == [(asked.format(""), label)]
    assert taught(tokenizer, tiny_task, "reason_label") == [(asked.format(""), first)]
    assert taught(tokenizer, tiny_task, "label_reason") == [(asked.format(""), label + reason)]
    assert taught(tokenizer, tiny_task, "multitask") == [
        (asked.format(PREDICT), label),
        (asked.format(EXPLAIN), reason),
    ]


def test_a_label_reason_student_has_ended_its_answer_as_a_label_student_does(tokenizer, tiny_task):
    pairs = [pair(sentence) for sentence in ("a", "uma frase", "Emoção à beça")]
    ids = {
        target: tokenised(tokenizer, training_rows(tiny_task, pairs, target=target).rows)
        for target in TARGETS
    }
    for label, beside in zip(ids["label"], ids["label_reason"], strict=True):
        assert beside["input_ids"][: len(label["input_ids"])] == label["input_ids"]
        assert label["input_ids"][-1] == tokenizer.eos_token_id
        assert len(beside["input_ids"]) > len(label["input_ids"])


def test_the_weights_of_an_answer_sum_to_one_and_those_of_a_rationale_to_alpha(
    tokenizer, tiny_task
):
    rows = training_rows(tiny_task, [pair("a"), pair("b", reasoning="x")], target="multitask").rows
    for ids, line in zip(tokenised(tokenizer, rows, alpha=0.25), sequences(rows), strict=True):
        weights = ids["loss_weights"]
        assert len(weights) == len(ids["input_ids"])
        assert [weight > 0 for weight in weights] == [bool(m) for m in ids["completion_mask"]]
        assert sum(weights) == pytest.approx(1.0 if line.kinds == ("answer",) else 0.25)
    [row] = training_rows(tiny_task, [pair("a")], target="label_reason").rows
    [ids] = tokenised(tokenizer, [row], alpha=0.25)
    assert sum(ids["loss_weights"]) == pytest.approx(1.25)
    assert "loss_weights" not in tokenised(tokenizer, [row])[0]


def test_a_multitask_student_is_served_the_prompt_it_was_taught_to_predict_from(
    student_of, tokenizer, tiny_task
):
    student = student_of("multitask")
    rows = training_rows(tiny_task, [pair("tudo bem")], target="multitask").rows
    predict, explain = tokenised(tokenizer, rows)
    messages = tiny_task.student_prompt.format_messages(sentence="tudo bem")
    served = student._job(messages, None, {}).prompt
    assert predict["input_ids"][: len(served)] == served
    assert predict["completion_mask"].index(1) == len(served)
    assert explain["input_ids"][: len(served)] != served
    assert served == prompt_ids(tokenizer, messages, prefix=PREDICT)


@pytest.mark.parametrize("target", ["label_reason", "multitask"])
def test_a_student_that_learnt_the_reasoning_beside_writes_the_label_and_stops(
    student_of, tiny_task, target
):
    student = student_of(target)
    thought = answer_chain(tiny_task, student).invoke({"sentence": "tudo bem"})
    assert thought.reasoning is None
    assert set(tiny_task.answer_json(thought.answer)) == {"mood", "urgent"}
    written = student.invoke([HumanMessage("Frase: tudo bem")])
    assert set(json.loads(str(written.content))) == {"mood", "urgent"}
    filling = ChatStudent(model=student.model, reasoning="não dito")
    filled = filling.with_structured_output(tiny_task.schema).invoke("Frase: tudo bem")
    assert filled.reasoning == "não dito"


def test_only_the_rows_of_the_share_teach_their_reasoning(tokenizer, tiny_task):
    pairs = [pair(f"frase {i}") for i in range(10)]
    half = Selection(rationale_share=0.5)
    rows = training_rows(tiny_task, pairs, target="multitask", selection=half).rows
    assert [row.rationale is not None for row in rows].count(True) == 5
    assert len(tokenised(tokenizer, rows)) == 15
    beside = training_rows(tiny_task, pairs, target="label_reason", selection=half).rows
    assert [row.rationale for row in beside] == [row.rationale for row in rows]
    none = Selection(rationale_share=0.0)
    alone = training_rows(tiny_task, pairs, target="label_reason", selection=none).rows
    label = training_rows(tiny_task, pairs, target="label").rows
    assert tokenised(tokenizer, alone) == tokenised(tokenizer, label)
    assert rows_sha256(alone) == rows_sha256(label) != rows_sha256(beside)


def test_a_template_that_may_think_or_tell_the_date_is_settled_once():
    plain = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    assert settled(plain) == plain
    thinking = plain + "{% if enable_thinking is defined and not enable_thinking %}x{% endif %}"
    assert settled(thinking) == "{%- set enable_thinking = false %}" + thinking
    assert settled(settled(thinking)) == settled(thinking)
