"""Figures: known values by hand, agreement with scikit-learn, and what intervals must not do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.distill.evaluation.metrics import (
    clustered_share,
    label_result,
    paired_points,
    part_scores,
    percentile,
    share,
)
from understudy.examples.news.task import task as news
from understudy.store import Score


def gold(first="Positivo", emotion="Felicidade"):
    return {
        "f1": {"polaridade": first, "emocao": emotion},
        "f2": {"polaridade": "Neutro", "emocao": "Neutro"},
        "f3": {"polaridade": "Negativo", "emocao": "Medo"},
    }


def interval(score: Score) -> tuple[float, float]:
    assert score.low is not None
    assert score.high is not None
    return score.low, score.high


def test_a_share_of_rows_has_wilsons_interval():
    score = share(8, 10)
    assert (score.value, score.n) == (0.8, 10)
    assert interval(score) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson 1927


def test_all_right_is_not_certain():
    score = clustered_share([3.0] * 20, [3.0] * 20)
    assert score.value == 1.0
    assert interval(score)[0] < 0.9
    assert score.n == 60


def test_nothing_to_score_is_unscored_not_zero():
    assert share(0, 0).value is None
    assert clustered_share([], []).value is None
    assert paired_points([0.0], [0.0], [0.0]).value is None


def test_rows_are_resampled_so_copies_within_a_row_do_not_narrow_the_interval():
    single = clustered_share([1.0, 0.0] * 50, [1.0] * 100)
    tripled = clustered_share([3.0, 0.0] * 50, [3.0] * 100)
    assert (tripled.low, tripled.high) == pytest.approx((single.low, single.high))


def test_the_interval_of_a_known_binomial_is_near_the_exact_one():
    score = clustered_share([1.0] * 60 + [0.0] * 40, [1.0] * 100)
    assert score.low == pytest.approx(0.503, abs=0.02)
    assert score.high == pytest.approx(0.697, abs=0.02)


def test_a_difference_is_paired():
    first, second = [1.0] * 90 + [0.0] * 10, [1.0] * 80 + [0.0] * 20
    points = paired_points(first, second, [1.0] * 100)
    assert points.value == pytest.approx(10.0)
    low, high = interval(points)
    assert 0 < low < 10 < high < 20


def test_equal_answers_show_no_difference_at_all():
    points = paired_points([1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [1.0] * 3)
    assert (points.value, points.low, points.high) == (0.0, 0.0, 0.0)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", None])), min_size=1)
)
def test_macro_f1_is_scikit_learns(pairs):
    from sklearn.metrics import f1_score

    result = label_result("abc", [[pair] for pair in pairs])
    wanted, answers = [w for w, _ in pairs], [str(g) for _, g in pairs]
    seen = sorted({*wanted, *answers} - {"None"})
    expected = f1_score(wanted, answers, labels=seen, average="macro", zero_division=0)
    assert result.macro_f1.value == pytest.approx(expected)
    assert result.accuracy.value == pytest.approx(sum(w == g for w, g in pairs) / len(pairs))
    assert sum(sum(row.values()) for row in result.confusion.values()) == len(pairs)


def test_a_sentence_counts_when_all_its_labels_are_right():
    given_answer = gold(emotion="Surpresa")
    assert part_scores(news, gold(), given_answer) == {"f1": False, "f2": True, "f3": True}


def test_a_failed_row_is_wrong_in_every_part():
    assert part_scores(news, gold(), None) == {"f1": False, "f2": False, "f3": False}


def test_parts_without_gold_are_not_judged():
    partial = {"f2": {"polaridade": "Neutro"}}
    assert part_scores(news, partial, gold()) == {"f2": True}


def test_percentiles_are_values_that_occurred():
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 0.95) == 95.0
    assert percentile([], 0.5) is None
