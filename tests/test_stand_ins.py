"""Stand-ins, calibrations and calls in the store."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.call_samples import add_calls
from understudy.store import Store, StoreError
from understudy.store.checks import verify
from understudy.store.rows import Calibration, Call, StandIn
from understudy.store.stand_ins import (
    Remembered,
    add_remembered,
    calibrations,
    call_totals,
    iter_calls,
    newest_calibration,
    save_calibration,
    save_stand_in,
    stand_in,
    stand_ins,
)

SAMPLES = Path(__file__).with_name("store_samples.py")
samples: Any = SimpleNamespace(**runpy.run_path(str(SAMPLES)))
HERE = StandIn(name="app", task="moods", mode="shadow", student="runs/small", changed="2026-01-01")


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "s.db") as opened:
        samples.fill(opened)
        yield opened


def call(at: int = 0, **fields: Any) -> Call:
    return Call(**{"stand_in": "app", "at": f"2026-01-0{at + 1}T00:00:00.000+00:00", **fields})


def calibration(**fields: Any) -> Calibration:
    facts: dict[str, Any] = {
        "task": "moods",
        "student": samples.STUDENT.id,
        "teacher": samples.TEACHER.id,
        "agreement": 0.95,
        "threshold": 0.5,
        "calibrator": {"paths": ["mood"], "weights": [0.0, 1.0]},
        "rows": 300,
        "details": {"answered": 200},
        "created": "2026-01-03",
    }
    return Calibration(**{**facts, **fields})


def test_a_stand_in_is_kept_under_its_name_and_replaced(store):
    assert stand_in(store, "app") is None
    save_stand_in(store, HERE)
    assert stand_in(store, "app") == HERE
    later = HERE.model_copy(update={"mode": "cascade", "agreement": 0.97, "reason": "by hand"})
    save_stand_in(store, later)
    save_stand_in(store, HERE.model_copy(update={"name": "another"}))
    assert stand_ins(store) == [HERE.model_copy(update={"name": "another"}), later]


def test_the_newest_calibration_of_an_agreement_counts_a_refused_one_too(store):
    before = verify(store)
    first = save_calibration(store, calibration())
    second = save_calibration(store, calibration(agreement=0.99, threshold=None))
    asked = {"task": "moods", "student": samples.STUDENT.id}
    newest = newest_calibration(store, **asked)
    assert newest == calibration(agreement=0.99, threshold=None, number=second)
    assert newest_calibration(store, **asked, agreement=0.95) == calibration(number=first)
    assert newest_calibration(store, **asked, agreement=0.9) is None
    assert newest_calibration(store, task="moods", student="nobody") is None
    assert [one.number for one in calibrations(store, "moods")] == [second, first]
    assert verify(store) == before


def test_a_calibration_of_a_run_that_is_not_there_is_refused(store):
    with pytest.raises(StoreError, match="has no run nobody"):
        save_calibration(store, calibration(student="nobody"))


def test_calls_come_back_as_they_were_in_their_order_and_since_a_time(store):
    save_stand_in(store, HERE)
    whole = call(
        1,
        example=samples.IDS[0],
        answered_by="student",
        escalated=False,
        agreed=True,
        sampled=True,
        confidence=0.75,
        seconds=0.5,
        error="late",
        labels={"mood": "angry"},
        length=21,
        input_tokens=10,
        output_tokens=2,
        cost=0.25,
    )
    assert add_calls(store, [call(0), whole, *(call(2) for _ in range(250))]) == 252
    found = list(iter_calls(store, "app"))
    assert [one.number for one in found] == list(range(1, 253))
    assert found[1] == whole.model_copy(update={"number": 2})
    assert len(list(iter_calls(store, "app", since=whole.at))) == 251
    assert list(iter_calls(store, "nobody")) == []


def test_calls_of_a_stand_in_that_is_not_there_are_refused_all_of_them(store):
    save_stand_in(store, HERE)
    with pytest.raises(StoreError, match="no stand-in other; save it first"):
        add_calls(store, [call(), call(stand_in="other")])
    assert list(iter_calls(store, "app")) == []


def test_totals_are_those_of_the_calls(store):
    save_stand_in(store, HERE)
    student: dict[str, Any] = {"answered_by": "student", "confidence": 0.9}
    add_calls(
        store,
        [
            call(0, cost=1.0, input_tokens=10, output_tokens=1),
            call(1, **student),
            call(1, **student, sampled=True, agreed=True, cost=3.0),
            call(2, escalated=True, agreed=False, error="x"),
        ],
    )
    assert call_totals(store, "app") == {
        "calls": 4,
        "first": call(0).at,
        "last": call(2).at,
        "by_student": 2,
        "escalated": 1,
        "sampled": 1,
        "errors": 1,
        "compared": 2,
        "agreed": 1,
        "compared_answered": 1,
        "agreed_answered": 1,
        "cost": 4.0,
        "paid": 2,
        "input_tokens": 10,
        "output_tokens": 1,
        "counted": 1,
        "free": 1,
    }
    assert call_totals(store, "app", since=call(2).at)["calls"] == 1
    assert call_totals(store, "nobody")["calls"] == 0


def test_a_batch_is_remembered_whole_or_not_at_all(store):
    unknown = samples.record(samples.TEACHER, 0, "calm").model_copy(update={"example": "nobody"})
    rows = [Remembered(call()), Remembered(call(), None, (unknown,))]
    with pytest.raises(StoreError, match="an example that the store does not have"):
        add_remembered(store, HERE, [samples.TEACHER], rows, now="2026-02-01")
    assert stand_in(store, "app") is None
    assert store.run(samples.TEACHER.id).finished is None


def test_a_stand_in_that_is_there_keeps_its_mode_when_calls_arrive(store):
    save_stand_in(store, HERE)
    fresh = StandIn(name="app", task="moods", changed="2026-05-05")
    assert add_remembered(store, fresh, [], [Remembered(call())], now="2026-05-05") == 0
    assert stand_in(store, "app") == HERE
