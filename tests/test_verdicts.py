"""Who is better, and who may stand in: pairs on the same rows, sentences that do not oversell."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.distill.evaluation.answered import SILENT, Answering, Marks, Sheet
from understudy.distill.evaluation.differences import MOST_PAIRS, comparisons
from understudy.distill.evaluation.first_screen import answer, not_learnt, simpler
from understudy.distill.evaluation.paired_f1 import macro_f1_points
from understudy.distill.evaluation.results import Measured, SwapVerdict
from understudy.distill.evaluation.scoring import measured
from understudy.distill.evaluation.verdicts import about, verdicts
from understudy.distill.runs import describe_run
from understudy.store.rows import Score


def a_sheet(rows: int, *, groups: Sequence[int] | None = None, gold: bool = True) -> Sheet:
    """Rows of the tiny task whose gold is always the first class."""
    return Sheet(
        split="test",
        ids=tuple(f"e{number}" for number in range(rows)),
        groups=np.arange(rows) if groups is None else np.array(groups),
        gold=np.full((rows, 2), 0 if gold else SILENT, np.int16),
        has_gold=np.full(rows, gold),
        length=np.full(rows, 20, np.int32),
    )


def some_marks(right: Any, *, agrees: Any = None, gold: bool = True) -> Marks:
    """Marks of a run of the tiny task (two labels in one part) by which rows are right."""
    right = np.asarray(right, bool)
    n = len(right)
    nothing, unknown = np.zeros(n, np.int32), np.full(n, np.nan)
    same = right if agrees is None else np.asarray(agrees, bool)
    return Marks(
        asked=np.ones(n, bool),
        answered=np.ones(n, bool),
        given=np.repeat(np.where(right, 0, 1)[:, None], 2, axis=1).astype(np.int16),
        gold_parts=(right if gold else np.full(n, -1))[:, None].astype(np.int8),
        teacher_parts=same[:, None].astype(np.int8),
        gold_fields=np.zeros((n, 0), np.float32),
        teacher_fields=np.zeros((n, 0), np.float32),
        confidence=np.full((n, 2), np.nan, np.float32),
        reasoning_words=nothing,
        cues_cited=nothing,
        cues_found=nothing,
        overlap=unknown,
        seconds=unknown,
        input_tokens=unknown,
        output_tokens=unknown,
        cost=unknown,
    )


def one(task: Any, name: str, role: Any, marks: Marks) -> Answering:
    run = describe_run(task, role=role, name=name, model=name, target="label")
    return Answering(run=run, name=name, arm=name, seed=None, sheets={"test": marks})


def judged(
    task: Any, sheet: Sheet, student: Marks, teacher: Marks, *, floor: Marks | None = None
) -> tuple[SwapVerdict, Mapping[str, Measured]]:
    """The verdict on one student at a margin of two points, and everybody's figures."""
    systems = [one(task, "teacher", "teacher", teacher), one(task, "student", "student", student)]
    results = {
        "teacher": measured(task, sheet, teacher),
        "student": measured(task, sheet, student, taught=teacher, floor=floor),
    }
    (verdict,) = verdicts(sheet, systems, results, reference=systems[0], margin=2.0)
    return verdict, results


def first(right: int, of: int) -> Any:
    return np.arange(of) < right


def test_a_student_as_good_as_its_teacher_on_enough_rows_is_supported(tiny_task):
    verdict, _ = judged(
        tiny_task, a_sheet(2000), some_marks(first(1800, 2000)), some_marks(first(1800, 2000))
    )
    assert (verdict.verdict, verdict.against, verdict.difference.value) == (
        "supported",
        "gold",
        0.0,
    )
    assert verdict.difference.low is not None
    assert verdict.difference.low > -2
    assert "a margin of 2" in verdict.sentence
    assert ("whole answers right", "student 90.0 %, teacher 90.0 %") in verdict.numbers


def test_on_few_rows_no_difference_is_not_equality_and_the_rows_needed_are_told(tiny_task):
    student = np.r_[first(27, 28), [True, False]]
    teacher = np.r_[first(27, 28), [False, True]]
    verdict, _ = judged(tiny_task, a_sheet(30), some_marks(student), some_marks(teacher))
    assert (verdict.verdict, verdict.difference.value) == ("not enough rows", 0.0)
    assert verdict.rows_needed is not None
    assert verdict.rows_needed > 30
    assert f"about {about(verdict.rows_needed):,} rows would do, were the" in verdict.sentence
    told = answer(["test"], [verdict], margin=2.0)
    assert "not enough rows: student (0.0 points" in told
    assert "equal" not in told


def test_where_rows_have_groups_the_groups_needed_are_told(tiny_task):
    student = np.r_[first(27, 28), [True, False]]
    teacher = np.r_[first(27, 28), [False, True]]
    sheet = a_sheet(60, groups=[number // 2 for number in range(60)])
    marks = [some_marks(np.repeat(right, 2)) for right in (student, teacher)]
    verdict, _ = judged(tiny_task, sheet, *marks)
    assert verdict.rows_needed is not None
    assert verdict.groups_needed == pytest.approx(verdict.rows_needed / 2, abs=1)
    assert verdict.groups_needed is not None
    groups, rows = about(verdict.groups_needed), about(verdict.rows_needed)
    assert f"about {groups:,} groups of rows (about {rows:,} rows) would do" in verdict.sentence


def test_a_student_that_is_worse_than_the_margin_is_not_supported(tiny_task):
    verdict, _ = judged(
        tiny_task, a_sheet(500), some_marks(first(400, 500)), some_marks(first(450, 500))
    )
    assert (verdict.verdict, verdict.rows_needed) == ("not supported", None)
    assert verdict.difference.value == pytest.approx(-10)
    assert "not supported (−10.0 points" in verdict.sentence
    few = judged(tiny_task, a_sheet(20), some_marks(first(17, 20)), some_marks(first(18, 20)))[0]
    assert few.verdict == "not supported"
    assert "these rows do not rule it out" in few.sentence


def test_the_shares_beside_a_difference_are_of_the_same_rows(tiny_task):
    """A student asked a part of the rows is not held beside what the teacher got on all of them."""
    teacher = some_marks(np.arange(1000) >= 500)
    student = some_marks(np.ones(1000, bool))
    asked = np.arange(1000) >= 500
    parts = np.where(asked[:, None], 1, -1)
    student = replace(student, asked=asked, answered=asked, gold_parts=parts, teacher_parts=parts)
    verdict, _ = judged(tiny_task, a_sheet(1000), student, teacher)
    assert verdict.difference.value == 0
    assert ("whole answers right", "student 100.0 %, teacher 100.0 %") in verdict.numbers


def test_agreement_is_of_whole_answers_where_an_answer_has_one_part(tiny_task):
    marks = some_marks(first(900, 1000))
    verdict, _ = judged(tiny_task, a_sheet(1000), marks, marks)
    assert ("whole answers like the teacher's", "90.0 %") in verdict.numbers
    parts = np.ones((1000, 3), np.int8)
    three = replace(marks, gold_parts=parts, teacher_parts=parts)
    verdict, _ = judged(tiny_task, a_sheet(1000), three, three)
    assert ("answer parts like the teacher's", "100.0 %") in verdict.numbers


def test_where_whole_answers_are_rarely_right_their_parts_must_be_as_good_too(tiny_task):
    """Ten parts a row: nobody gets a whole answer right, and the student half as many parts."""
    rng = np.random.default_rng(0)
    teacher = some_marks(np.zeros(1000, bool))
    student = replace(teacher, gold_parts=(rng.random((1000, 10)) < 0.3).astype(np.int8))
    teacher = replace(teacher, gold_parts=(rng.random((1000, 10)) < 0.6).astype(np.int8))
    verdict, _ = judged(tiny_task, a_sheet(1000), student, teacher)
    assert verdict.difference.low is not None
    assert verdict.difference.low > -2
    assert verdict.verdict == "not supported"
    assert "of answer parts" in verdict.sentence
    assert judged(tiny_task, a_sheet(1000), teacher, teacher)[0].verdict == "supported"


def test_a_student_that_has_not_learnt_is_never_supported(tiny_task):
    """A teacher as bad as the majority class would be easy to stand in for."""
    bad = some_marks(first(300, 1000))
    verdict, results = judged(tiny_task, a_sheet(1000), bad, bad, floor=bad)
    assert results["student"].learnt is False
    assert verdict.verdict == "not measurable"
    assert "not shown to beat the majority class" in verdict.sentence
    assert not_learnt("test", results) == (
        "On test, student is not shown to beat the majority class and counts as not learnt."
    )


def test_without_gold_a_student_is_held_to_agree_with_the_teacher(tiny_task):
    sheet = a_sheet(1000, gold=False)
    teacher = some_marks(first(1000, 1000), gold=False)
    alike = some_marks(first(1000, 1000), agrees=first(995, 1000), gold=False)
    verdict, _ = judged(tiny_task, sheet, alike, teacher)
    assert (verdict.verdict, verdict.against) == ("supported", "teacher")
    assert verdict.difference.value == pytest.approx(-0.5)
    assert "because there is no gold" in verdict.sentence
    other = some_marks(first(1000, 1000), agrees=first(900, 1000), gold=False)
    assert judged(tiny_task, sheet, other, teacher)[0].verdict == "not supported"


def test_without_a_common_row_nothing_is_measured(tiny_task):
    sheet = a_sheet(4, gold=False)
    silent = some_marks(first(4, 4), gold=False)
    silent.teacher_parts[:] = -1
    verdict, _ = judged(tiny_task, sheet, silent, silent)
    assert (verdict.verdict, verdict.difference.value) == ("not measurable", None)


def test_without_a_student_the_first_screen_says_what_it_takes():
    assert "it takes a student and the teacher" in answer(["test"], [], margin=2.0)


def test_of_several_students_the_luckiest_is_not_sold(tiny_task):
    verdict, _ = judged(
        tiny_task, a_sheet(2000), some_marks(first(1800, 2000)), some_marks(first(1800, 2000))
    )
    several = [verdict.model_copy(update={"student": f"s{number}"}) for number in range(9)]
    told = answer(["test"], several, margin=2.0)
    assert "and 3 more" in told
    assert "Each of 9 students is tested alone" in told


def test_the_p_value_is_mcnemars_and_is_corrected_for_all_pairs(tiny_task):
    binomtest = importlib.import_module("scipy.stats").binomtest
    rng = np.random.default_rng(3)
    systems = [
        one(tiny_task, name, role, some_marks(rng.random(300) < chance))
        for name, role, chance in (
            ("teacher", "teacher", 0.9),
            ("label", "student", 0.8),
            ("reason", "student", 0.85),
            ("tfidf", "baseline", 0.6),
        )
    ]
    found, pairs = comparisons(tiny_task, a_sheet(300), systems, reference="teacher")
    assert (len(found), pairs) == (6, 6)
    marks = {system.name: system.sheets["test"] for system in systems}
    for pair in found:
        mine, theirs = (marks[name].gold_parts[:, 0] for name in (pair.first, pair.second))
        won, lost = (
            int(((mine == 1) & (theirs == 0)).sum()),
            int(((mine == 0) & (theirs == 1)).sum()),
        )
        assert (pair.only_first, pair.only_second) == (won, lost)
        assert pair.p == pytest.approx(binomtest(won, won + lost).pvalue)
        assert pair.points.value == pytest.approx(100 * (won - lost) / 300)
        assert pair.p_holm is not None
        assert pair.p_holm >= (pair.p or 0)
        shown = pair.p_holm < 0.05
        assert ("no difference between" in pair.sentence) is not shown
        assert pair.detectable is not None


def test_rows_of_a_group_are_one_coin_of_the_test(tiny_task):
    """Ten copies of ten rows of which one is better by seven to three are no evidence."""
    better = np.repeat(np.arange(10) < 7, 10)
    systems = [
        one(tiny_task, "a", "student", some_marks(better)),
        one(tiny_task, "b", "student", some_marks(~better)),
    ]
    (alone,), _ = comparisons(tiny_task, a_sheet(100), systems, reference=None)
    groups = [number // 10 for number in range(100)]
    (grouped,), _ = comparisons(tiny_task, a_sheet(100, groups=groups), systems, reference=None)
    assert (alone.p or 0) < 0.001
    assert grouped.p == pytest.approx(0.34375)
    assert (grouped.points.low or 0) < (alone.points.low or 0)


@pytest.mark.parametrize("gold", [True, False])
def test_each_label_path_has_its_own_mcnemar_corrected_for_all_of_them(tiny_task, gold):
    binomtest = importlib.import_module("scipy.stats").binomtest
    rng = np.random.default_rng(4)
    systems = []
    for name, role, chances in (
        ("teacher", "teacher", (1.0, 1.0)),
        ("label", "student", (0.9, 0.5)),
        ("reason", "student", (0.8, 0.8)),
    ):
        right = rng.random((200, 2)) < np.array(chances)
        made = some_marks(right.all(axis=1), gold=gold)
        systems.append(one(tiny_task, name, role, replace(made, given=(~right).astype(np.int16))))
    found, _ = comparisons(tiny_task, a_sheet(200, gold=gold), systems, reference="teacher")
    marks = {system.name: system.sheets["test"].given for system in systems}
    ps: list[tuple[float, float]] = []
    for pair in found:
        assert list(pair.labels) == list(tiny_task.labels)
        assert pair.against == ("gold" if gold else "teacher")
        for column, label in enumerate(pair.labels.values()):
            mine, theirs = (marks[name][:, column] == 0 for name in (pair.first, pair.second))
            won, lost = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
            assert (label.only_first, label.only_second) == (won, lost)
            assert label.points.value == pytest.approx(100 * (won - lost) / 200)
            assert label.p == pytest.approx(binomtest(won, won + lost).pvalue if won + lost else 1)
            ps.append((label.p or 0, label.p_holm or 0))
    assert min(ps)[1] == pytest.approx(len(ps) * min(ps)[0])
    assert all(holm >= p for p, holm in ps)


def test_an_interval_beside_zero_that_many_pairs_explain_is_told_as_such(tiny_task):
    rng = np.random.default_rng(1)
    others = [
        one(tiny_task, f"o{number}", "baseline", some_marks(rng.random(200) < 0.5))
        for number in range(6)
    ]
    mine, theirs = np.r_[np.ones(16), np.zeros(5)], np.r_[np.zeros(16), np.ones(5)]
    rest = np.ones(179)
    a = one(tiny_task, "a", "student", some_marks(np.r_[mine, rest]))
    b = one(tiny_task, "b", "student", some_marks(np.r_[theirs, rest]))
    found, _ = comparisons(tiny_task, a_sheet(200), [a, b, *others], reference=None)
    pair = next(one for one in found if {one.first, one.second} == {"a", "b"})
    assert (pair.points.low or 0) > 0
    assert "no difference between a and b is shown" in pair.sentence
    assert "among so many pairs (tested alone, p 0.027)" in pair.sentence


def test_a_simple_classifier_that_does_as_well_is_named(tiny_task):
    def told(students: Sequence[float], tfidf: float) -> str | None:
        rng = np.random.default_rng(2)
        systems = [
            one(tiny_task, f"s{number}", "student", some_marks(rng.random(300) < chance))
            for number, chance in enumerate(students)
        ]
        systems.append(one(tiny_task, "tfidf", "baseline", some_marks(rng.random(300) < tfidf)))
        systems.append(one(tiny_task, "base", "base", some_marks(np.zeros(300, bool))))
        found, _ = comparisons(tiny_task, a_sheet(300), systems, reference=None)
        names = [system.name for system in systems if system.run.role == "student"]
        return simpler(["wild", "test"], found, students=names, tfidf="tfidf")

    assert "(tfidf, word counts" in (told([0.5, 0.9], 0.9) or "")
    assert (told([0.5, 0.9], 0.9) or "").endswith("): on test it is better than s0.")
    assert (told([0.9, 0.88], 0.88) or "").endswith("on test no student is shown to be better.")
    assert told([0.95, 0.9], 0.6) is None
    assert told([], 0.6) is None


@pytest.mark.parametrize(("rows", "said"), [(95, 95), (189, 190), (2795, 2800), (4639, 4700)])
def test_a_number_of_rows_that_is_a_guess_is_not_told_to_the_row(rows, said):
    assert about(rows) == said


def test_of_many_systems_the_pairs_of_students_are_tested_first(tiny_task):
    rng = np.random.default_rng(5)
    students = [
        one(tiny_task, f"s{number:02}", "student", some_marks(rng.random(40) < 0.7))
        for number in range(12)
    ]
    others = [
        one(tiny_task, name, role, some_marks(rng.random(40) < 0.7))
        for name, role in (("teacher", "teacher"), ("tfidf", "baseline"))
    ]
    found, pairs = comparisons(tiny_task, a_sheet(40), [*others, *students], reference="teacher")
    assert (len(found), pairs) == (MOST_PAIRS, 91)
    assert {(p.first, p.second) for p in found} == set(
        itertools.combinations([student.name for student in students], 2)
    )


@given(st.integers(0, 2**32 - 1), st.integers(20, 80))
def test_the_difference_of_macro_f1_is_that_of_two_macro_f1s(seed, rows):
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(seed)
    labels, expected = [], 0.0
    for classes in (2, 4):
        gold, mine, theirs = (rng.integers(0, classes, (rows, 1)) for _ in range(3))
        labels.append((gold, mine, theirs, classes))
        for given_, sign in ((mine, 1), (theirs, -1)):
            seen = sorted(set(gold[:, 0]) | set(given_[:, 0]))
            told = f1_score(gold[:, 0], given_[:, 0], labels=seen, average="macro", zero_division=0)
            expected += sign * 50 * told
    score = macro_f1_points(labels)
    assert score.value == pytest.approx(expected, abs=1e-9)
    assert (score.low or 0) <= expected + 1e-9
    assert (score.high or 0) >= expected - 1e-9


def test_the_jackknife_agrees_with_the_bootstrap_on_many_rows(monkeypatch):
    from understudy.distill.evaluation import paired_f1

    rng = np.random.default_rng(1)
    gold = rng.integers(0, 4, (4000, 1))

    def noisy(chance: float) -> Any:
        return np.where(rng.random((4000, 1)) < chance, gold, rng.integers(0, 4, (4000, 1)))

    labels = [(gold, noisy(0.8), noisy(0.7), 4)]
    bootstrap = macro_f1_points(labels)
    monkeypatch.setattr(paired_f1, "MOST_PATTERNS", 0)
    jackknife = macro_f1_points(labels)
    assert jackknife.value == bootstrap.value
    assert jackknife.low == pytest.approx(bootstrap.low, abs=0.15)
    assert jackknife.high == pytest.approx(bootstrap.high, abs=0.15)


def test_equal_systems_differ_by_nothing_and_are_not_certain_to():
    gold = np.zeros((50, 1), int)
    score = macro_f1_points([(gold, gold, gold, 2)])
    assert score.value == 0
    assert (score.low or 0) < 0 < (score.high or 0)
    nothing = macro_f1_points([(gold - 1, gold, gold, 2)])
    assert nothing == Score(value=None)
