"""Findings and filters: what is remembered, what is replaced, and that all of it can be undone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.store import Example, Run, Store, StoreError
from understudy.store.flags import (
    clear_flags,
    filtered,
    filters,
    flag_counts,
    flags,
    set_filter,
    set_flags,
)
from understudy.store.rows import Flag

NAMES = "abcdef"


def filled() -> Store:
    store = Store(":memory:")
    for task in ("t", "other"):
        store.add_examples(
            Example(id=name, task=task, split="train", inputs={"x": name}) for name in NAMES
        )
    facts: dict[str, Any] = dict.fromkeys(
        ("model", "strategy", "target", "words", "answers"), "same"
    )
    store.start_run(Run(id="r", name="r", task="t", role="teacher", started="2026", **facts))
    return store


@pytest.fixture
def store():
    with filled() as opened:
        yield opened


def flag(name: str, rule: str = "odd", **fields: object) -> Flag:
    return Flag.model_validate({"example": name, "rule": rule, **fields})


def test_findings_come_back_with_their_run_and_the_highest_score_first(store):
    found = [flag("a", score=0.2), flag("b", run="r", score=0.9, detail={"ç": ["<b>", None]})]
    assert set_flags(store, "t", "odd", found) == 2
    assert flags(store, "t") == found[::-1]
    assert flags(store, "t", "even") == flags(store, "other") == []


def test_a_rule_that_looks_again_replaces_its_own_findings_in_its_task_only(store):
    set_flags(store, "t", "odd", [flag("a"), flag("b")])
    set_flags(store, "t", "even", [flag("c", "even")])
    set_flags(store, "other", "odd", [flag("a")])
    set_flags(store, "t", "odd", [flag("d")])
    assert flag_counts(store, "t") == {"even": 1, "odd": 1}
    assert flags(store, "t", "odd") == [flag("d")]
    assert flag_counts(store, "other") == {"odd": 1}


@pytest.mark.parametrize("wrong", [{"example": "zz"}, {"example": "b", "run": "none"}])
def test_a_finding_that_cannot_be_stored_leaves_the_earlier_ones(store, wrong):
    set_flags(store, "t", "odd", [flag("a")])
    with pytest.raises(StoreError, match=r"zz|none"):
        set_flags(store, "t", "odd", [flag("c"), Flag(rule="odd", **wrong)])
    assert flags(store, "t") == [flag("a")]


def test_forgetting_a_rules_findings_says_how_many(store):
    set_flags(store, "t", "odd", [flag("a"), flag("b")])
    set_flags(store, "t", "even", [flag("a", "even")])
    assert clear_flags(store, "t", "odd") == 2
    assert clear_flags(store, "t", "odd") == 0
    assert flag_counts(store, "t") == {"even": 1}


def test_only_active_filters_leave_rows_out_and_turning_them_off_brings_the_rows_back(store):
    set_flags(store, "t", "odd", [flag("a"), flag("b")])
    set_flags(store, "t", "even", [flag("b", "even"), flag("c", "even")])
    assert filtered(store, "t") == {}
    set_filter(store, "t", "odd", True)
    set_filter(store, "t", "odd", True)
    set_filter(store, "t", "even", True)
    assert filters(store, "t") == ["even", "odd"]
    assert filtered(store, "t") == {"a": "odd", "b": "even", "c": "even"}
    assert filtered(store, "t", but={"even"}) == {"a": "odd", "b": "odd"}
    assert filtered(store, "other") == {}
    set_filter(store, "t", "odd", False)
    set_filter(store, "t", "even", False)
    assert filters(store, "t") == []
    assert filtered(store, "t") == {}
    assert flag_counts(store, "t") == {"even": 2, "odd": 2}


RULE = st.sampled_from(["odd", "even"])
STEP = st.one_of(
    st.tuples(st.just("set"), RULE, st.frozensets(st.sampled_from(NAMES))),
    st.tuples(st.just("clear"), RULE),
    st.tuples(st.just("filter"), RULE, st.booleans()),
)


@given(st.lists(STEP, max_size=12))
def test_whatever_is_done_the_filtered_rows_are_those_that_active_rules_flag(steps):
    found: dict[str, frozenset[str]] = {}
    active: set[str] = set()
    with filled() as store:
        for step in steps:
            match step:
                case ("set", rule, names):
                    set_flags(store, "t", rule, [flag(name, rule) for name in sorted(names)])
                    found[rule] = names
                case ("clear", rule):
                    clear_flags(store, "t", rule)
                    found[rule] = frozenset()
                case ("filter", rule, on):
                    set_filter(store, "t", rule, on)
                    active = active | {rule} if on else active - {rule}
        out = {
            name: rule for rule in ("odd", "even") for name in found.get(rule, ()) if rule in active
        }
        assert filtered(store, "t") == out
        assert len(store.examples("t")) == len(NAMES)
