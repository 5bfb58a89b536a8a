"""Marks and figures: known values by hand, agreement with scikit-learn, and who is the unit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from understudy.chains.comparison import token_f1
from understudy.chains.task import Task
from understudy.distill.evaluation.answered import FOREIGN, SILENT, Marks
from understudy.distill.evaluation.marking import (
    Split,
    field_scores,
    marks,
    part_scores,
    read_answers,
    read_split,
)
from understudy.distill.evaluation.reasonings import ReasoningColumns
from understudy.distill.evaluation.scoring import NO_ANSWER, label_result, measured
from understudy.distill.runs import describe_run
from understudy.examples.news.task import task as news
from understudy.store import Example, Record, Run, Store, example_id
from understudy.store.answers import has_answers


class Bill(BaseModel):
    """An answer without any label."""

    total: float
    shop: str


bills = Task(
    name="bills", schema=Bill, prompt=ChatPromptTemplate.from_messages([("human", "{text}")])
)


def gold(first="Positivo", emotion="Felicidade"):
    return {
        "f1": {"polaridade": first, "emocao": emotion},
        "f2": {"polaridade": "Neutro", "emocao": "Neutro"},
        "f3": {"polaridade": "Negativo", "emocao": "Medo"},
    }


def stored(store: Store, task: Task, rows: int, *, group: Any = None, **gold_of: Any) -> list[str]:
    """`rows` test rows; `gold_of` is the gold of all of them, `group` maps a number to a group."""
    made = []
    for number in range(rows):
        inputs = {name: f"{name} {number}" for name in task.inputs}
        made.append(
            Example(
                id=example_id(inputs),
                task=task.name,
                split="test",
                inputs=inputs,
                gold=gold_of.get("gold"),
                group=group(number) if group else None,
            )
        )
    store.add_examples(made)
    return [example.id for example in made]


def said(store: Store, task: Task, name: str, answers: dict[str, Any], **other: Any) -> Run:
    """A run that answered these examples; None is a failure."""
    run = store.start_run(
        describe_run(task, role=other.pop("role", "student"), name=name, model=name, target="label")
    )
    store.add_records(
        Record(
            run=run.id,
            example=example,
            answer=answer,
            error=None if answer else "no JSON",
            raw="x",
            created="2026-01-01T00:00:00+00:00",
            **other,
        )
        for example, answer in answers.items()
    )
    return run


def read(task: Task, store: Store, run: Run, teacher: Run | None = None) -> tuple[Split, Marks]:
    split = read_split(task, store, "test")
    answers = read_answers(task, store, split, run.id, teacher=teacher.id if teacher else None)
    taught = read_answers(task, store, split, teacher.id) if teacher else None
    assert answers is not None
    return split, marks(task, split, answers, taught=taught)


def test_a_sentence_counts_when_all_its_labels_are_right():
    given_answer = gold(emotion="Surpresa")
    assert part_scores(news, gold(), given_answer) == {"f1": False, "f2": True, "f3": True}


def test_a_failed_row_is_wrong_in_every_part_and_field():
    assert part_scores(news, gold(), None) == {"f1": False, "f2": False, "f3": False}
    assert field_scores(bills, {"total": 1.0, "shop": "x"}, None) == {"total": 0.0, "shop": 0.0}


def test_parts_and_fields_without_gold_are_not_judged():
    partial = {"f2": {"polaridade": "Neutro"}}
    assert part_scores(news, partial, gold()) == {"f2": True}
    assert field_scores(bills, {"shop": "Mercado"}, {"total": 1, "shop": "mercado."}) == {"shop": 1}


def test_records_become_columns_in_the_order_of_the_rows():
    with Store(":memory:") as store:
        ids = stored(store, news, 5, gold=gold())
        wrong = gold(emotion="Surpresa")
        answers = {ids[3]: gold(), ids[0]: wrong, ids[1]: None}
        run = said(store, news, "s", answers, confidence={"f1.emocao": 0.25}, seconds=1.5)
        split, found = read(news, store, run)
    assert split.sheet.ids == tuple(ids)
    assert split.sheet.has_gold.tolist() == [True] * 5
    assert found.asked.tolist() == [True, True, False, True, False]
    assert found.answered.tolist() == [True, False, False, True, False]
    assert found.gold_parts.tolist() == [[0, 1, 1], [0, 0, 0], [-1] * 3, [1, 1, 1], [-1] * 3]
    assert (found.teacher_parts == -1).all()
    right, scored = found.right_rows("gold")
    assert (right.tolist(), scored.tolist()) == (
        [False, False, False, True, False],
        [True, True, False, True, False],
    )
    column = list(news.labels).index("f1.emocao")
    classes = news.labels["f1.emocao"]
    assert classes[found.given[0, column]] == "Surpresa"
    assert found.given[1].tolist() == [SILENT] * 6
    assert found.confidence[3, column] == 0.25
    assert str(found.seconds.tolist()) == "[1.5, 1.5, nan, 1.5, nan]"


def test_a_limit_cuts_rows_and_records_and_an_empty_split_has_none():
    with Store(":memory:") as store:
        ids = stored(store, news, 5, gold=gold())
        run = said(store, news, "s", dict.fromkeys(ids, gold()), confidence={"f1.emocao": math.nan})
        split = read_split(news, store, "test", limit=2)
        answers = read_answers(news, store, split, run.id)
        assert answers is not None
        assert (split.sheet.ids, answers.asked.tolist()) == (tuple(ids[:2]), [True, True])
        assert np.isnan(answers.confidence).all()
        assert has_answers(store, run.id, split="test")
        assert not has_answers(store, run.id, split="train")
        empty = read_split(news, store, "nowhere")
        assert (empty.sheet.ids, empty.sheet.gold.shape) == ((), (0, 6))
        assert read_answers(news, store, empty, run.id) is None


def test_a_row_that_nobody_speaks_of_is_unscored_and_not_wrong():
    with Store(":memory:") as store:
        ids = stored(store, news, 4)
        teacher = said(store, news, "t", {ids[0]: gold(), ids[1]: None}, role="teacher")
        run = said(store, news, "s", {ids[0]: gold(), ids[1]: gold(), ids[2]: gold()})
        split, found = read(news, store, run, teacher)
        _, taught = read(news, store, teacher)
        result = measured(news, split.sheet, found, taught=taught)
    assert result.gold is None
    assert result.teacher is not None
    assert (result.teacher.row_exact.value, result.teacher.row_exact.n) == (1.0, 1)
    assert (result.rows, result.errors, result.teacher.unscored) == (3, 0, 2)


def test_a_failed_row_counts_as_wrong_and_as_invalid():
    with Store(":memory:") as store:
        ids = stored(store, news, 4, gold=gold())
        answers = dict.fromkeys(ids, gold())
        teacher = said(store, news, "t", answers, role="teacher")
        run = said(store, news, "s", answers | {ids[0]: None})
        split, found = read(news, store, run, teacher)
        _, taught = read(news, store, teacher)
        result = measured(news, split.sheet, found, taught=taught)
    for figures in (result.gold, result.teacher):
        assert figures is not None
        assert (figures.exact.value, figures.exact.n) == (0.75, 12)
        assert (figures.row_exact.value, figures.unscored) == (0.75, 0)
        assert figures.labels["emocao"].confusion["Medo"] == {"Medo": 3, NO_ANSWER: 1}
        assert figures.labels["emocao"].classes["Medo"].recall == 0.75
        assert figures.labels["emocao"].classes["Raiva"].recall is None
    assert (result.valid.value, result.errors) == (0.75, 1)


def test_fields_are_scored_by_the_tasks_comparators():
    with Store(":memory:") as store:
        ids = stored(store, bills, 2, gold={"total": 2.5, "shop": "Padaria Sol"})
        run = said(store, bills, "s", {key: {"total": 2.5, "shop": "padaria"} for key in ids})
        split, found = read(bills, store, run)
        result = measured(bills, split.sheet, found)
    assert result.gold is not None
    assert {path: score.value for path, score in result.gold.fields.items()} == {
        "total": 1.0,
        "shop": 0.0,
    }
    assert (result.gold.exact.value, result.gold.labels) == (0.0, {})


def test_rows_of_one_group_are_one_unit():
    """A hundred copies of ten rows say no more than ten rows."""
    widths = []
    for copies, group in ((1, None), (10, None), (10, lambda number: f"g{number % 10}")):
        with Store(":memory:") as store:
            ids = stored(store, news, 10 * copies, gold=gold(), group=group)
            answers = {
                example: gold() if number % 10 < 6 else gold(emotion="Raiva")
                for number, example in enumerate(ids)
            }
            split, found = read(news, store, said(store, news, "s", answers))
            result = measured(news, split.sheet, found)
        assert result.gold is not None
        score = result.gold.row_exact
        assert score.value == pytest.approx(0.6)
        widths.append((score.high or 0) - (score.low or 0))
    alone, copied, grouped = widths
    assert copied < alone / 2
    assert grouped >= alone * 0.95


CLASSES = ("a", "b", "c")


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2]), st.sampled_from([0, 1, 2, SILENT, FOREIGN])),
        min_size=1,
    )
)
def test_labels_are_scored_as_scikit_learn_scores_them(pairs):
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    expected, answered = (np.array(side, np.int16)[:, None] for side in zip(*pairs, strict=True))
    result = label_result(CLASSES, expected, answered, None)
    wanted, told = expected[:, 0], np.where(answered[:, 0] < 0, 3, answered[:, 0])
    seen = sorted(set(wanted) | set(told) - {3})
    macro = f1_score(wanted, told, labels=seen, average="macro", zero_division=0)
    assert result.macro_f1.value == pytest.approx(macro)
    assert result.accuracy.value == pytest.approx((wanted == told).mean())
    assert sum(sum(row.values()) for row in result.confusion.values()) == len(pairs)
    each = precision_recall_fscore_support(wanted, told, labels=[0, 1, 2], zero_division=np.nan)
    for place, name in enumerate(CLASSES):
        one = result.classes[name]
        figures = [np.nan if x is None else x for x in (one.precision, one.recall)]
        assert figures == pytest.approx([each[0][place], each[1][place]], nan_ok=True)
        assert one.support == each[3][place]


@given(st.text("aB.,é \n", max_size=30), st.text("aB.,é \n", max_size=30))
def test_shared_words_are_counted_as_token_f1_counts_them(mine, theirs):
    read_ = ReasoningColumns(news)
    read_.add(mine, None, theirs)
    (overlap,) = read_.columns()["overlap"].tolist()
    if mine and theirs:
        assert overlap == pytest.approx(token_f1(theirs, mine))
    else:
        assert overlap != overlap


def test_cited_cues_are_looked_up_in_the_text():
    with Store(":memory:") as store:
        ids = stored(store, news, 1, gold=gold())
        reasoning = "f1: pista F1 indica Medo; f2: pista inventada indica Raiva"
        run = said(store, news, "s", {ids[0]: gold()}, reasoning=reasoning)
        split, found = read(news, store, run)
        result = measured(news, split.sheet, found)
    assert (found.cues_cited.tolist(), found.cues_found.tolist()) == ([2], [1])
    assert result.rationales is not None
    assert result.rationales.cue_in_text is not None
    assert (result.rationales.cue_in_text.value, result.rationales.cue_in_text.n) == (0.5, 2)
