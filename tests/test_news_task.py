"""The sample task: its schema, its words, and what other people's files call things."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import understudy.examples.news
from understudy.chains import TaskError, load_task
from understudy.examples.news.task import task

NEUTRAL = {"polaridade": "Neutro", "emocao": "Neutro"}
ANSWER = {"f1": NEUTRAL, "f2": NEUTRAL, "f3": NEUTRAL}
POLARITIES = ("Positivo", "Negativo", "Neutro")
EMOTIONS = (
    "Felicidade",
    "Tristeza",
    "Raiva",
    "Nojo",
    "Medo",
    "Surpresa",
    "Desprezo",
    "Neutro",
)


def test_three_sentences_have_a_polarity_and_an_emotion_each() -> None:
    assert task.inputs == ("f1", "f2", "f3")
    assert task.labels == {
        f"{field}.{label}": values
        for field in ("f1", "f2", "f3")
        for label, values in (("polaridade", POLARITIES), ("emocao", EMOTIONS))
    }
    assert {part: len(paths) for part, paths in task.parts.items()} == {"f1": 2, "f2": 2, "f3": 2}


def test_the_student_is_told_one_line_and_the_inputs() -> None:
    assert task.student_prompt is not None
    messages = task.student_prompt.invoke({"f1": "a {x}", "f2": "b", "f3": "c"}).to_messages()
    assert [(message.type, message.content) for message in messages] == [
        (
            "human",
            "Classifique a notícia abaixo conforme a polaridade e a emoção.\n"
            "f1: a {x}\nf2: b\nf3: c",
        )
    ]


def test_the_prompt_names_every_class() -> None:
    system = str(task.prompt.invoke({"f1": "", "f2": "", "f3": ""}).to_messages()[0].text)
    assert [label for label in (*POLARITIES, *EMOTIONS) if f"- {label}: " not in system] == []


def test_the_reasoning_comes_first_and_is_short() -> None:
    assert next(iter(task.json_schema("reason_label")["properties"])) == "raciocinio"
    assert task.json_schema("reason_label")["properties"]["raciocinio"]["maxLength"] == 300
    with pytest.raises(TaskError, match=r"^raciocinio: "):
        task.thought({**ANSWER, "raciocinio": "x" * 301})


@pytest.mark.parametrize(
    "answer",
    [
        {**ANSWER, "f4": NEUTRAL},
        {**ANSWER, "f1": {**NEUTRAL, "nota": 1}},
        {**ANSWER, "f1": {**NEUTRAL, "emocao": "Alegria"}},
        {**ANSWER, "f1": {"polaridade": "Neutro"}},
    ],
)
def test_an_answer_with_more_or_other_words_does_not_fit(answer: dict[str, Any]) -> None:
    with pytest.raises(TaskError, match=r"^f[14]"):
        task.thought(answer)


def test_every_alias_means_a_label_and_hides_none() -> None:
    labels = {*POLARITIES, *EMOTIONS}
    assert {alias: label for alias, label in task.aliases.items() if label not in labels} == {}
    assert labels.isdisjoint(task.aliases)
    wanted = {"Surpreza": "Surpresa", "neutro": "Neutro", "Alegria": "Felicidade"}
    assert {alias: task.aliases[alias] for alias in wanted} == wanted


def test_every_column_means_an_input_or_a_path() -> None:
    assert set(task.columns.values()) == {*task.inputs, *task.paths}
    assert task.columns["sentence2_sentiment"] == "f2.emocao"


def test_the_cue_is_the_evidence_that_a_reasoning_cites() -> None:
    assert task.cue is not None
    reasoning = (
        "f1: ressalva luto, pista bem-estar indica Felicidade; f2: sem pista, fato x é neutro; "
        "f3: pista medo negada, fato greve é negativo"
    )
    assert re.findall(task.cue, reasoning) == ["bem-estar", "medo"]


def test_the_report_can_say_what_every_held_out_split_is() -> None:
    assert {split: text.endswith(".") for split, text in task.splits.items()} == {
        "test": True,
        "hard": True,
        "wild": True,
    }


def test_the_task_file_is_the_same_task_as_the_module() -> None:
    path = Path(understudy.examples.news.__path__[0]) / "task.py"
    loaded = load_task(f"{path}:task")
    assert (loaded.teacher_words, loaded.student_words, loaded.answers) == (
        task.teacher_words,
        task.student_words,
        task.answers,
    )
