"""Calibration: exact bounds, a calibrator, a threshold with a guarantee, and what is refused."""

from __future__ import annotations

import bisect
import json
import math
import random
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel
from scipy.stats import beta, binom

from tests.call_samples import add_calls
from understudy.chains.task import Task
from understudy.distill.guarantee.applying import accepts, confidence_score, features_of
from understudy.distill.guarantee.binomial import (
    least_agreed,
    least_rows,
    lower_bound,
    power,
    rows_for,
    upper_bound,
    upper_tail,
)
from understudy.distill.guarantee.calibrating import calibrate
from understudy.distill.guarantee.calibrator import fit_calibrator
from understudy.distill.guarantee.curve import curve
from understudy.distill.guarantee.rows import judged_paths
from understudy.distill.guarantee.threshold import choose, fixed_sequence
from understudy.distill.labelling.limits import LabellingError
from understudy.distill.runs import describe_run
from understudy.store import Example, Record, Store, example_id
from understudy.store.provenance import add_training
from understudy.store.rows import Calibration, Call, Run, StandIn, Training
from understudy.store.stand_ins import newest_calibration, save_stand_in

NOW = "2026-01-01T00:00:00+00:00"
counts = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


class Verdict(BaseModel):
    mood: Literal["good", "bad"]
    place: Literal["here", "there", "nowhere"]


task = Task(
    name="guarded",
    schema=Verdict,
    prompt=ChatPromptTemplate.from_messages([("human", "Judge: {text}")]),
)


@given(counts, st.floats(0.5, 0.999))
@settings(max_examples=200, deadline=None)
def test_the_exact_bound_is_the_quantile_of_the_beta_distribution(pair, confidence):
    agreed, answered = pair
    expected = beta.ppf(1 - confidence, agreed, answered - agreed + 1) if agreed else 0.0
    assert lower_bound(agreed, answered, confidence=confidence) == pytest.approx(expected, abs=1e-9)
    upper = beta.ppf(confidence, agreed + 1, answered - agreed) if agreed < answered else 1.0
    assert upper_bound(agreed, answered, confidence=confidence) == pytest.approx(upper, abs=1e-9)


@given(counts, st.floats(0.001, 0.999))
@settings(max_examples=200, deadline=None)
def test_the_tail_is_the_binomial_survival_function(pair, chance):
    successes, trials = pair
    expected = binom.sf(successes - 1, trials, chance)
    assert upper_tail(successes, trials, chance) == pytest.approx(expected, rel=1e-7, abs=1e-12)


@given(st.integers(1, 2000), st.floats(0.5, 0.995), st.floats(0.8, 0.99))
@settings(max_examples=100, deadline=None)
def test_the_least_number_that_shows_an_agreement_is_where_the_bound_reaches_it(
    answered, agreement, confidence
):
    least = least_agreed(answered, agreement, confidence)
    if least <= answered:
        assert lower_bound(least, answered, confidence=confidence) >= agreement - 1e-9
    assert lower_bound(least - 1, answered, confidence=confidence) < agreement + 1e-9


def test_the_number_of_rows_that_would_do_has_the_power_that_it_says():
    assert least_rows(0.95, 0.95) == 59
    assert least_rows(0.97, 0.95) == 99
    needed = rows_for(0.985, 0.97, 0.95)
    assert needed is not None
    assert power(needed, 0.985, 0.97, 0.95) >= 0.9 > power(needed // 2, 0.985, 0.97, 0.95)
    assert rows_for(0.97, 0.97, 0.95) is None


confidence_pairs = st.tuples(st.floats(0, 1), st.floats(0, 1))


@given(st.lists(st.tuples(confidence_pairs, st.booleans()), max_size=60), confidence_pairs)
@settings(max_examples=60, deadline=None)
def test_a_surer_student_never_scores_less_and_json_keeps_every_digit(rows, sure):
    told = [({"a": first, "b": second}, agreed) for (first, second), agreed in rows]
    calibrator = fit_calibrator(told, paths=["a", "b"])
    kept = json.loads(json.dumps(calibrator))
    first, second = sure
    here = confidence_score({"a": first, "b": second}, calibrator)
    assert here == confidence_score({"a": first, "b": second}, kept)
    assert 0.0 < here <= 1.0
    surer = {"a": min(1.0, first + 0.1), "b": second}
    assert confidence_score(surer, calibrator) >= here - 1e-12


def test_the_calibrator_is_the_logistic_regression_of_scikit_learn():
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    draw = random.Random(3)
    rows = []
    for _ in range(800):
        first, second = draw.random(), draw.random()
        chance = 1 / (1 + math.exp(-(0.4 + first + 2 * second)))
        rows.append(({"a": first, "b": second}, draw.random() < chance))
    calibrator = fit_calibrator(rows, paths=["a", "b"])
    features = np.array([features_of(confidence, ["a", "b"]) for confidence, _ in rows])
    peer = LogisticRegression(C=1e6, tol=1e-10).fit(features, [agreed for _, agreed in rows])
    if min(peer.coef_[0]) > 0:
        ours = [confidence_score(confidence, calibrator) for confidence, _ in rows]
        assert ours == pytest.approx(peer.predict_proba(features)[:, 1], abs=0.01)
    right = sum(agreed for _, agreed in rows) / len(rows)
    mean = sum(confidence_score(confidence, calibrator) for confidence, _ in rows) / len(rows)
    assert mean == pytest.approx(right, abs=0.01)


def test_a_student_that_does_not_say_how_sure_it_is_is_never_accepted():
    calibrator = fit_calibrator([({"a": 0.9}, True)] * 20, paths=["a"])
    row = Calibration(
        task="t", student="s", teacher="t", agreement=0.9, threshold=0.0, rows=1, created=NOW,
        calibrator=calibrator,
    )  # fmt: skip
    unsaid: list[Any] = [None, {}, {"b": 1.0}, {"a": float("nan")}, {"a": "1"}, {"a": 2.0}]
    assert not any(accepts(row, confidence) for confidence in unsaid)
    assert accepts(row, {"a": 0.9})
    assert not accepts(row.model_copy(update={"threshold": None}), {"a": 1.0})
    assert confidence_score({"f": 0.9}, {**calibrator, "paths": ["f.a"]}) > 0  # a null above it


def worlds(rows: int, base: float, seed: int) -> list[tuple[float, bool]]:
    draw = random.Random(seed)
    found = []
    for _ in range(rows):
        chance = 1 / (1 + math.exp(-(base + 1.5 * draw.gauss(0, 1))))
        found.append((chance, draw.random() < chance))
    return found


def test_a_threshold_whose_true_agreement_is_below_the_asked_comes_out_in_few_of_many_draws():
    violations = refused = 0
    for seed in range(120):
        choice = choose(
            worlds(300, 2.2, seed), worlds(300, 2.2, 1000 + seed), agreement=0.95, confidence=0.95
        )
        if choice.chosen is None:
            refused += 1
            continue
        above = len(SCORES) - bisect.bisect_left(SCORES, choice.chosen.threshold)
        violations += sum(AGREED[-above:]) / above < 0.95
    assert violations <= 13  # 5 % and three standard errors
    assert refused < 120


SCORES, AGREED = zip(*sorted(worlds(40_000, 2.2, -1)), strict=True)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=80), st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_the_sequence_goes_from_strict_to_loose_and_hangs_on_validation_rows_alone(rows, count):
    sequence = fixed_sequence(rows, rows=count, agreement=0.9, confidence=0.95)
    assert sequence == sorted(set(sequence), reverse=True)
    assert set(sequence) <= {score for score, _ in rows if score > 0}
    choice = choose(rows, rows[: count % 50], agreement=0.9)
    if choice.chosen:
        assert choice.chosen.low >= 0.9


def test_a_refusal_says_how_many_rows_would_do_or_that_none_would():
    few = choose(worlds(80, 3.0, 1), worlds(80, 3.0, 2), agreement=0.97)
    assert few.chosen is None
    assert few.rows_needed is not None
    assert few.rows_needed > 80
    never = choose(worlds(500, -1.0, 1), worlds(500, -1.0, 2), agreement=0.995)
    assert never.chosen is None
    assert never.rows_needed is None


def fill(store: Store, *, rows: int = 400, right: float = 3.0, taught: str = "train") -> Run:
    """A store with both runs' answers in every split; the student's run."""
    draw = random.Random(5)
    teacher = describe_run(task, role="teacher", name="teacher", model="big", target="label")
    student = describe_run(task, role="student", name="v1", model="small", target="label")
    for run in (teacher, student):
        store.start_run(run)
    for split in ("train", "validation", "calibration"):
        for number in range(20 if split == "train" else rows):
            inputs = {"text": f"{split} row {number}"}
            example = Example(id=example_id(inputs), task=task.name, split=split, inputs=inputs)
            store.add_examples([example])
            chance = 1 / (1 + math.exp(-(right + 1.5 * draw.gauss(0, 1))))
            said = {"mood": draw.choice(["good", "bad"]), "place": "here"}
            mine = dict(said) if draw.random() < chance else {**said, "place": "there"}
            facts: Any = {"example": example.id, "created": NOW}
            store.add_record(Record(run=teacher.id, answer=said, cost=0.002, **facts))
            sure = {"mood": math.sqrt(chance), "place": math.sqrt(chance)}
            store.add_record(Record(run=student.id, answer=mine, confidence=sure, **facts))
    training = Training(
        folder="runs/v1", name="v1", task=task.name, base="b", target="label", run=teacher.id,
        rows_sha256="digest", seed=0, created=NOW,
    )  # fmt: skip
    add_training(store, training, [e.id for e in store.examples(task.name, split=taught)])
    return student


@pytest.fixture
def store():
    with Store(":memory:") as opened:
        yield opened


def test_a_calibration_is_stored_with_its_curve_and_its_bound_holds_on_its_rows(store):
    student = fill(store)
    found = calibrate(task, store, student, agreement=0.95)
    assert found.threshold is not None
    kept = newest_calibration(store, task=task.name, student=student.id, agreement=0.95)
    assert kept == found
    details = kept.details
    assert details["bound"] >= 0.95
    assert details["usd_per_1000"]["teacher"] == pytest.approx(2.0)
    assert details["usd_per_1000"]["cascade"] == pytest.approx(2.0 * (1 - details["coverage"]))
    points = curve(kept)
    assert [point.coverage for point in points] == sorted(point.coverage for point in points)
    assert sum(point.chosen for point in points) == 1
    assert kept.rows == 400
    assert details["reference"]["answered"] == [details["agreed"], details["answered"]]
    assert judged_paths(task) == ["mood", "place"]


def test_the_calibrator_and_the_threshold_from_the_same_rows_are_refused(store):
    student = fill(store)
    for fitted, bound, why in (
        ("calibration", "calibration", "voids the bound"),
        ("validation", "train", "trained on it"),
        ("calibration", "validation", "stops and sweeps"),
        ("train", "calibration", "by heart"),
    ):
        with pytest.raises(LabellingError, match=why):
            calibrate(task, store, student, fitted=fitted, bound=bound)


def test_rows_that_taught_the_student_are_refused_for_the_threshold(store):
    from understudy.distill.guarantee.rows import judged, untouched

    student = fill(store, rows=30, taught="calibration")
    [teacher] = store.runs(task=task.name, role="teacher")
    rows = judged(task, store, student=student, teacher=teacher, split="calibration")
    with pytest.raises(LabellingError, match="30 of the 30 rows"):
        untouched(task, store, rows, rows_sha256="digest", fitted="validation")
    kept, _ = untouched(task, store, rows, rows_sha256="another", fitted="validation")
    assert len(kept) == 30


def add_calibration_row(store: Store, text: str, group: str | None = None) -> Example:
    inputs = {"text": text}
    example = Example(
        id=example_id(inputs), task=task.name, split="calibration", inputs=inputs, group=group
    )
    store.add_examples([example])
    said = {"mood": "good", "place": "here"}
    for run in store.runs(task=task.name):
        sure = {"mood": 0.99, "place": 0.99} if run.role == "student" else None
        store.add_record(
            Record(run=run.id, example=example.id, answer=said, confidence=sure, created=NOW)
        )
    return example


def test_rows_that_are_no_independent_fair_evidence_are_left_out_and_counted(store):
    student = fill(store)
    add_calibration_row(store, "TRAIN  row 3")
    add_calibration_row(store, "a story, first", group="story")
    add_calibration_row(store, "a story, second", group="story")
    escalated = add_calibration_row(store, "a hard one")
    both = add_calibration_row(store, "recorded before it was escalated")
    save_stand_in(store, StandIn(name="app", task=task.name, mode="cascade", changed=NOW))
    call: Any = {"stand_in": "app", "at": NOW}
    add_calls(
        store,
        [
            Call(example=escalated.id, escalated=True, **call),
            Call(example=both.id, **call),
            Call(example=both.id, escalated=True, **call),
        ],
    )
    found = calibrate(task, store, student, agreement=0.95)
    assert found.rows == 400 + 2
    assert found.details["left_out"] == {
        "escalated by a cascade: no fair sample": 1,
        "the text or group of a row of train or validation": 1,
        "one row of each text and group": 1,
    }


def test_a_calibration_that_the_rows_do_not_support_is_stored_as_refused_with_a_number(store):
    student = fill(store, rows=60)
    found = calibrate(task, store, student, agreement=0.97)
    assert found.threshold is None
    assert "no fewer than 99 could" in found.details["why"]
    assert newest_calibration(store, task=task.name, student=student.id) == found


def test_a_look_after_a_refusal_with_fewer_rows_is_said_and_one_at_the_same_rows_is_not(store):
    student = fill(store, rows=120)
    for limit in (60, 60):
        first = calibrate(task, store, student, agreement=0.97, limit=limit)
        assert first.threshold is None
        assert not any("refused before" in line for line in first.details["unknown"])
    again = calibrate(task, store, student, agreement=0.97)
    assert any("1 times refused before" in line for line in again.details["unknown"])


def test_a_cascade_that_costs_too_much_is_refused(store):
    student = fill(store)
    found = calibrate(task, store, student, agreement=0.95, max_usd_per_1000=0.001)
    assert found.threshold is None
    assert "more than $0.001" in found.details["why"]
    assert calibrate(task, store, student, agreement=0.95, max_usd_per_1000=1.9).threshold


def test_a_store_without_the_teachers_answers_and_a_wrong_share_are_said(store):
    student = fill(store, rows=5)
    with pytest.raises(LabellingError, match=r"agreement is 1\.5"):
        calibrate(task, store, student, agreement=1.5)
    lonely = describe_run(task, role="student", name="v2", model="other", target="label")
    with pytest.raises(LabellingError, match="both answered"):
        calibrate(task, store, store.start_run(lonely))


def test_the_student_of_a_run_folder_answers_both_splits_once(store, tiny_task, tiny_student):
    teacher = describe_run(tiny_task, role="teacher", name="teacher", model="big", target="label")
    store.start_run(teacher)
    for split in ("train", "validation", "calibration"):
        for number in range(6):
            inputs = {"sentence": f"{split} {number}"}
            example = Example(
                id=example_id(inputs), task=tiny_task.name, split=split, inputs=inputs
            )
            store.add_examples([example])
            said = {"mood": "Medo", "urgent": bool(number % 2)}
            store.add_record(Record(run=teacher.id, example=example.id, answer=said, created=NOW))
    asked: list[int] = []
    for _ in range(2):
        found = calibrate(
            tiny_task,
            store,
            tiny_student,
            agreement=0.9,
            progress=lambda name: lambda done, total, record: asked.append(done),
        )
    assert len(asked) == 12
    assert found.calibrator["rows"] == 6
    assert found.calibrator["paths"] == ["mood", "urgent"]
    assert found.threshold is None
    assert "6 calibration rows do not show" in found.details["why"]
    assert "this store did not see it trained" in found.details["unknown"][0]
