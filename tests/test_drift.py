"""Live agreement at any time, detectors of change, and a stand-in that is watched."""

from __future__ import annotations

import logging
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.call_samples import add_calls
from understudy.distill.guarantee.applying import sigmoid
from understudy.distill.guarantee.detectors import Cusum, Level, Rise, rank_of
from understudy.distill.guarantee.drift import Alarm, Drift
from understudy.distill.guarantee.reference import quantiles, summary
from understudy.distill.guarantee.sequence import (
    LiveAgreement,
    confidence_sequence,
    log_evidence,
)
from understudy.distill.guarantee.watching import Watch
from understudy.distill.labelling.limits import LabellingError
from understudy.store import Run, Store
from understudy.store.rows import Calibration, Call, StandIn
from understudy.store.stand_ins import save_calibration, save_stand_in, stand_in

NOW = "2026-01-01T00:00:00+00:00"
LATER = "2026-01-02T00:00:00+00:00"


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(max_examples=100, deadline=None)
def test_the_interval_holds_the_observed_share_and_narrows_with_less_confidence(pair):
    agreed, asked = pair
    low, high = confidence_sequence(agreed, asked)
    assert 0.0 <= low <= agreed / asked <= high <= 1.0
    inner_low, inner_high = confidence_sequence(agreed, asked, confidence=0.8)
    assert low <= inner_low <= inner_high <= high
    if low > 0:
        assert log_evidence(agreed, asked, low) == pytest.approx(math.log(20), abs=1e-6)


def test_the_interval_misses_the_truth_at_any_time_in_few_of_many_sequences():
    missed = 0
    for seed in range(300):
        draw, live, outside = random.Random(seed), LiveAgreement(), False
        for _ in range(400):
            live = live.after(draw.random() < 0.9)
            outside = outside or log_evidence(live.agreed, live.asked, 0.9) >= math.log(20)
        missed += outside
    assert missed <= 300 * 0.05 + 12
    assert LiveAgreement().after(True).after(False) == LiveAgreement(1, 2)
    assert LiveAgreement().interval() == (0.0, 1.0)


def heard(detector: Cusum | Rise, events: list[bool]) -> bool:
    return any([detector.see(event) for event in events])  # noqa: C419 - it sees all of them


def test_a_cusum_raises_as_many_false_alarms_as_it_says_and_finds_the_change():
    false = found = 0
    for seed in range(400):
        draw = random.Random(seed)
        usual = draw.betavariate(30.5, 470.5)  # what 30 events in 500 rows leave open
        detector = Cusum(30, 500, step=0.05, horizon=200, often=0.05)
        false += heard(detector, [draw.random() < usual for _ in range(200)])
        detector = Cusum(30, 500, step=0.05, horizon=200, often=0.05)
        found += heard(detector, [draw.random() < usual + 0.15 for _ in range(200)])
    assert false <= 400 * 0.05 + 13
    assert found >= 380


def test_a_rise_is_found_after_a_long_quiet_and_not_before():
    draw = random.Random(0)
    detector = Rise(0.3, limit=1e5)
    assert not heard(detector, [draw.random() < 0.28 for _ in range(20_000)])
    assert heard(detector, [draw.random() < 0.5 for _ in range(300)])
    assert not Rise(1.0, limit=2.0).see(True)  # what always comes cannot come more often


def test_lower_values_are_found_and_unchanged_ones_are_not_however_skewed():
    false = found = 0
    for seed in range(100):
        draw = random.Random(seed)
        usual = quantiles([sigmoid(2.5 + 1.5 * draw.gauss(0, 1)) for _ in range(1000)])
        alarms = []
        for middle in (2.5, 2.0):
            detector = Level(1000, step=0.1, horizon=1000, often=0.05)
            values = (sigmoid(middle + 1.5 * draw.gauss(0, 1)) for _ in range(1000))
            alarms.append(any(detector.see(rank_of(value, usual)) for value in values))
        false, found = false + alarms[0], found + alarms[1]
    assert false <= 12
    assert found >= 95
    assert rank_of(1.0, [1.0, 1.0]) == 0.5


def drawn(draw: random.Random, **changed: Any) -> dict[str, Any]:
    """A call's facts: confidence and agreement hang together, some lengths and labels."""
    odds = 3.0 + draw.gauss(0, 1.2) - changed.get("harder", 0.0)
    confidence = sigmoid(odds)
    answered = confidence >= 0.85
    sampled = answered and draw.random() < 0.5
    agreed = draw.random() < sigmoid(odds - changed.get("mind", 0.0))
    shares = [0.5 + changed.get("rise", 0.0), 0.3, 0.2]
    return {
        "answered_by": "student" if answered else "teacher",
        "escalated": not answered,
        "sampled": sampled,
        "agreed": agreed if sampled or not answered else None,
        "confidence": confidence,
        "labels": {"mood": draw.choices(["a", "b", "c"], shares)[0]},
        "length": round(math.exp(draw.gauss(5 + changed.get("longer", 0.0), 0.3))),
    }


def usual(seed: int = 7) -> dict[str, Any]:
    draw = random.Random(seed)
    rows = [drawn(draw) for _ in range(1000)]
    return summary(
        labels=[row["labels"] for row in rows],
        lengths=[row["length"] for row in rows],
        scores=[row["confidence"] for row in rows],
        agreed=[draw.random() < row["confidence"] for row in rows],
        threshold=0.85,
    )


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"rise": 0.4}, "label mix"),
        ({"longer": 0.6}, "length"),
        ({"harder": 0.8}, "confidence"),
        ({"harder": -1.5}, "confidence"),
        ({"mind": 1.5}, "agreement"),
    ],
)
def test_each_change_raises_its_own_alarm(changed, kind):
    draw = random.Random(11)
    drift = Drift(usual(), agreement=0.9, sampling=0.5)
    quiet = [alarm for _ in range(2000) for alarm in drift.see(call(drawn(draw)))]
    assert quiet == []
    alarms = [alarm for _ in range(1500) for alarm in drift.see(call(drawn(draw, **changed)))]
    assert kind in {alarm.kind for alarm in alarms}
    assert len({alarm.what for alarm in alarms}) == len(alarms)
    assert all(2000 < alarm.calls <= 3500 for alarm in alarms)


def call(facts: dict[str, Any], at: str = LATER) -> Call:
    return Call(stand_in="app", at=at, **facts)


def run(role: Any, name: str) -> Run:
    facts: Any = {"task": "t", "model": name, "strategy": "answer", "target": "label"}
    return Run(id=name, name=name, role=role, words="", answers="", started=NOW, **facts)


@pytest.fixture
def store():
    with Store(":memory:") as opened:
        for role in ("teacher", "student"):
            opened.start_run(run(role, role))
        facts: Any = {"agreement": 0.9, "threshold": 0.85, "rows": 1000, "created": NOW}
        row = Calibration(task="t", student="student", teacher="teacher", **facts)
        save_calibration(opened, row.model_copy(update={"details": {"reference": usual()}}))
        save_stand_in(
            opened,
            StandIn(
                name="app", task="t", mode="cascade", agreement=0.9, student="runs/student",
                changed=NOW,
            ),
        )  # fmt: skip
        yield opened


def test_a_stand_in_falls_back_to_its_teacher_when_the_bound_breaks(store, caplog):
    draw, heard = random.Random(3), list[Alarm]()
    watch = Watch(store, on_alarm=heard.append, sampling=0.5)
    add_calls(store, [call(drawn(draw)) for _ in range(1500)])
    assert watch.look() == []
    low, high = watch.live.interval()
    assert low < 0.96 < high
    add_calls(store, [call(drawn(draw, mind=2.0)) for _ in range(1500)])
    with caplog.at_level(logging.WARNING):
        alarms = watch.look()
    assert any(alarm.breaks for alarm in alarms)
    assert heard == alarms
    assert "the teacher answers again" in caplog.text
    now = stand_in(store, "app")
    assert now is not None
    assert now.reason is not None
    assert now.mode == "record"
    assert "agrees" in now.reason
    assert watch.look() == []  # what was before the change of mode is over
    assert watch.seen == 0


def test_in_shadow_mode_all_calls_are_compared_and_raw_confidence_says_nothing(store):
    shadow = StandIn(
        name="app", task="t", mode="shadow", agreement=0.9, student="runs/student", changed=NOW
    )
    save_stand_in(store, shadow)
    draw, watch = random.Random(8), Watch(store)

    def shadowed(**changed: Any) -> Call:
        facts = drawn(draw, **changed)
        agreed = draw.random() < facts["confidence"] - changed.get("less", 0.0)
        told = {"answered_by": "teacher", "escalated": False, "sampled": False}
        return call({**facts, **told, "agreed": agreed, "confidence": 0.5})

    add_calls(store, [shadowed() for _ in range(1500)])
    assert watch.look() == []
    add_calls(store, [shadowed(less=0.1) for _ in range(1000)])
    assert {alarm.kind for alarm in watch.look()} == {"agreement"}
    now = stand_in(store, "app")
    assert now == shadow  # the teacher answers already


def test_without_a_calibration_the_first_calls_say_what_is_usual(store):
    save_stand_in(store, StandIn(name="app", task="t", mode="record", changed=NOW))
    draw = random.Random(4)
    facts = ("labels", "length")

    def recorded(**changed: Any) -> Call:
        return call({name: drawn(draw, **changed)[name] for name in facts})

    watch = Watch(store, "app")
    add_calls(store, [recorded() for _ in range(2500)])
    assert watch.look() == []
    add_calls(store, [recorded(rise=0.5) for _ in range(600)])
    assert {alarm.kind for alarm in watch.look()} == {"label mix"}
    now = stand_in(store, "app")
    assert now is not None
    assert now.mode == "record"


def test_a_stand_in_that_is_not_there_is_said_with_those_that_are(store):
    with pytest.raises(LabellingError, match="there is no stand-in web in the store; it has app"):
        Watch(store, "web")
    save_stand_in(store, StandIn(name="web", task="t", changed=NOW))
    with pytest.raises(LabellingError, match="2 stand-ins"):
        Watch(store)
