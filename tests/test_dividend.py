"""The reasoning dividend: who gains how much over labels alone, how sure, at what price."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.measure_samples import answering, marks, sheet
from understudy.distill.evaluation.dividend import dividends
from understudy.distill.evaluation.entrants import arm_of
from understudy.distill.evaluation.randomisation import sign_flip_p
from understudy.distill.statistics import mcnemar, paired_points

ROWS = 200


def students(shares: dict[str, list[float]], *, seed: int = 0, **costs: Any) -> Any:
    """A sheet and, by target, one student per share right, plus the majority class at a third."""
    dice = np.random.default_rng(seed)
    gold = dice.integers(0, 3, ROWS)
    rows = sheet([[g] for g in gold])

    def answers(share: float) -> Any:
        right = dice.random(ROWS) < share
        return [[g if ok else (g + 1) % 3] for g, ok in zip(gold, right, strict=True)]

    found = [answering("majority", marks([[0]] * ROWS, rows), role="baseline")]
    for target, each in shares.items():
        for number, share in enumerate(each):
            cost: dict[str, Any] = {"output_tokens": [10.0] * ROWS, "seconds": [0.01] * ROWS}
            if target == "reason_label":
                cost = {"output_tokens": [60.0] * ROWS, "seconds": [0.05] * ROWS}
            found.append(
                answering(
                    f"{target}-s{number}",
                    marks(answers(share), rows, **cost),
                    target=target,
                    seed=number,
                    arm=target,
                )
            )
    return rows, found


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=10))
def test_the_randomisation_test_is_the_one_by_brute_force(differences):
    sums = [
        sum(sign * d for sign, d in zip(signs, differences, strict=True))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    expected = sum(abs(total) >= abs(sum(differences)) for total in sums) / len(sums)
    assert sign_flip_p(np.array(differences)) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 60), st.integers(0, 60))
def test_with_one_seed_it_is_mcnemars_exact_test(more, fewer):
    differences = np.array([1] * more + [-1] * fewer + [0] * 20)
    assert sign_flip_p(differences) == pytest.approx(mcnemar(more, fewer), abs=1e-12)


def test_many_rows_and_seeds_take_no_time_and_no_difference_is_p_of_one():
    dice = np.random.default_rng(0)
    differences = dice.integers(-3, 4, 100_000)
    assert 0 < sign_flip_p(differences) <= 1
    assert sign_flip_p(np.zeros(10, int)) == 1.0
    assert sign_flip_p(np.array([2, 1, -3])) == 1.0
    assert sign_flip_p(np.full(1000, 3)) < 1e-100


def test_every_arm_is_held_against_label_on_the_same_rows():
    rows, found = students({"label": [0.6], "reason_label": [0.85], "label_reason": [0.61]})
    (dividend,) = dividends(found, rows, machine_usd_per_hour=3.6, speeds=None)
    label, reasoned, after = dividend.arms
    assert [arm.target for arm in dividend.arms] == ["label", "reason_label", "label_reason"]
    assert (label.gain, label.p, label.extra_tokens) == (None, None, None)
    by = {one.name: one.sheets["test"].right_rows("gold")[0] for one in found}
    expected = paired_points(by["reason_label-s0"], by["label-s0"], np.ones(ROWS))
    assert reasoned.gain == expected
    only = by["reason_label-s0"] & ~by["label-s0"], ~by["reason_label-s0"] & by["label-s0"]
    assert reasoned.p == pytest.approx(mcnemar(int(only[0].sum()), int(only[1].sum())))
    assert reasoned.p_holm == pytest.approx(2 * (reasoned.p or 0))
    assert reasoned.extra_tokens == pytest.approx(50)
    assert reasoned.extra_milliseconds == pytest.approx(40)
    assert dividend.learnt
    assert "reason_label helps" in dividend.sentence
    assert "no difference shown for label_reason" in dividend.sentence
    assert after.right.n == ROWS
    assert dividend.detectable is not None
    assert 5 < dividend.detectable < 20


def test_several_seeds_are_paired_and_their_spread_is_a_figure_of_its_own():
    rows, found = students({"label": [0.6, 0.5, 0.7], "reason_label": [0.8, 0.9, 0.7]})
    (dividend,) = dividends(found, rows)
    label, reasoned = dividend.arms
    by = {one.name: one.sheets["test"].right_rows("gold")[0].astype(int) for one in found}
    gains = [100 * (by[f"reason_label-s{n}"] - by[f"label-s{n}"]).mean() for n in range(3)]
    assert reasoned.gain is not None
    assert reasoned.gain.value == pytest.approx(np.mean(gains))
    assert reasoned.seed_spread == pytest.approx(np.std(gains, ddof=1))
    assert (reasoned.seeds, label.seeds) == ([0, 1, 2], [0, 1, 2])
    differences = sum(by[f"reason_label-s{n}"] - by[f"label-s{n}"] for n in range(3))
    assert reasoned.p == pytest.approx(sign_flip_p(differences))
    assert "3 seeds" in dividend.sentence
    # +20 points, and from 0 to 40 by seed: of these rows it is sure, of the next seed it is not
    assert "helped these students" in dividend.sentence
    assert "varies too much to say so of the next seed" in dividend.sentence
    rows, found = students({"label": [0.6, 0.61, 0.6], "reason_label": [0.8, 0.8, 0.81]})
    assert "reason_label helps" in dividends(found, rows)[0].sentence


def test_the_interval_over_seeds_is_as_wide_as_rows_make_it():
    """Three equal seeds say no more than one of them."""
    rows, found = students({"label": [0.6], "reason_label": [0.8]})
    (one,) = dividends(found, rows)
    again = [
        answering(
            f"{a.run.target}-s{n}",
            a.sheets["test"],
            target=a.run.target,
            seed=n,
            arm=a.run.target,
        )
        for a in found[1:]
        for n in range(3)
    ]
    (three,) = dividends([found[0], *again], rows)
    first, second = one.arms[1].gain, three.arms[1].gain
    assert first is not None
    assert second is not None
    assert second.value == pytest.approx(first.value)
    assert second.low == pytest.approx(first.low, abs=0.3)
    assert second.high == pytest.approx(first.high, abs=0.3)
    assert three.arms[1].p == pytest.approx(one.arms[1].p)


def test_an_arm_that_does_not_beat_the_majority_class_has_no_verdict():
    rows, found = students({"label": [0.7], "reason_label": [0.33], "label_reason": [0.9]})
    (dividend,) = dividends(found, rows)
    assert dividend.arms[1].learnt is False
    assert "reason_label is not learnt" in dividend.sentence
    assert "label_reason helps" in dividend.sentence
    rows, found = students({"label": [0.3], "reason_label": [0.9]})
    (dividend,) = dividends(found, rows)
    assert not dividend.learnt
    assert "no verdict" in dividend.sentence
    assert "helps" not in dividend.sentence


def test_an_extra_right_answer_has_a_price_where_the_machine_has_one():
    rows, found = students({"label": [0.5], "reason_label": [0.9]})
    speeds = {"run-label-s0": 100.0, "run-reason_label-s0": 20.0}
    (dividend,) = dividends(found, rows, speeds=speeds, machine_usd_per_hour=3.6)
    arm = dividend.arms[1]
    assert arm.gain is not None
    extra = 3.6 / 3600 / 20 - 3.6 / 3600 / 100  # dollars a row
    assert arm.usd_per_extra_right == pytest.approx(extra / ((arm.gain.value or 0) / 100))
    assert dividends(found, rows)[0].arms[1].usd_per_extra_right is None


def test_only_students_of_one_base_and_the_same_rows_are_held_together():
    rows, found = students({"label": [0.6], "reason_label": [0.8]})
    other = answering("other", found[2].sheets["test"], target="reason_label", rows="others")
    assert len(dividends([found[0], found[1], other], rows)) == 0
    assert len(dividends([*found, other], rows)) == 1
    assert dividends(found[:2], rows) == []  # label alone


TINY = {"epochs": 4.0, "learning_rate": 1.5e-3, "batch_size": 8}


def test_an_arm_of_another_recipe_is_named_as_such_and_its_sentence_says_how():
    rows, found = students({"label": [0.6], "reason_label": [0.85], "label_reason": [0.61]})
    recipes = {one.run.id: TINY for one in found}
    (same,) = dividends(found, rows, recipes=recipes)
    assert "another recipe" not in same.sentence
    assert [arm.otherwise for arm in same.arms] == [{}, {}, {}]
    recipes["run-reason_label-s0"] = {**TINY, "epochs": 8.0, "learning_rate": 1e-3}
    (apart,) = dividends(found, rows, recipes=recipes)
    assert apart.arms[1].otherwise == {
        "epochs": "8.0, label 4.0",
        "learning_rate": "0.001, label 0.0015",
    }
    assert "reason_label was tuned by another recipe" in apart.sentence
    assert "learning rate 0.001, label 0.0015" in apart.sentence
    assert apart.arms[2].otherwise == {}
    assert apart.arms[1].gain == same.arms[1].gain
    assert dividends(found, rows)[0].sentence == same.sentence  # nothing is known: nothing is said


def test_of_several_recipes_those_that_are_the_same_are_held_together():
    rows, found = students({"label": [0.6, 0.61], "reason_label": [0.8]})
    other = answering(
        "label-long", found[1].sheets["test"], target="label", seed=0, arm="label-long"
    )
    recipes = {one.run.id: TINY for one in found}
    long = {**TINY, "epochs": 9.0}
    (dividend,) = dividends(
        [*found, other],
        rows,
        recipes={**recipes, "run-label-long": long, "run-reason_label-s0": long},
    )
    assert [arm.systems for arm in dividend.arms] == [["label-long"], ["reason_label-s0"]]
    assert "another recipe" not in dividend.sentence


def test_a_seed_whose_run_folder_is_gone_stays_with_the_others_of_its_name():
    rows, found = students({"label": [0.6, 0.61, 0.6], "reason_label": [0.8, 0.8, 0.81]})
    recipes = {one.run.id: TINY for one in found if not one.name.endswith("s2")}
    (dividend,) = dividends(found, rows, recipes=recipes)
    assert [arm.seeds for arm in dividend.arms] == [[0, 1, 2], [0, 1, 2]]


def test_rows_of_a_group_are_one_unit():
    rows, found = students({"label": [0.5], "reason_label": [0.62]})
    grouped = sheet(rows.gold, groups=[place // 20 for place in range(ROWS)])
    (alone,), (together,) = dividends(found, rows), dividends(found, grouped)
    assert alone.arms[1].p != together.arms[1].p
    by = {one.name: one.sheets["test"].right_rows("gold")[0].astype(int) for one in found}
    summed = (by["reason_label-s0"] - by["label-s0"]).reshape(-1, 20).sum(axis=1)
    assert together.arms[1].p == pytest.approx(sign_flip_p(summed))


def test_a_students_arm_is_its_name_without_the_seed():
    names = ["label-s1", "label-seed-1", "label_1", "label.s1", "label seed 1"]
    assert {arm_of(name, 1) for name in names} == {"label"}
    assert arm_of("label-s1", 2) == "label-s1"
    assert arm_of("label", None) == "label"
    assert arm_of("1", 1) == "1"
    assert arm_of("rank11", 1) == "rank11"
