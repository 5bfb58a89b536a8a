"""Reviews in the store: gold and the word on it are one, undo gives back, nothing is doubled."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.store import Example, Record, Run, Store, StoreError
from understudy.store.reviews import (
    add_if_open,
    add_review,
    answered_example,
    closed_examples,
    closing_review,
    corrections,
    newest_review,
    reviews,
    undo_review,
)
from understudy.store.rows import Review


def example(name: str, **fields: Any) -> Example:
    return Example(**{"id": name, "task": "t", "split": "train", "inputs": {"x": name}, **fields})


def review(name: str = "a", **fields: Any) -> Review:
    facts: dict[str, Any] = {
        "example": name,
        "verdict": "correct",
        "reviewer": "Ana",
        "answer": {"x": "é"},
    }
    return Review(**{**facts, "created": "2026-01-01T00:00:00+00:00", **fields})


def run(name: str = "r", **fields: Any) -> Run:
    facts: dict[str, Any] = dict.fromkeys(
        ("model", "strategy", "target", "words", "answers"), "same"
    )
    known = {"id": name, "name": name, "task": "t", "role": "teacher", "started": "2026-01-01"}
    return Run(**{**known, **facts, **fields})


@pytest.fixture
def store():
    with Store(":memory:") as opened:
        opened.add_examples([example("a"), example("b", gold={"x": "old"}), example("c")])
        opened.add_examples([example("a", task="other")])
        opened.start_run(run())
        yield opened


def undone(store: Store, number: int | None = None) -> Review:
    review = undo_review(store, "t", "Ana", number)
    assert review is not None
    return review


def golds(store: Store, task: str = "t") -> dict[str, tuple[Any, str | None]]:
    return {one.id: (one.gold, one.gold_by) for one in store.examples(task)}


def test_a_correction_is_gold_with_the_reviewers_name_and_a_skip_is_not(store):
    first = add_review(store, "t", review("a", run="r", reasoning="why"))
    second = add_review(store, "t", review("b", verdict="accept", reviewer="Rui"))
    third = add_review(store, "t", review("c", verdict="skip", answer=None))
    assert golds(store) == {
        "a": ({"x": "é"}, "Ana"),
        "b": ({"x": "é"}, "Rui"),
        "c": (None, None),
    }
    assert golds(store, "other") == {"a": (None, None)}
    assert [first.id, second.id, third.id] == [1, 2, 3]
    assert reviews(store, "t") == [first, second, third]
    assert reviews(store, "other") == []
    assert corrections(store, "t") == {"a": first, "b": second}
    assert newest_review(store) == 3


def test_undo_takes_back_the_reviewers_newest_and_gives_back_the_gold_before(store):
    add_review(store, "t", review("a"))
    mine = add_review(store, "t", review("b"))
    add_review(store, "t", review("c", reviewer="Rui"))
    back = undone(store)
    assert back.undone is not None
    assert back == mine.model_copy(update={"undone": back.undone})
    assert golds(store)["b"] == ({"x": "old"}, None)
    assert golds(store)["c"] == ({"x": "é"}, "Rui")
    assert undone(store).example == "a"
    assert undo_review(store, "t", "Ana") is None
    assert undo_review(store, "other", "Rui") is None
    assert list(corrections(store, "t")) == ["c"]
    assert [one.undone is None for one in reviews(store, "t")] == [False, False, True]


def test_undo_of_one_by_its_id_only_where_it_is_the_reviewers_own_and_stands(store):
    first = add_review(store, "t", review("a"))
    add_review(store, "t", review("b"))
    assert undo_review(store, "t", "Rui", first.id) is None
    assert undo_review(store, "t", "Ana", 99) is None
    assert undone(store, first.id).id == first.id
    assert undo_review(store, "t", "Ana", first.id) is None
    assert golds(store)["a"] == (None, None)
    assert golds(store)["b"] == ({"x": "é"}, "Ana")


def test_a_gold_that_somebody_else_set_since_stays(store):
    add_review(store, "t", review("b", answer={"x": "1"}))
    with store.connection.writing() as connection:
        connection.execute("update examples set gold = '{\"x\":\"2\"}', gold_by = 'Eva'")
    assert undo_review(store, "t", "Ana") is not None
    assert golds(store)["b"] == ({"x": "2"}, "Eva")


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["Ana", "Rui"])), max_size=12))
def test_whatever_is_undone_in_whatever_order_the_gold_is_the_newest_that_stands(steps):
    with Store(":memory:") as store:
        store.add_examples([example("b", gold={"x": "old"})])
        added: list[Review] = []
        for number, name in steps:
            if number == 0 or not added:
                answer = {"x": str(len(added))}
                added.append(add_review(store, "t", review("b", reviewer=name, answer=answer)))
            else:
                one = added[(number - 1) % len(added)]
                undo_review(store, "t", one.reviewer, one.id)
            standing = corrections(store, "t").get("b")
            expected = (standing.answer, standing.reviewer) if standing else ({"x": "old"}, None)
            assert golds(store)["b"] == expected
        for one in reviews(store, "t"):
            undo_review(store, "t", one.reviewer, one.id)
        assert golds(store)["b"] == ({"x": "old"}, None)


def test_what_was_decided_is_not_decided_twice(store):
    first, mine = add_if_open(store, "t", review("a"))
    assert mine
    assert add_if_open(store, "t", review("a", reviewer="Rui", answer={"x": "2"})) == (first, False)
    assert add_if_open(store, "t", review("a", verdict="skip", answer=None)) == (first, False)
    assert golds(store)["a"] == ({"x": "é"}, "Ana")
    undo_review(store, "t", "Ana")
    assert add_if_open(store, "t", review("a", reviewer="Rui", answer={"x": "2"}))[1]


def test_a_skip_closes_a_row_for_its_reviewer_and_this_sitting_only(store):
    skip = review("a", verdict="skip", answer=None)
    first, _ = add_if_open(store, "t", skip)
    assert add_if_open(store, "t", skip) == (first, False)
    assert closed_examples(store, "t", "Ana") == {"a"}
    assert closing_review(store, "t", "a", "Ana") == first
    assert closed_examples(store, "t", "Ana", skips_after=1) == set()
    assert closing_review(store, "t", "a", "Ana", skips_after=1) is None
    assert closed_examples(store, "t", "Rui") == set()
    assert add_if_open(store, "t", skip, skips_after=1)[1]
    assert add_if_open(store, "t", review("a"))[1]
    assert closed_examples(store, "t", "Rui") == {"a"}
    assert closed_examples(store, "t", "Rui", after=3) == set()


def test_of_many_at_once_one_decides(tmp_path):
    with Store(tmp_path / "s.db") as one, Store(tmp_path / "s.db") as other:
        one.add_examples([example(str(n)) for n in range(20)])
        won: list[bool] = []

        def decide(store: Store, name: str) -> None:
            for n in range(20):
                added = review(str(n), reviewer=name, answer={"x": name})
                won.append(add_if_open(store, "t", added)[1])

        threads = [
            threading.Thread(target=decide, args=(store, f"{at}"))
            for at, store in enumerate((one, one, other, other))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), sum(won)) == (80, 20)
        assert len(reviews(one, "t")) == 20
        assert all(gold == {"x": by} for gold, by in golds(one).values())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (review("nobody"), "has no example nobody of task t"),
        (review("a", run="no"), "has no run no of task t"),
        (review("a", answer=None), "says correct needs an answer"),
        (review("a", answer={"x": "\ud800"}), "a row is no valid data"),
        (review("a", reasoning="\ud800"), "a row is no valid data"),
    ],
)
def test_a_review_that_cannot_be_kept_is_one_line_and_leaves_nothing(store, wrong, words):
    with pytest.raises(StoreError, match=words):
        add_review(store, "t", wrong)
    assert reviews(store, "t") == []
    assert golds(store)["a"] == (None, None)


def test_an_example_comes_with_what_each_run_answered_newest_first(store):
    store.start_run(run("late", started="2026-02-02"))
    kept = [
        Record(run="r", example="a", answer={"x": "1"}, created="2026-01-01"),
        Record(run="late", example="a", error="no", created="2026-02-02"),
    ]
    for record in (*kept, Record(run="r", example="b", answer={"x": "2"}, created="2026")):
        store.add_record(record)
    answers = [(store.run("late"), kept[1]), (store.run("r"), kept[0])]
    assert answered_example(store, "t", "a") == (example("a"), answers)
    assert answered_example(store, "t", "c") == (example("c"), [])
    assert answered_example(store, "t", "none") is None


def test_the_reads_of_one_row_use_an_index(store):
    plans: list[str] = []
    connection: sqlite3.Connection = store.connection._connection
    connection.set_trace_callback(plans.append)
    answered_example(store, "t", "a")
    closing_review(store, "t", "a", "Ana")
    closed_examples(store, "t", "Ana", after=2)
    connection.set_trace_callback(None)
    selects = [text for text in plans if text.startswith("select")]
    assert len(selects) == 4
    for text in selects:
        for step in connection.execute(f"explain query plan {text}"):
            assert not step["detail"].startswith("SCAN"), (text, step["detail"])
