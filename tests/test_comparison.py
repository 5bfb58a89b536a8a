"""How two values of an answer compare."""

from __future__ import annotations

import datetime
import unicodedata
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.chains.comparison import (
    COMPARATORS,
    date,
    default_comparator,
    exact,
    number,
    text,
    token_f1,
    unordered,
)

JSON_LEAF = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
JSON_VALUE = JSON_LEAF | st.lists(st.text(max_size=8), max_size=4)


@pytest.mark.parametrize("name", ["exact", "text", "token_f1", "date"])
@given(value=JSON_VALUE)
def test_a_value_equals_itself(name: str, value: Any) -> None:
    assert COMPARATORS[name](value, value) == 1.0


@pytest.mark.parametrize("name", ["exact", "text", "token_f1", "number", "date"])
@given(left=JSON_VALUE, right=JSON_VALUE)
def test_a_comparison_is_symmetric_and_between_0_and_1(name: str, left: Any, right: Any) -> None:
    score = COMPARATORS[name](left, right)
    assert 0.0 <= score <= 1.0
    assert score == COMPARATORS[name](right, left)


@given(st.lists(st.text(max_size=8), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_a_list_says_nothing(items: list[str], random: Any) -> None:
    shuffled = random.sample(items, len(items))
    assert unordered(items, shuffled) == 1.0


@given(st.text(max_size=30))
def test_case_and_composition_of_letters_say_nothing(value: str) -> None:
    assert text(value, unicodedata.normalize("NFD", value)) == 1.0
    assert text("Ação", value) == text("AÇÃO", value)


@pytest.mark.parametrize(
    ("compare", "expected", "found", "score"),
    [
        (exact, "Medo", "Medo", 1.0),
        (exact, "Medo", "medo", 0.0),
        (exact, None, None, 1.0),
        (exact, None, "Medo", 0.0),
        (text, " Oak   stools. ", "oak stools", 1.0),
        (text, "ação", "acao", 0.0),
        (text, None, None, 1.0),
        (text, None, "oak stools", 0.0),
        (token_f1, "ring the bell twice", "ring twice", 2 * 2 / 6),
        (token_f1, "before noon, the shop", "before noon", 2 * 2 / 6),
        (token_f1, "ring", "knock", 0.0),
        (token_f1, None, None, 1.0),
        (token_f1, None, "ring", 0.0),
        (token_f1, "ring", None, 0.0),
        (number, 2, 2.0, 1.0),
        (number, 1_000_000, 1_000_000.5, 1.0),
        (number, 2, 3, 0.0),
        (number, 1, True, 0.0),
        (number, 2, "2", 0.0),
        (number, None, None, 1.0),
        (number, None, 0, 0.0),
        (date, "2024-05-31", "2024-05-31T18:30:00Z", 1.0),
        (date, "2024-05-31", "2024-06-01", 0.0),
        (date, None, None, 1.0),
        (date, "2024-05-31", None, 0.0),
        (unordered, ["Felt pads", "key"], ["key", "felt pads."], 1.0),
        (unordered, ["a", "b"], ["a"], 2 / 3),
        (unordered, ["a", "a"], ["a"], 2 / 3),
        (unordered, [], None, 1.0),
        (unordered, [], ["a"], 0.0),
        (unordered, [{"x": 1, "y": 2}], [{"y": 2, "x": 1}], 1.0),
        (unordered, [{"x": 1, "y": 2}], [{"x": 2, "y": 1}], 0.0),
    ],
)
def test_values_compare(compare: Any, expected: Any, found: Any, score: float) -> None:
    assert compare(expected, found) == pytest.approx(score)


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (str, "text"),
        (int, "number"),
        (float, "number"),
        (bool, "exact"),
        (Literal["a", "b"], "exact"),
        (Decimal, "exact"),
        (list[str], "unordered"),
        (list, "unordered"),
        (tuple[int, ...], "unordered"),
        (frozenset[str], "unordered"),
        (datetime.date, "date"),
        (datetime.datetime, "date"),
    ],
)
def test_each_type_has_its_comparator(annotation: Any, name: str) -> None:
    assert default_comparator(annotation) == name
