"""Intervals, tests and power of paired answers: known values, edges, and what must always hold."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.distill.statistics import (
    NonInferiority,
    brier,
    calibration_bins,
    class_scores,
    clustered_share,
    confusion_counts,
    detectable_points,
    expected_calibration_error,
    holm,
    macro_f1,
    mcnemar,
    mean_amount,
    mean_score,
    non_inferiority,
    paired_points,
    risk_coverage,
    share,
)
from understudy.distill.statistics.intervals import macro
from understudy.distill.statistics.patterns import bca, distinct_rows, resampled
from understudy.store import Score

UNSCORED = Score(value=None)
ROWS = st.lists(
    st.integers(1, 3).flatmap(
        lambda of: st.tuples(st.integers(0, of), st.integers(0, of), st.just(of), st.integers(0, 5))
    ),
    min_size=1,
    max_size=40,
)
LABELS = st.lists(
    st.tuples(st.integers(-1, 3), st.integers(-2, 3), st.integers(0, 5)), min_size=1, max_size=40
)
CONFIDENCES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.9, 0.99, 1.0]), st.booleans()), max_size=80
)


def holds(score: Score, least: float = 0.0, most: float = 1.0) -> bool:
    """The value is inside an interval that is not a point, inside what is possible."""
    if score.value is None or score.low is None or score.high is None:
        return False
    inside = score.low <= score.value <= score.high
    return inside and score.low < score.high and least <= score.low and score.high <= most


def width(score: Score) -> float:
    assert score.low is not None
    assert score.high is not None
    return score.high - score.low


def columns(rows: list[tuple[int, int, int, int]]) -> list[np.ndarray]:
    return [np.array(column) for column in zip(*rows, strict=True)]


def test_a_share_has_wilsons_interval_also_where_everything_is_right():
    score = share(9, 10)
    assert (score.value, score.n) == (0.9, 10)
    assert score.low == pytest.approx(0.5958, abs=1e-4)
    assert score.high == pytest.approx(0.9821, abs=1e-4)
    assert share(10, 10).low == pytest.approx(0.7225, abs=1e-4)
    assert share(10, 10).high == 1.0
    assert share(0, 0) == UNSCORED


def test_nothing_to_score_is_unscored_and_not_zero():
    nothing = np.zeros(0)
    assert clustered_share(nothing, nothing) == UNSCORED
    assert clustered_share([0, 0], [0, 0], groups=[1, 2]) == UNSCORED
    assert paired_points(nothing, nothing, nothing) == UNSCORED
    assert mean_score([math.nan, math.nan]) == UNSCORED
    assert macro_f1(np.full((3, 2), -1), np.zeros((3, 2), int), 4) == UNSCORED
    assert macro_f1(np.zeros((0, 1), int), np.zeros((0, 1), int), 4) == UNSCORED
    found = non_inferiority(nothing, nothing, nothing, margin_points=2)
    assert (found.verdict, found.rows_needed) == ("not measurable", None)
    assert expected_calibration_error(nothing, nothing) is None
    assert brier([math.nan], [1]) is None
    assert risk_coverage(nothing, nothing) == []
    assert calibration_bins(nothing, nothing) == []
    assert holm([]) == []


@given(ROWS)
def test_shares_and_differences_lie_inside_their_intervals(rows):
    first, second, of, groups = columns(rows)
    for together in (None, groups):
        assert holds(clustered_share(first, of, groups=together))
        assert holds(paired_points(first, second, of, groups=together), -100, 100)
        assert holds(mean_score(first / of, groups=together))


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    for one, other in zip(every_figure(rows), every_figure(shuffled), strict=True):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9)


def every_figure(rows: list[tuple[int, int, int, int]]) -> list[float]:
    first, second, of, groups = columns(rows)
    scores = [
        clustered_share(first, of),
        clustered_share(first, of, groups=groups),
        paired_points(first, second, of),
        paired_points(first, second, of, groups=groups),
        mean_score(first / of, groups=groups),
        macro_f1(of[:, None], (first + 1)[:, None], 5, groups=groups),
    ]
    figures = [(score.value, score.low, score.high) for score in scores]
    return [number for figure in figures for number in figure if number is not None]


@given(ROWS)
def test_a_group_of_rows_is_one_row_with_all_their_parts(rows):
    first, second, of, groups = columns(rows)
    sums = [np.bincount(groups, weights=column) for column in (first, second, of)]
    grouped, summed = clustered_share(first, of, groups=groups), clustered_share(sums[0], sums[2])
    assert [grouped.low, grouped.high] == pytest.approx([summed.low, summed.high])
    grouped, summed = paired_points(first, second, of, groups=groups), paired_points(*sums)
    assert [grouped.low, grouped.high] == pytest.approx([summed.low, summed.high])


@given(ROWS)
def test_a_difference_turned_round_is_its_negative(rows):
    first, second, of, groups = columns(rows)
    for together in (None, groups):
        there = paired_points(first, second, of, groups=together)
        back = paired_points(second, first, of, groups=together)
        turned = [-number for number in (back.value, back.high, back.low) if number is not None]
        assert [there.value, there.low, there.high] == pytest.approx(turned, abs=1e-6)


@given(st.integers(1, 60), st.integers(0, 60), st.integers(2, 4))
def test_rows_that_repeat_each_other_count_once(rows, right, copies):
    """Grouped copies of a row say no more than the row; ungrouped, they would pretend to."""
    marks = np.arange(rows) < right
    many, groups = np.repeat(marks, copies), np.repeat(np.arange(rows), copies)
    alone, ones = clustered_share(marks, np.ones(rows)), np.ones(rows * copies)
    together = clustered_share(many, ones, groups=groups)
    pretended = clustered_share(many, ones)
    assert width(together) >= width(alone) - 1e-9 > width(pretended) - 1e-9
    paired = paired_points(many, ~many, ones, groups=groups)
    assert width(paired) >= width(paired_points(many, ~many, ones))


@settings(max_examples=40, deadline=None)
@given(LABELS)
def test_macro_f1_lies_inside_its_interval(rows):
    gold, answer, groups = (np.array(column) for column in zip(*rows, strict=True))
    for together in (None, groups):
        score = macro_f1(gold[:, None], answer[:, None], 4, groups=together)
        assert score == UNSCORED if (gold < 0).all() else holds(score)
    assert sum(one.support for one in class_scores(confusion_counts(gold, answer, 4))) == score.n


def test_macro_f1_is_wide_where_a_class_is_rare_even_if_all_is_right():
    common = np.zeros((100, 1), int)
    rare = common.copy()
    rare[:2] = 1
    assert width(macro_f1(rare, rare, 2)) > 5 * width(macro_f1(common, common, 2))


def test_macro_f1_of_parts_resamples_rows():
    gold = np.arange(60).reshape(60, 1) % 2
    answer = np.where(np.arange(60)[:, None] % 7 == 0, 1 - gold, gold)
    thrice = macro_f1(np.repeat(gold, 3, axis=1), np.repeat(answer, 3, axis=1), 2)
    once = macro_f1(gold, answer, 2)
    assert thrice.value == once.value
    assert [thrice.low, thrice.high] == pytest.approx([once.low, once.high], abs=0.02)
    flat = macro_f1(np.repeat(gold, 3, axis=0), np.repeat(answer, 3, axis=0), 2)
    grouped = macro_f1(
        np.repeat(gold, 3, axis=0),
        np.repeat(answer, 3, axis=0),
        2,
        groups=np.repeat(np.arange(60), 3),
    )
    assert grouped == thrice
    assert width(flat) < 0.7 * width(once)


def test_precision_recall_and_confusion_of_a_known_case():
    gold, answer = np.array([0, 0, 0, 1, 1, -1]), np.array([0, 0, 1, 1, -2, 2])
    counts = confusion_counts(gold, answer, 3)
    assert counts.tolist() == [[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]]
    first, second, third = class_scores(counts)
    assert (first.precision, first.recall, first.f1, first.support) == (1, 2 / 3, 0.8, 3)
    assert (second.precision, second.recall, second.f1, second.support) == (0.5, 0.5, 0.5, 2)
    assert (third.precision, third.recall, third.f1, third.support) == (None, None, None, 0)
    assert macro_f1(gold[:, None], answer[:, None], 3).value == pytest.approx(0.65)


def test_resampling_patterns_is_resampling_rows():
    """Mean and spread of the resampled totals are those of rows drawn with replacement."""
    sums, counts = np.array([[0.0], [1.0], [5.0]]), np.array([50, 30, 3])
    figures = resampled(sums, counts, lambda totals: totals[..., 0])
    rows = np.repeat(sums[:, 0], counts)
    assert figures.mean() == pytest.approx(rows.sum(), rel=0.02)
    assert figures.std() == pytest.approx(rows.std() * math.sqrt(len(rows)), rel=0.05)
    assert bca(np.ones((1, 2)), np.array([9]), macro) is None


def test_a_mean_amount_has_students_interval_and_one_row_has_none():
    score = mean_amount([1.0, 2.0, 3.0, 4.0, 1000.0, math.nan])
    assert (score.value, score.low, score.n) == (202, 0, 5)
    assert score.high == pytest.approx(202 + 2.776445 * 199.5008, rel=1e-3)
    grouped = mean_amount([1.0, 1.0, 3.0, 3.0], groups=[7, 7, 8, 8])
    alone = mean_amount([1.0, 3.0])
    assert [grouped.low, grouped.high] == pytest.approx([alone.low, alone.high])
    flat = mean_amount([0.25, 0.25])
    assert (flat.value, flat.low, flat.high) == (0.25, 0.25, 0.25)
    assert mean_amount([5.0]) == Score(value=5.0, n=1)
    assert mean_amount([math.nan]) == UNSCORED


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 4), max_size=60))
def test_distinct_rows_are_those_that_sorting_finds(rows):
    table = np.array(rows, float).reshape(-1, 4)
    found, counts = distinct_rows(table)
    expected, times = np.unique(table, axis=0, return_counts=True)
    order = np.lexsort(found.T[::-1])
    assert found[order].tolist() == expected.tolist()
    assert counts[order].tolist() == times.tolist()


def test_mcnemar_counts_coin_throws():
    assert mcnemar(0, 0) == mcnemar(4, 4) == mcnemar(3, 2) == 1.0
    assert mcnemar(0, 6) == pytest.approx(2 / 2**6)
    assert mcnemar(10, 2) == pytest.approx(0.038574, abs=1e-6)
    assert mcnemar(52_000, 50_000) == pytest.approx(3.8e-10, rel=0.05)
    assert mcnemar(200_000, 0) == 0.0


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_mcnemar_is_a_probability_and_has_no_sides(first, second):
    assert 0 <= mcnemar(first, second) <= 1
    assert mcnemar(first, second) == mcnemar(second, first)
    assert mcnemar(first + 1, second) <= mcnemar(first, second) + 1e-12 or first < second


def test_holm_corrects_the_smallest_for_all_and_the_largest_for_none():
    assert holm([0.01, 0.04, None, 0.03]) == [0.03, 0.06, None, 0.06]


@given(st.lists(st.none() | st.floats(0, 1)))
def test_holm_keeps_the_order_and_never_lowers(ps):
    corrected = holm(ps)
    known = sorted((p, q) for p, q in zip(ps, corrected, strict=True) if p is not None and q)
    assert [q is None for q in corrected] == [p is None for p in ps]
    assert all(p <= q <= 1 for p, q in known)
    assert [q for _, q in known] == sorted(q for _, q in known)


def test_no_differing_row_is_not_no_difference():
    score = paired_points(np.ones(300), np.ones(300), np.ones(300))
    assert score.value == 0
    assert score.high == pytest.approx(1.2643, abs=1e-3)
    assert width(paired_points([1], [0], [1])) > 90
    assert width(paired_points([3], [0], [3])) > 90


@pytest.mark.parametrize(
    ("lost", "won", "rows", "verdict"),
    [
        (2, 2, 1000, "supported"),
        (0, 0, 300, "supported"),
        (0, 0, 100, "not enough rows"),
        (12, 10, 300, "not enough rows"),
        (30, 5, 300, "not supported"),
        (6, 0, 300, "not supported"),
        (1, 0, 1, "not supported"),
        (0, 1, 1, "not enough rows"),
    ],
)
def test_a_stand_in_is_supported_only_by_its_lower_bound(lost, won, rows, verdict):
    found = judged(lost, won, rows)
    assert found.verdict == verdict
    assert (found.rows_needed is not None) == (verdict == "not enough rows")
    if found.rows_needed is not None:
        assert found.rows_needed > rows


def judged(lost: int, won: int, rows: int, margin: float = 2) -> NonInferiority:
    place = np.arange(rows)
    student, teacher = place >= lost, ~((place >= lost) & (place < lost + won))
    return non_inferiority(student, teacher, np.ones(rows), margin_points=margin)


def test_the_rows_needed_do_support_it():
    few = judged(12, 10, 300)
    assert few.rows_needed is not None
    times = math.ceil(few.rows_needed / 300)
    assert 10 < times < 100
    assert judged(12 * times, 10 * times, 300 * times).verdict == "supported"
    assert judged(0, 0, 100).rows_needed == 189
    assert judged(0, 0, 189).verdict == "supported"


def test_where_groups_are_the_unit_as_many_of_them_are_told_and_do_support_it():
    """60 groups of five rows each, all of a group alike."""

    def grouped(lost: int, won: int, groups: int) -> NonInferiority:
        place = np.repeat(np.arange(groups), 5)
        student, teacher = place >= lost, ~((place >= lost) & (place < lost + won))
        return non_inferiority(student, teacher, np.ones(len(place)), margin_points=2, groups=place)

    few = grouped(3, 3, 60)
    assert few.groups_needed is not None
    assert few.rows_needed is not None
    assert abs(few.rows_needed - 5 * few.groups_needed) < 5
    times = math.ceil(few.groups_needed / 60)
    assert times > 5
    assert grouped(3 * times, 3 * times, 60 * times).verdict == "supported"
    alone = judged(12, 10, 300)
    assert (alone.groups_needed, grouped(0, 0, 1000).groups_needed) == (None, None)


@pytest.mark.parametrize(("discordant", "rows"), [(0.1, 200), (0.3, 1000), (0.02, 5000), (0, 60)])
def test_the_detectable_difference_is_found_in_80_of_100_repetitions(discordant, rows):
    points = detectable_points(discordant, rows)
    assert points is not None
    apart = max(discordant, points / 100)
    rng = np.random.default_rng(0)
    first = (apart + points / 100) / 2
    tables = rng.multinomial(rows, [first, max(0, apart - first), 1 - apart], size=2000)
    found = np.mean([mcnemar(int(b), int(c)) < 0.05 for b, c, _ in tables])
    assert 0.77 < found < 0.87


def test_too_few_rows_detect_nothing_and_more_rows_detect_more():
    assert detectable_points(0.1, 0) is None
    assert detectable_points(0.1, 5) is None
    found = [detectable_points(0.1, rows) or 100.0 for rows in (6, 20, 100, 1000, 10_000, 100_000)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.4


def test_calibration_of_a_known_case():
    confidence, right = np.array([0.6, 0.6, 0.9, 0.9]), np.array([1, 0, 1, 1])
    assert expected_calibration_error(confidence, right, 2) == pytest.approx(0.1)
    assert brier(confidence, right) == pytest.approx((0.16 + 0.36 + 0.02) / 4)
    (low, some), (high, all_) = calibration_bins(confidence, right, 2)
    assert [low, high] == pytest.approx([0.6, 0.9])
    assert (some, all_) == (share(1, 2), share(2, 2))
    assert risk_coverage(confidence, right) == [(0.5, 0.0), (1.0, 0.25)]


@given(CONFIDENCES, st.randoms(use_true_random=False))
def test_calibration_does_not_depend_on_the_order_of_answers(answers, random):
    if not answers:
        return
    shuffled = list(answers)
    random.shuffle(shuffled)
    confidence, right = (np.array(column) for column in zip(*answers, strict=True))
    others, whether = (np.array(column) for column in zip(*shuffled, strict=True))
    error = expected_calibration_error(confidence, right)
    assert error is not None
    assert 0 <= error <= 1
    assert error == pytest.approx(expected_calibration_error(others, whether))
    assert risk_coverage(confidence, right) == risk_coverage(others, whether)
    scores = [score for _, score in calibration_bins(confidence, right)]
    assert sum(score.n for score in scores) == len(answers)
    assert all(holds(score) for score in scores)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=300))
def test_risk_coverage_ends_with_everything_kept(answers):
    confidence, right = (np.array(column) for column in zip(*answers, strict=True))
    points = risk_coverage(confidence, right)
    kept = [coverage for coverage, _ in points]
    assert kept == sorted(set(kept))
    assert len(points) <= 50
    assert list(points[-1]) == pytest.approx([1.0, 1 - right.mean()])


def test_a_hundred_thousand_rows_take_well_under_a_second():
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 5, (100_000, 2))
    answer = np.where(rng.random(gold.shape) < 0.9, gold, rng.integers(-2, 5, gold.shape))
    of, groups = np.full(len(gold), 2), rng.integers(0, 50_000, len(gold))
    right = (gold == answer).sum(axis=1)
    started = time.process_time()
    assert holds(macro_f1(gold, answer, 5))
    assert holds(clustered_share(right, of, groups=groups))
    assert holds(paired_points(right, right[::-1], of, groups=groups), -100, 100)
    assert time.process_time() - started < 1.5
