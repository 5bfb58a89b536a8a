"""Every silent failure of a training is said before its first step."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate

from understudy.chains import Task
from understudy.chains.student.weights import load_tokenizer
from understudy.distill.training.dataset import tokenised, training_rows
from understudy.distill.training.preflight import Preflight, TrainingError, preflight
from understudy.store import Example, Record, example_id

MOODS = ("Alegria", "Medo", "Neutro")


def rows_of(task: Task, count: int, *, sentence: str = "frase {}", reasoning: str = "porque {}"):
    pairs = []
    for i in range(count):
        inputs = {"sentence": sentence.format(i)}
        example = Example(id=example_id(inputs), task="tiny", split="train", inputs=inputs)
        answer = {"mood": MOODS[i % 3], "urgent": i % 2 == 0}
        record = Record(
            run="r", example=example.id, answer=answer, reasoning=reasoning.format(i), created="now"
        )
        pairs.append((example, record))
    return training_rows(task, pairs, target="reason_label").rows


def check(task: Task, tokenizer: Any, rows: Any, encoded: Any = None, context: Any = 1024):
    encoded = tokenised(tokenizer, rows) if encoded is None else encoded
    return preflight(task, tokenizer, rows, encoded, target="reason_label", context=context)


@pytest.fixture
def tokenizer(tiny_base: Path) -> Any:
    return load_tokenizer(tiny_base, "tiny")


def test_sound_rows_pass_and_one_is_shown_as_the_trainer_sees_it(tiny_task, tokenizer):
    rows = rows_of(tiny_task, 8)
    encoded = tokenised(tokenizer, rows)
    assert check(tiny_task, tokenizer, rows) == Preflight(
        rows=8,
        tokens=sum(len(ids["input_ids"]) for ids in encoded),
        completion_tokens=sum(sum(ids["completion_mask"]) for ids in encoded),
        longest=max(len(ids["input_ids"]) for ids in encoded),
        context=1024,
        unseen={"mood": ("Emoção",)},
        example=(
            "<|user|>\nFrase: frase 0</s>\n<|assistant|>\n"
            '⟦{"reasoning":"porque 0","mood":"Alegria","urgent":true}</s>⟧'
        ),
        shown=(
            (
                ("<|user|>\nFrase: frase 0</s>\n<|assistant|>\n", False),
                ('{"reasoning":"porque 0","mood":"Alegria","urgent":true}</s>', True),
            ),
        ),
    )


@pytest.mark.parametrize("count", [0, 7])
def test_too_few_rows_are_refused(tiny_task, tokenizer, count):
    with pytest.raises(TrainingError, match=f"task tiny: {count} training rows, at least 8"):
        check(tiny_task, tokenizer, rows_of(tiny_task, count))


def test_rows_beyond_the_context_are_named_longest_first_and_nothing_is_cut(tiny_task, tokenizer):
    rows = (*rows_of(tiny_task, 8), *rows_of(tiny_task, 2, sentence="comprida " * 200 + "{}"))
    lengths = [len(ids["input_ids"]) for ids in tokenised(tokenizer, rows)]
    assert lengths[8] > 300
    with pytest.raises(TrainingError) as caught:
        check(tiny_task, tokenizer, rows, context=300)
    message = str(caught.value)
    assert message.startswith("2 rows are longer than the base's context of 300 tokens")
    assert f"{rows[8].example} ({lengths[8]} tokens)" in message
    assert "\n" not in message
    assert check(tiny_task, tokenizer, rows, context=max(lengths)).longest == max(lengths)
    assert check(tiny_task, tokenizer, rows, context=None).context is None


def test_padding_with_the_end_of_sequence_token_is_refused(tiny_task, tokenizer):
    rows = rows_of(tiny_task, 8)
    tokenizer.pad_token = tokenizer.eos_token
    with pytest.raises(TrainingError, match="never learn to stop"):
        check(tiny_task, tokenizer, rows)


def test_a_row_whose_loss_misses_the_end_is_refused(tiny_task, tokenizer):
    rows = rows_of(tiny_task, 8)
    encoded = tokenised(tokenizer, rows)
    encoded[3]["completion_mask"][-1] = 0
    with pytest.raises(TrainingError, match=f"{rows[3].example}: its end-of-sequence token is not"):
        check(tiny_task, tokenizer, rows, encoded)
    encoded = tokenised(tokenizer, rows)
    encoded[3] = {key: values[:-1] for key, values in encoded[3].items()}
    with pytest.raises(TrainingError, match=f"{rows[3].example}: its end-of-sequence token is not"):
        check(tiny_task, tokenizer, rows, encoded)


def test_a_row_whose_loss_misses_its_label_is_refused(tiny_task, tokenizer):
    rows = rows_of(tiny_task, 8)
    encoded = tokenised(tokenizer, rows)
    encoded[5]["completion_mask"][-6:-1] = [0] * 5
    with pytest.raises(TrainingError, match=f"{rows[5].example}: what is in the loss does not"):
        check(tiny_task, tokenizer, rows, encoded)


def test_a_row_without_any_loss_is_refused(tiny_task, tokenizer):
    rows = rows_of(tiny_task, 8)
    encoded = tokenised(tokenizer, rows)
    encoded[0]["completion_mask"] = [0] * len(encoded[0]["input_ids"])
    with pytest.raises(TrainingError, match=f"{rows[0].example}: nothing of it is in the loss"):
        check(tiny_task, tokenizer, rows, encoded)


def test_rows_that_teach_another_answer_than_the_teachers_are_refused(tiny_task, tokenizer):
    rows = list(rows_of(tiny_task, 8))
    rows[2] = dataclasses.replace(rows[2], answer={"mood": "Medo", "urgent": False})
    with pytest.raises(TrainingError, match=f"{rows[2].example}: .* another answer"):
        check(tiny_task, tokenizer, rows)


def test_a_reasoning_that_holds_the_end_token_as_text_is_refused(tiny_task, tokenizer):
    rows = rows_of(tiny_task, 8, reasoning="fim </s> {}")
    with pytest.raises(TrainingError, match="holds the end-of-sequence token '</s>' as text"):
        check(tiny_task, tokenizer, rows)


def test_a_label_that_only_some_rows_show_is_reported_per_class(tokenizer, tiny_task):
    task = dataclasses.replace(
        tiny_task, student_prompt=ChatPromptTemplate.from_messages([("human", "{sentence}")])
    )
    found = check(task, tokenizer, rows_of(task, 20)[::6] * 3)
    assert found.unseen == {"mood": ("Medo", "Neutro", "Emoção"), "urgent": (False,)}
