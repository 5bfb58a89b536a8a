"""The hand-written news: complete, varied, valid, and nothing that a generator wrote.

How its gold was annotated stands in examples/news/README.md.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import understudy.examples.news
from understudy.chains.offline_reading import read_sentence
from understudy.chains.shape import nested
from understudy.examples.news.generate import news_rows
from understudy.examples.news.task import task

FIELDS = ("f1", "f2", "f3")
FOLDER = Path(understudy.examples.news.__path__[0])


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (FOLDER / "wild.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def sentences(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [
        {"text": row[f], "polaridade": row[f"{f}.polaridade"], "emocao": row[f"{f}.emocao"]}
        for row in rows
        for f in FIELDS
    ]


def test_there_are_130_news_with_every_column_filled(rows: list[dict[str, str]]) -> None:
    assert len(rows) == 130
    assert [tuple(row) for row in rows] == [(*FIELDS, "split", *task.paths)] * 130
    assert {row["split"] for row in rows} == {"wild"}


def test_every_gold_answer_fits_the_schema(rows: list[dict[str, str]]) -> None:
    for row in rows:
        gold: dict[str, Any] = nested({path: row[path] for path in task.paths})
        assert task.answer_json(task.thought(gold).answer) == gold


def test_every_sentence_is_its_own(sentences: list[dict[str, str]]) -> None:
    generated = {text for row in news_rows(seed=0) for text in (row.f1, row.f2, row.f3)}
    texts = [sentence["text"] for sentence in sentences]
    assert len(set(texts)) == 390
    assert generated.isdisjoint(texts)
    openings = Counter(" ".join(text.split()[:4]) for text in texts)
    assert [opening for opening, count in openings.items() if count > 4] == []


def test_sentences_are_as_long_as_in_the_press(sentences: list[dict[str, str]]) -> None:
    assert [s["text"] for s in sentences if not 60 <= len(s["text"]) <= 220] == []
    assert [s["text"] for s in sentences if s["text"] != " ".join(s["text"].split())] == []


def test_every_class_is_there_often_and_neutral_most(sentences: list[dict[str, str]]) -> None:
    emotions = Counter(sentence["emocao"] for sentence in sentences)
    assert set(emotions) == set(task.labels["f1.emocao"])
    assert min(emotions.values()) >= 20
    assert emotions.most_common(1)[0][0] == "Neutro"
    polarities = Counter(sentence["polaridade"] for sentence in sentences)
    assert set(polarities) == set(task.labels["f1.polaridade"])
    assert min(polarities.values()) >= 70


def test_emotion_and_polarity_agree_as_the_guidelines_say(sentences: list[dict[str, str]]) -> None:
    pairs = {(sentence["emocao"], sentence["polaridade"]) for sentence in sentences}
    free = {(e, p) for e in ("Surpresa", "Neutro") for p in task.labels["f1.polaridade"]}
    bound = {(e, "Negativo") for e in ("Tristeza", "Raiva", "Nojo", "Medo", "Desprezo")}
    assert pairs == free | bound | {("Felicidade", "Positivo")}


def test_a_third_of_the_emotions_has_no_word_that_names_one(
    sentences: list[dict[str, str]],
) -> None:
    emotional = [s for s in sentences if s["emocao"] != "Neutro"]
    wordless = [s for s in emotional if read_sentence(s["text"]).cue is None]
    assert len(wordless) / len(emotional) > 1 / 3


def test_the_counts_and_the_offline_teacher_s_score_are_as_documented(
    sentences: list[dict[str, str]],
) -> None:
    right = Counter(
        (reading.polarity, reading.emotion) == (sentence["polaridade"], sentence["emocao"])
        for sentence in sentences
        for reading in [read_sentence(sentence["text"])]
    )
    readme = " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())
    assert f"right on {right[True]} of the 390 sentences" in readme
    for label in ("polaridade", "emocao"):
        counts = Counter(sentence[label] for sentence in sentences).most_common()
        assert f": {', '.join(f'{name} {count}' for name, count in counts)}." in readme
