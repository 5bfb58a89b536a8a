"""The published answers become the rows of the benchmark."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.esnli_rows import LABELS, read_answer, rows

PUBLISHED = Path(os.environ.get("UNDERSTUDY_DATA") or "no such folder")


@pytest.mark.parametrize(
    ("raw", "label"),
    [
        ("It rains.\nAnswer: neutral\n\nPremise: made up", "neutral"),
        ("It rains.\nAnswer: entailment\n\nPre", "entailment"),
        ("It rains.\nAnswer: maybe\n\nPremise: made up", None),
        ("It rains.", None),
    ],
)
def test_an_answer_ends_where_the_model_makes_up_the_next_question(raw, label):
    assert read_answer(raw) == ("It rains.", label)


def source(folder: Path, *, answers: int) -> Path:
    llm = folder / "esnli" / "llm"
    llm.mkdir(parents=True)
    lines = [
        json.dumps({"premise": f"p{n}", "hypothesis": f"h{n}", "label": n % 3}) for n in range(4)
    ]
    (folder / "esnli" / "esnli_test.json").write_text("\n".join(lines), encoding="utf-8")
    texts = [f"why {n}\nAnswer: {LABELS[n % 3]}" for n in range(answers)]
    (llm / "test_CoT_0.json").write_text(json.dumps(texts[:2]), encoding="utf-8")
    (llm / "test_CoT_10.json").write_text(json.dumps(texts[3:]), encoding="utf-8")
    (llm / "test_CoT_2.json").write_text(json.dumps(texts[2:3]), encoding="utf-8")
    return folder


def test_rows_and_answers_stand_in_the_same_order(tmp_path):
    found = list(rows(source(tmp_path, answers=4), "test"))
    assert [row["teacher"]["reasoning"] for row in found] == [f"why {n}" for n in range(4)]
    assert [row["gold"] for row in found] == [row["teacher"]["label"] for row in found]


def test_a_missing_answer_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="4 rows of test, 3 answers"):
        list(rows(source(tmp_path, answers=3), "test"))


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="UNDERSTUDY_DATA names no folder")
def test_the_published_texts_are_read_as_the_benchmark_had_them():
    with (PUBLISHED / "esnli_palm_test.jsonl").open(encoding="utf-8") as lines:
        teachers = [json.loads(line)["teacher"] for line in lines]
    read = [read_answer(teacher["raw"]) for teacher in teachers]
    assert read == [(teacher["reasoning"], teacher["label"]) for teacher in teachers]
