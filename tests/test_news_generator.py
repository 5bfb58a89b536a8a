"""The synthetic news: exact splits, a hard split truly held out, gold that can be reread."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from understudy.examples.news.generate import (
    FIELDS,
    LONGEST_REASONING,
    SPLIT_SIZES,
    NewsRow,
    Sentence,
    news_rows,
    reasoning_of,
    write_csv,
)
from understudy.examples.news.lexicon import (
    CONCESSIONS,
    EVENTS,
    NEGATIONS,
    POLARITY_OF_EMOTION,
    WORDS,
)

ROWS = news_rows(0)
NAMED = re.compile(r"(?:pista|ressalva|fato) (.+?)(?= indica| negada| é |,|$)")
EMOTION_OF_FORM = {form: word.emotion for word in WORDS for form in (word.masculine, word.feminine)}


def of_split(split: str) -> list[NewsRow]:
    return [row for row in ROWS if row.split == split]


def sentences_of(split: str) -> list[Sentence]:
    return [sentence for row in of_split(split) for sentence in row.sentences]


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def test_each_split_has_exactly_its_number_of_rows() -> None:
    assert Counter(row.split for row in ROWS) == SPLIT_SIZES
    assert SPLIT_SIZES == {
        "train": 1200,
        "validation": 150,
        "calibration": 300,
        "test": 240,
        "hard": 240,
    }


def test_one_seed_writes_one_file_byte_for_byte_and_another_seed_another(tmp_path: Path) -> None:
    first, again, other = tmp_path / "first.csv", tmp_path / "again.csv", tmp_path / "other.csv"
    assert write_csv(first, 7) == write_csv(again, 7) == write_csv(other, 8) == len(ROWS)
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_the_first_row_of_seed_0_is_the_same_on_every_python() -> None:
    assert (ROWS[0].f1, ROWS[0].gold["f1"]) == (
        "Embora houvesse escárnio em Brasília, pesquisadores vibraram após a visita do ministro.",
        {"polaridade": "Positivo", "emocao": "Felicidade"},
    )


def test_the_csv_holds_the_texts_and_the_gold(tmp_path: Path) -> None:
    path = tmp_path / "news.csv"
    write_csv(path, 0)
    with path.open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    for line, row in zip(read, ROWS, strict=True):
        assert [line[field] for field in FIELDS] == [row.f1, row.f2, row.f3]
        assert line["split"] == row.split
        for field in FIELDS:
            answer = {key: line[f"{field}.{key}"] for key in ("polaridade", "emocao")}
            assert answer == row.gold[field]


def test_no_triple_is_drawn_twice_and_no_sentence_crosses_from_another_split() -> None:
    triples = [(row.f1, row.f2, row.f3) for row in ROWS]
    assert len(set(triples)) == len(triples)
    owner: dict[str, str] = {}
    for row in ROWS:
        for text in (row.f1, row.f2, row.f3):
            assert owner.setdefault(text, row.split) == row.split


def test_each_hard_sentence_has_a_word_an_event_and_a_frame_absent_from_the_train_pool() -> None:
    train = sentences_of("train")
    train_words = {word for sentence in train for word in words_of(sentence.text)}
    train_text = "\n".join(sentence.text.lower() for sentence in train)
    train_frames = {sentence.frame.template for sentence in train}
    for sentence in sentences_of("hard"):
        assert sentence.cue is not None
        assert sentence.cue not in train_words
        assert sentence.other is None or sentence.other not in train_words
        assert sentence.event.phrase not in train_text
        assert sentence.frame.template not in train_frames


def test_the_hard_split_has_enough_negation_and_contrast_and_no_sentence_without_evidence() -> None:
    kinds = Counter(sentence.kind for sentence in sentences_of("hard"))
    total = sum(kinds.values())
    assert kinds["negated"] >= 0.15 * total
    assert kinds["contrast"] >= 0.15 * total
    assert kinds["neutral"] == 0


def test_every_label_occurs_in_every_split() -> None:
    for split in SPLIT_SIZES:
        gold = [row.gold[field] for row in of_split(split) for field in FIELDS]
        assert len({answer["emocao"] for answer in gold}) == 8, split
        assert len({answer["polaridade"] for answer in gold}) == 3, split


def reread(text: str) -> dict[str, str]:
    """The labels of a sentence, from its text alone: an independent reading of the rules."""
    event = max(
        (event for event in EVENTS if event.phrase in text.lower()), key=lambda e: len(e.phrase)
    )
    lowered = text.lower()
    for concession in CONCESSIONS:
        lowered = re.sub(rf"{concession} \w+", "", lowered)
    cues = [word for word in words_of(lowered) if word in EMOTION_OF_FORM]
    negated = any(word in NEGATIONS for word in words_of(lowered))
    emotion = EMOTION_OF_FORM[cues[0]] if cues and not negated else "Neutro"
    return {"polaridade": POLARITY_OF_EMOTION.get(emotion, event.polarity), "emocao": emotion}


@pytest.mark.parametrize("split", list(SPLIT_SIZES))
def test_the_gold_can_be_reread_from_the_text_alone(split: str) -> None:
    for row in of_split(split):
        for field, sentence in zip(FIELDS, row.sentences, strict=True):
            assert reread(sentence.text) == row.gold[field], sentence.text


def test_reasoning_names_the_words_as_they_stand_and_fits_its_limit() -> None:
    for row in ROWS:
        reasoning = reasoning_of(row.sentences)
        assert len(reasoning) <= LONGEST_REASONING
        clauses = reasoning.split("; ")
        for field, clause, sentence in zip(FIELDS, clauses, row.sentences, strict=True):
            assert clause.startswith(f"{field}: ")
            for named in NAMED.findall(clause):
                assert named in sentence.text.lower()
            assert ("fato " in clause) == (sentence.emocao in ("Surpresa", "Neutro"))


def test_the_reasoning_of_one_triple_reads_as_documented() -> None:
    found = {
        kind: next(s for s in sentences_of("train") if s.kind == kind and s.emocao != "Surpresa")
        for kind in ("plain", "negated", "contrast")
    }
    plain, negated, contrast = found["plain"], found["negated"], found["contrast"]
    assert reasoning_of((plain, negated, contrast)) == (
        f"f1: pista {plain.cue} indica {plain.emocao}; "
        f"f2: pista {negated.cue} negada, fato {negated.event.phrase} é "
        f"{negated.polaridade.lower()}; "
        f"f3: ressalva {contrast.other}, pista {contrast.cue} indica {contrast.emocao}"
    )


def test_adjectives_agree_with_their_subject() -> None:
    for sentence in sentences_of("train") + sentences_of("hard"):
        subject, word = sentence.subject, sentence.cue_word
        if subject and word and word.word_class == "adjective":
            ending = "as" if subject.gender == "f" else "os"
            assert sentence.cue is not None
            assert sentence.cue.endswith((ending, "es", "is")), sentence.text


def test_gold_is_plain_json() -> None:
    assert json.loads(json.dumps(ROWS[0].gold)) == ROWS[0].gold
