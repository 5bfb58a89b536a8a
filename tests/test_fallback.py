"""A stand-in falls back by itself: when a broken promise shows in its checks, and hardly else."""

from __future__ import annotations

import copy
import logging
import random
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.call_samples import NOW, add_calls
from tests.swap_samples import Pupil, app, calibrate, mood_of, sure
from understudy.distill import swap
from understudy.distill.guarantee.detectors import Below
from understudy.distill.guarantee.promise import Promise
from understudy.distill.standin.runnable import StandIn
from understudy.distill.standin.status import status_of
from understudy.distill.standin.student import SwapError
from understudy.store import Store
from understudy.store.rows import Call, Mode
from understudy.store.rows import StandIn as Row
from understudy.store.stand_ins import replace_stand_in, save_stand_in, stand_in

ASKED, LIVES, TEXTS = 0.95, 400, 1500
BEFORE, LATER = "2026-11-24T00:00:00.000+00:00", "2026-11-25T00:00:01.000+00:00"


def life(seed: int, share: Callable[[int], float], texts: int = TEXTS) -> int | None:
    """After how many checked texts a promise of ASKED is called broken."""
    draw, promise = random.Random(seed), Promise("app", agreement=ASKED, since=NOW)
    for number in range(texts):
        promise.see(draw.random() < share(number))
        if promise.broken:
            return promise.asked
    return None


@pytest.mark.parametrize(
    "share",
    [lambda _: ASKED, lambda n: 0.99 if n % 200 < 150 else ASKED, lambda _: 0.97],
    ids=["at the bound", "above it in turns", "above it"],
)
def test_a_kept_promise_is_called_broken_in_at_most_a_twentieth_of_lives(
    share: Callable[[int], float],
) -> None:
    broken = sum(life(seed, share) is not None for seed in range(LIVES))
    assert broken <= 0.05 * LIVES


def test_a_broken_promise_is_found() -> None:
    found = [life(seed, lambda _: 0.85) for seed in range(100)]
    assert sum(texts is not None and texts <= 300 for texts in found) >= 95


def test_a_promise_broken_after_a_long_good_time_is_found_and_told_by_what_came_since() -> None:
    found = []
    for seed in range(40):
        draw, promise = random.Random(seed), Promise("app", agreement=ASKED, since=NOW)
        while promise.broken is None and promise.asked < 3000:
            promise.see(draw.random() < (0.98 if promise.asked < 2000 else 0.85))
        found.append(promise.asked)
        told = re.search(r"\((\d+) of the last (\d+) of [\d,]+ checked texts", promise.broken or "")
        assert told
        right, last = map(int, told.groups())
        assert right < ASKED * last
        assert last < 400
    assert sum(2000 < asked <= 2300 for asked in found) >= 36


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.999])
def test_two_first_misses_alone_break_no_promise(share: float) -> None:
    below = Below(share, risk=0.05)
    assert not below.see(False)
    assert not below.see(False)
    assert any(below.see(False) for _ in range(30))


def test_what_was_promised_in_all_calls_is_broken_by_one_and_nothing_by_none() -> None:
    whole, nothing = Below(1.0, risk=0.05), Below(0.0, risk=0.05)
    assert not any(whole.see(True) for _ in range(1000))
    assert whole.see(False)
    assert not any(nothing.see(False) for _ in range(1000))


@given(st.floats(0.3, 0.995), st.integers(1, 300))
def test_no_bet_against_a_promise_gains_in_the_mean(promised: float, calls: int) -> None:
    draw, below = random.Random(calls), Below(promised, risk=0.05)
    for _ in range(calls):
        below.see(draw.random() < promised)

    def worth(test: Below) -> float:
        return sum(test.worth) / len(test.worth) + test.unspent

    after = []
    for agreed in (True, False):
        after.append(copy.deepcopy(below))
        after[-1].see(agreed)
    mean = promised * worth(after[0]) + (1 - promised) * worth(after[1])
    assert mean == pytest.approx(worth(below), rel=1e-9)


@pytest.fixture
def store() -> Iterator[Store]:
    with Store(":memory:") as opened:
        for name in ("app", "web"):
            save_stand_in(opened, Row(name=name, task="t", mode="student", changed=NOW))
        yield opened


def checked(text: str | int, agreed: bool | None = False, **facts: Any) -> Call:
    known: dict[str, Any] = {"answered_by": "student", "sampled": True, "at": LATER}
    return Call(stand_in="app", example=f"{text}", agreed=agreed, **{**known, **facts})


def test_each_text_that_the_student_answered_and_the_teacher_checked_counts_once(
    store: Store,
) -> None:
    promise = Promise("app", agreement=0.9, since=NOW)
    assert promise.look(store) is None
    add_calls(store, [checked("the same") for _ in range(100)])
    add_calls(store, [checked(f"passed {n}", answered_by="teacher") for n in range(100)])
    add_calls(store, [checked(f"unchecked {n}", agreed=None) for n in range(100)])
    add_calls(store, [checked(f"before {n}", at=BEFORE) for n in range(100)])
    add_calls(store, [checked(f"web {n}").model_copy(update={"stand_in": "web"}) for n in range(9)])
    assert promise.look(store) is None
    assert promise.asked == 1
    add_calls(store, [checked(n, agreed=n < 18) for n in range(20)])
    assert promise.look(store) is None
    assert promise.asked == 21
    add_calls(store, [checked(100 + n) for n in range(20)])
    told = promise.look(store)
    assert told is not None
    assert told.startswith("bound: the student agrees in less than 0.9 (")
    late = Promise("app", agreement=0.9, since=NOW)  # another process, which looks only now
    assert late.look(store) == told == promise.look(store)


def test_a_row_is_replaced_only_while_it_is_the_one_that_was_judged(store: Store) -> None:
    before = stand_in(store, "app")
    assert before is not None
    fallen = before.model_copy(update={"mode": "record", "reason": "bound"})
    byhand = before.model_copy(update={"mode": "shadow"})
    save_stand_in(store, byhand)
    assert not replace_stand_in(store, before, fallen)
    assert stand_in(store, "app") == byhand
    assert replace_stand_in(store, byhand, fallen)
    assert stand_in(store, "app") == fallen
    elsewhere = fallen.model_copy(update={"name": "none"})
    assert not replace_stand_in(store, elsewhere, elsewhere)
    assert not replace_stand_in(store, None, fallen)
    assert replace_stand_in(store, None, elsewhere)
    assert stand_in(store, "none") == elsewhere


def wrong(text: str) -> tuple[str, float]:
    """A pupil that is sure, and wrong in every second text."""
    right = mood_of(text)
    other = "bad" if right == "good" else "good"
    return (other if text.endswith(("1", "3", "5", "7", "9")) else right), 0.99


def standing(
    path: Path, mode: Mode = "student", says: Any = wrong, **options: Any
) -> tuple[StandIn, list[str]]:
    heard: list[str] = []
    options = {"agreement": 0.9, "check": 1.0, **options}
    options.setdefault("on_alarm", heard.append)
    chain = swap(app(), store=path, student=Pupil(says), mode=mode, **options)
    return chain, heard


def asked(chain: StandIn, texts: int = 60, name: str = "row") -> list[str]:
    """So many calls; who answered each."""
    answers = [chain.invoke({"text": f"{name} {n}"}).rationale for n in range(texts)]
    assert chain.flush(20)
    return answers


def turned(chain: StandIn, mode: str, seconds: float = 4.0) -> bool:
    """Whether the running app is in the mode in time."""
    end = time.monotonic() + seconds
    while chain.mode != mode and time.monotonic() < end:
        time.sleep(0.02)
    return chain.mode == mode


@pytest.mark.parametrize("mode", ["cascade", "student"])
def test_every_process_goes_back_to_the_teacher_and_a_restart_stays_there(
    tmp_path: Path, caplog: Any, mode: Any
) -> None:
    path = tmp_path / "u.db"
    first, _ = standing(path, "record")
    calibrate(path, first, agreement=0.9, threshold=0.5)
    first.close()
    chain, heard = standing(path, mode)
    other, other_heard = standing(path, mode)
    assert asked(other, 1, "hello") == ["a pupil's"]
    assert set(asked(chain)) == {"a pupil's"}
    with caplog.at_level(logging.WARNING):
        assert turned(chain, "record")
        assert turned(other, "record")
    with Store(path) as opened:
        row = status_of(opened, "verdict").stand_in
    assert row.mode == "record"
    assert row.reason is not None
    assert row.reason.startswith("bound: the student agrees in less than 0.9")
    assert heard == other_heard == [row.reason]
    lines = [line for line in caplog.messages if "to record" in line]
    assert lines == [f"verdict goes from mode {mode} to record: {row.reason}"] * 2
    assert asked(chain, 1, "after") == ["it says after 0"]
    chain.close()
    other.close()
    again, _ = standing(path, mode)  # the code still says so
    assert again.mode == "record"
    time.sleep(1.0)  # modes are known to the second
    again.mode = mode  # somebody has looked, and says so anew: what was before is over
    asked(again, 3, "anew")
    time.sleep(1.2)
    assert again.mode == mode
    again.close()


@pytest.mark.parametrize(
    ("says", "options"),
    [
        (sure, {}),
        (wrong, {"agreement": None}),
        (wrong, {"check": 0.0}),
        (lambda text: ("odd", 0.9) if "fail" in text else sure(text), {}),
    ],
    ids=["it agrees", "nothing was asked for", "nothing is checked", "it fails"],
)
def test_a_student_stays_where_no_check_speaks_against_it(
    tmp_path: Path, says: Any, options: dict[str, Any]
) -> None:
    chain, heard = standing(tmp_path / "u.db", says=says, **options)
    asked(chain)
    assert not turned(chain, "record", 1.2)
    assert heard == []
    chain.close()


def test_one_question_asked_again_and_again_is_no_evidence(tmp_path: Path) -> None:
    chain, _ = standing(tmp_path / "u.db")
    for _ in range(80):
        chain.invoke({"text": "row 1"})
    assert chain.flush(20)
    assert not turned(chain, "record", 1.2)
    chain.close()


def test_the_teacher_answers_at_once_though_the_store_is_held_and_the_row_follows(
    tmp_path: Path,
) -> None:
    path = tmp_path / "u.db"
    chain, heard = standing(path)
    asked(chain)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    assert turned(chain, "record", 6)
    with Store(path, read_only=True) as opened:
        row = stand_in(opened, "verdict")
    held = row is not None and row.mode == "student"
    other.execute("rollback")
    other.close()
    end = time.monotonic() + 6
    while time.monotonic() < end:
        with Store(path, read_only=True) as opened:
            row = stand_in(opened, "verdict")
        if row is not None and row.mode == "record":
            break
        time.sleep(0.05)
    assert held
    assert row is not None
    assert row.mode == chain.mode == "record"
    assert heard == [row.reason]
    chain.close()


def test_another_student_under_the_same_mode_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "u.db"
    chain, _ = standing(path, "record")
    asked(chain, 1)
    chain.close()
    with Store(path) as opened:
        row = stand_in(opened, "verdict")
        assert row is not None
        told = {"mode": "student", "reason": None, "student": "older", "changed": NOW}
        save_stand_in(opened, row.model_copy(update=told))
        add_calls(
            opened,
            [checked(n).model_copy(update={"stand_in": "verdict"}) for n in range(100)],
        )
    chain, _ = standing(path, "student", says=sure)
    asked(chain, 5)
    assert not turned(chain, "record", 1.2)
    with Store(path) as opened:
        found = stand_in(opened, "verdict")
    assert found is not None
    assert found.mode == "student"
    assert str(found.student).startswith("pupil#")
    assert found.changed > NOW
    chain.close()


def test_an_old_students_misses_bring_down_no_new_one_and_only_its_own_process(
    tmp_path: Path,
) -> None:
    path = tmp_path / "u.db"
    old, old_heard = standing(path)
    asked(old, 1, "first")
    time.sleep(0.7)
    new, heard = standing(path, says=sure)
    asked(new, 5, "new")
    time.sleep(1.2)  # until the row names the new student
    asked(old)
    assert turned(old, "record")
    assert not turned(new, "record", 1.2)
    with Store(path) as opened:
        row = stand_in(opened, "verdict")
    assert row is not None
    assert (row.mode, heard, len(old_heard)) == ("student", [], 1)
    assert old.mode == "record"  # and stays there
    old.close()
    new.close()


def test_where_no_text_is_stored_every_check_counts(tmp_path: Path) -> None:
    chain, _ = standing(tmp_path / "u.db", store_text=False)
    asked(chain)
    assert turned(chain, "record")
    chain.close()


def test_a_process_that_names_no_agreement_keeps_what_was_promised(tmp_path: Path) -> None:
    path = tmp_path / "u.db"
    chain, _ = standing(path)
    asked(chain, 1)
    time.sleep(0.7)
    other = swap(app(), store=path, student=Pupil(wrong))
    asked(other, 1, "hello")
    time.sleep(1.2)
    assert agreement_of(path) == 0.9
    asked(chain)
    assert turned(chain, "record")
    chain.close()
    other.close()


def test_a_restart_that_names_neither_mode_nor_agreement_keeps_both(tmp_path: Path) -> None:
    path = tmp_path / "u.db"
    first, _ = standing(path, "record", says=sure)
    calibrate(path, first, agreement=0.9, threshold=0.5)
    asked(first, 1)
    time.sleep(0.7)
    first.close()
    for options in ({"mode": "cascade", "agreement": 0.9}, {}, {"mode": "cascade"}):
        chain = swap(app(), store=path, student=Pupil(sure), **options)
        asked(chain, 1, "again")
        time.sleep(0.7)
        assert chain.mode == "cascade"
        chain.close()
        assert agreement_of(path) == 0.9


def agreement_of(path: Path) -> float | None:
    """What the row in the store promises."""
    with Store(path, read_only=True) as opened:
        row = stand_in(opened, "verdict")
    assert row is not None
    return row.agreement


@pytest.mark.parametrize("share", [95, -1, 1.01, float("nan")])
def test_an_agreement_that_is_no_share_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(SwapError, match=f"agreement is a share from 0 to 1, not {share}"):
        swap(app(), store=tmp_path / "u.db", student=Pupil(sure), mode="student", agreement=share)


def test_a_store_that_is_put_in_anothers_place_keeps_mode_and_fallback(tmp_path: Path) -> None:
    path = tmp_path / "u.db"
    chain, heard = standing(path)
    asked(chain, 3)
    time.sleep(1.2)
    for file in tmp_path.glob("u.db*"):
        file.unlink()
    time.sleep(1.2)
    assert not path.exists()  # whoever writes the next call makes it
    assert chain.mode == "student"
    asked(chain, 5, "again")
    time.sleep(1.2)
    assert agreement_of(path) == 0.9
    assert set(asked(chain)) == {"a pupil's"}
    assert turned(chain, "record")
    assert len(heard) == 1
    with Store(path) as opened:
        row = stand_in(opened, "verdict")
        assert row is not None
        assert row.mode == "record"
        told = {"mode": "shadow", "reason": None, "changed": NOW}
        save_stand_in(opened, row.model_copy(update=told))
    assert turned(chain, "shadow")
    chain.close()


def test_what_a_new_store_says_of_the_mode_by_command_is_taken_up(tmp_path: Path) -> None:
    path, other = tmp_path / "u.db", tmp_path / "other.db"
    chain, _ = standing(path, says=sure)
    asked(chain, 1)
    time.sleep(0.7)
    with Store(other) as opened:
        save_stand_in(opened, Row(name="verdict", task="verdict", mode="shadow", changed=NOW))
    for file in tmp_path.glob("u.db-*"):
        file.unlink()
    other.replace(path)
    assert turned(chain, "shadow")
    assert chain.invoke({"text": "one"}).rationale == "it says one"
    chain.close()


def test_a_mode_that_is_written_late_undoes_no_rollback_that_came_after_it(tmp_path: Path) -> None:
    path = tmp_path / "u.db"
    chain, heard = standing(path, "record", says=sure)
    asked(chain, 1)
    time.sleep(0.7)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    chain.mode = "student"  # here at once, and in the store later
    assert chain.invoke({"text": "one"}).rationale == "a pupil's"
    other.execute(
        "update stand_ins set mode = 'record', reason = 'bound: it fell', changed = ?", [NOW]
    )
    other.execute("commit")
    other.close()
    assert turned(chain, "record")
    time.sleep(1.2)
    with Store(path) as opened:
        row = stand_in(opened, "verdict")
    assert row is not None
    assert (chain.mode, row.mode, row.reason) == ("record", "record", "bound: it fell")
    assert heard == ["bound: it fell"]
    chain.close()


def test_a_closed_stand_in_goes_on_as_the_chain_and_the_store_keeps_its_mode(
    tmp_path: Path,
) -> None:
    path = tmp_path / "u.db"
    old, _ = standing(path, says=sure)
    assert asked(old, 1) == ["a pupil's"]
    new = swap(old, store=path, student=Pupil(sure), mode="student", agreement=0.9)
    assert old.invoke({"text": "row 1"}).rationale == "it says row 1"
    assert asked(new, 1) == ["a pupil's"]
    new.close()
    assert (new.mode, new.invoke({"text": "row 2"}).rationale) == ("record", "it says row 2")
    with pytest.raises(SwapError, match="verdict is closed"):
        old.mode = "record"
    with Store(path) as opened:
        row = stand_in(opened, "verdict")
    assert row is not None
    assert row.mode == "student"


def test_an_alarm_that_ends_its_thread_or_takes_long_stops_no_mode(tmp_path: Path) -> None:
    path = tmp_path / "u.db"
    held = threading.Event()

    def alarm(reason: str) -> None:
        held.wait(20)
        raise SystemExit(reason)

    chain, _ = standing(path, on_alarm=alarm)
    asked(chain)
    assert turned(chain, "record")
    time.sleep(1.1)  # the calls of the second in which a mode is set still count
    start = time.monotonic()
    chain.mode = "student"
    assert time.monotonic() - start < 2
    held.set()
    time.sleep(0.7)
    with Store(path) as opened:
        row = stand_in(opened, "verdict")
        assert row is not None
        assert row.mode == "student"
        told = {"mode": "shadow", "reason": None, "changed": NOW}
        save_stand_in(opened, row.model_copy(update=told))
    assert turned(chain, "shadow")
    chain.close()
