"""Rows chosen by rule: each rule keeps what it says, and what it leaves out is counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.chains import Task
from understudy.distill.training.dataset import training_rows
from understudy.distill.training.faults import TrainingError
from understudy.distill.training.selection import Selection, drawn, explained, selected, sureness
from understudy.store import Example, Record, example_id

MEDO, NEUTRO = {"mood": "Medo", "urgent": True}, {"mood": "Neutro", "urgent": True}


def pair(sentence: str, *, group: str | None = None, gold: Any = None, **fields: Any) -> Any:
    inputs = {"sentence": sentence}
    example = Example(
        id=example_id(inputs), task="tiny", split="train", inputs=inputs, group=group, gold=gold
    )
    fields = {"answer": MEDO, "reasoning": "treme", **fields}
    return example, Record(run="r", example=example.id, created="now", **fields)


def kept(task: Task, pairs: Any, **rules: Any) -> tuple[list[str], dict[str, int]]:
    found, left_out = selected(task, pairs, Selection(**rules), length=lambda e, r: len(e.id))
    return [example.inputs["sentence"] for example, _ in found], left_out


def test_by_default_every_row_is_kept(tiny_task):
    pairs = [pair("a"), pair("A"), pair("b", reasoning="é Neutro")]
    assert kept(tiny_task, pairs) == (["a", "A", "b"], {})
    assert Selection().facts() == {}
    assert Selection(confidence=0.5).facts() == {"confidence": 0.5}


def test_rows_that_disagree_with_the_gold_are_left_out(tiny_task):
    pairs = [
        pair("a", gold=MEDO),
        pair("b", gold=NEUTRO),
        pair("c"),
        pair("d", gold={"mood": "Medo"}),
    ]
    assert kept(tiny_task, pairs, agreeing="gold") == (
        ["a", "d"],
        {"it disagrees with the gold": 1, "no gold to agree with": 1},
    )


def test_rows_that_disagree_with_the_vote_are_left_out(tiny_task):
    pairs = [
        pair("a", votes={"mood": {'"Medo"': 3, '"Neutro"': 2}, "urgent": {"true": 5}}),
        pair("b", votes={"mood": {'"Medo"': 2, '"Neutro"': 3}, "urgent": {"true": 5}}),
        pair("c"),
    ]
    assert kept(tiny_task, pairs, agreeing="vote") == (
        ["a"],
        {"it disagrees with the vote": 1, "no votes to agree with": 1},
    )
    assert sureness(pairs[0][1]) == 0.6
    assert kept(tiny_task, pairs[:1], agreeing="vote", confidence=0.7) == (
        [],
        {"confidence below 0.7": 1},
    )


def test_rows_less_confident_than_wanted_are_left_out(tiny_task):
    pairs = [
        pair("a", confidence={"mood": 0.9, "urgent": 0.8}),
        pair("b", confidence={"mood": 0.9, "urgent": 0.5}),
        pair("c"),
    ]
    assert kept(tiny_task, pairs, confidence=0.8) == (
        ["a"],
        {"confidence below 0.8": 1, "its confidence is not known": 1},
    )


def test_of_rows_that_differ_in_how_they_are_typed_the_first_is_kept(tiny_task):
    pairs = [pair("Tudo bem"), pair("tudo  bem"), pair("outra")]
    assert kept(tiny_task, pairs, unduplicated=True) == (
        ["Tudo bem", "outra"],
        {"it repeats an earlier row": 1},
    )


def test_a_reasoning_that_names_another_label_is_left_out(tiny_task):
    pairs = [pair("a", reasoning="é Neutro"), pair("b", reasoning="dá Medo"), pair("c")]
    assert kept(tiny_task, pairs, consistent=True) == (
        ["b", "c"],
        {"the reasoning names another label": 1},
    )


def test_rows_over_the_budget_of_tokens_are_left_out(tiny_task):
    assert kept(tiny_task, [pair("a")], longest=15) == ([], {"longer than 15 tokens": 1})
    assert kept(tiny_task, [pair("a")], longest=16) == (["a"], {})


def test_a_source_gives_no_more_rows_than_its_cap_and_rows_without_one_stay(tiny_task):
    pairs = [pair(f"{name}{i}", group=name or None) for name in ("x", "y", "") for i in range(4)]
    found, left_out = kept(tiny_task, pairs, per_source=2)
    assert sorted(one[:1] for one in found) == sorted(["x", "x", "y", "y", "0", "1", "2", "3"])
    assert left_out == {"more than 2 rows of its source": 4}


def test_balanced_rows_show_every_class_as_often_as_the_rarest(tiny_task):
    pairs = [pair(str(i), answer=MEDO if i < 7 else NEUTRO) for i in range(10)]
    found, left_out = kept(tiny_task, pairs, balanced="mood")
    assert len([one for one in found if int(one) < 7]) == 3
    assert {"7", "8", "9"} <= set(found)
    assert found == sorted(found)
    assert left_out == {"more rows of its class than of the rarest, by mood": 4}
    with pytest.raises(TrainingError, match="no label humor to balance; it has mood"):
        kept(tiny_task, pairs, balanced="humor")


@given(st.sets(st.text(min_size=1), max_size=30), st.floats(0, 1), st.integers(0, 3))
def test_the_share_is_met_to_the_row_and_a_larger_one_holds_the_smaller(examples, share, seed):
    some = explained(sorted(examples), Selection(rationale_share=share, seed=seed))
    assert len(some) == round(share * len(examples))
    assert some == explained(sorted(examples)[::-1], Selection(rationale_share=share, seed=seed))
    assert some <= explained(sorted(examples), Selection(rationale_share=1.0, seed=seed))
    more = explained(sorted(examples), Selection(rationale_share=(1 + share) / 2, seed=seed))
    assert some <= more


def test_fewer_rows_are_drawn_from_all_and_are_among_more(tiny_task):
    """In a store sorted by class the first rows would all be of one class."""
    pairs = [pair(f"row {number}") for number in range(100)]
    few, left_out = kept(tiny_task, pairs, most=10)
    more, _ = kept(tiny_task, pairs, most=30)
    assert (len(few), len(more)) == (10, 30)
    assert set(few) < set(more)
    assert few != [f"row {number}" for number in range(10)]
    assert left_out == {"more than the 10 rows asked for": 90}
    assert kept(tiny_task, pairs, most=1000)[0] == [e.inputs["sentence"] for e, _ in pairs]


def test_another_seed_draws_another_order():
    assert drawn("a", 0) == drawn("a", 0) != drawn("a", 1)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"confidence": 1.5}, "confidence is 1.5: it must be from 0 to 1"),
        ({"rationale_share": -0.1}, "rationale_share is -0.1: it must be from 0 to 1"),
        ({"longest": 0}, "longest is 0: give at least 1"),
        ({"per_source": 0}, "per_source is 0: give at least 1"),
        ({"agreeing": "me"}, "agree with gold or vote, not with me"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule, message):
    with pytest.raises(TrainingError, match=message):
        Selection(**rule)


def test_what_cannot_teach_is_counted_before_what_is_not_chosen(tiny_task):
    pairs = [pair("a", answer=None, error="timeout"), pair("b"), pair("B")]
    found = training_rows(tiny_task, pairs, target="label", selection=Selection(unduplicated=True))
    assert [row.example for row in found.rows] == [pairs[1][0].id]
    assert found.left_out == {"the teacher failed": 1, "it repeats an earlier row": 1}
