"""Full text: what is found, in which order, and that nobody's text breaks the question."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example as with_example
from hypothesis import given
from hypothesis import strategies as st

from understudy.store import Example, Store, StoreError, example_id
from understudy.store.search import MOST_WORDS, match_expressions, search, statement_for

SAMPLES = Path(__file__).with_name("store_samples.py")
samples: Any = SimpleNamespace(**runpy.run_path(str(SAMPLES)))


@pytest.fixture(scope="module")
def store():
    with Store(":memory:") as opened:
        samples.fill(opened)
        yield opened


def places(store: Store, text: str, **options: Any) -> list[tuple[str, str, int | None]]:
    return [(one.where, one.example, one.number) for one in search(store, text, **options)]


def test_inputs_and_reasonings_are_found_without_case_and_accents(store):
    assert places(store, "CIDADE") == [("inputs", samples.IDS[1], None)]
    assert places(store, "praca") == [("reasoning", samples.IDS[1], 2)]
    assert set(places(store, "pao")) == {
        ("inputs", samples.IDS[0], None),
        ("reasoning", samples.IDS[0], 1),
    }


def test_a_finding_says_where_it_stands_and_shows_the_words(store):
    (found,) = search(store, "festa praça")
    assert found.run == samples.TEACHER.id
    assert (found.task, found.split, found.number) == ("moods", "train", 2)
    assert found.snippet == "Houve [festa] na [praça]."
    assert found.score < 0


def test_every_word_must_be_there(store):
    assert places(store, "pão cidade") == []
    assert places(store, "pão caro") == [("reasoning", samples.IDS[0], 1)]


def test_a_star_stands_for_the_rest_of_a_word(store):
    assert places(store, "fest") == []
    assert {place[2] for place in places(store, "fest*")} == {None, 2}


def test_the_better_match_comes_first_and_the_limit_holds():
    with Store(":memory:") as store:
        texts = ["chuva " + "outra coisa " * 20, "chuva chuva", "sol " * 5]
        rows = [
            Example(id=example_id({"x": text}), task="t", split="s", inputs={"x": text})
            for text in texts
        ]
        store.add_examples(rows)
        ranked = [place[1] for place in places(store, "chuva")]
        assert ranked == [rows[1].id, rows[0].id]
        assert [place[1] for place in places(store, "chuva", limit=1)] == [rows[1].id]


def test_one_task_can_be_asked_alone(store):
    assert places(store, "cidade", task="moods") == [("inputs", samples.IDS[1], None)]
    assert places(store, "cidade", task="another") == []
    assert places(store, "praça", task="another") == []


def test_text_that_is_replaced_is_found_as_it_is_now():
    with Store(":memory:") as store:
        samples.fill(store)
        store.add_record(samples.record(samples.TEACHER, 2, "calm", reasoning="Nuvens cinzentas"))
        assert places(store, "nuvens") == [("reasoning", samples.IDS[2], 3)]
        with store.connection.writing() as connection:
            connection.execute("update records set reasoning = 'Relâmpagos' where number = 3")
        assert places(store, "nuvens") == []
        assert places(store, "relampagos") == [("reasoning", samples.IDS[2], 3)]


@pytest.mark.parametrize("text", ["", "   ", "--", '"', "*", "()", "\0", "🙂 ^ :"])
def test_a_question_without_a_word_is_one_clear_line(store, text):
    with pytest.raises(StoreError, match="no word to search for"):
        search(store, text)


def test_too_many_words_are_one_clear_line(store):
    assert search(store, "palavra " * MOST_WORDS) == []
    with pytest.raises(StoreError, match="65 words are too many"):
        search(store, "palavra " * (MOST_WORDS + 1))


@given(st.text(max_size=40))
@with_example('a" OR text:"b')
@with_example("NEAR(a b, 5)")
@with_example("a AND NOT b")
@with_example("-text : a")
@with_example('a\0"b')
@with_example("a**")
@with_example("^a + b")
@with_example("half \ud800 pair")
def test_no_text_breaks_the_question(text):
    with Store(":memory:") as store:
        samples.fill(store)
        if any(map(str.isalnum, text)):
            assert all(one.snippet for one in search(store, text))
        else:
            with pytest.raises(StoreError, match="no word to search for"):
                search(store, text)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
def test_a_text_is_found_by_itself(text):
    try:
        match_expressions(text)
    except StoreError:
        return
    with Store(":memory:") as store:
        ident = example_id({"x": text})
        store.add_examples([Example(id=ident, task="t", split="s", inputs={"x": text})])
        words = [row["term"] for row in _vocabulary(store)]
        if words:
            assert [one.example for one in search(store, " ".join(words))] == [ident]


def _vocabulary(store: Store) -> list[Any]:
    with store.connection.writing() as connection:
        connection.execute(
            "create virtual table temp.vocabulary using fts5vocab(main, examples_fts, row)"
        )
    return store.connection.read("select term from temp.vocabulary limit 5")


@pytest.mark.parametrize("where", ["inputs", "reasoning"])
@pytest.mark.parametrize(("rank", "narrow"), [(True, False), (True, True), (False, False)])
def test_every_question_goes_through_the_full_text_and_sorts_nothing(store, where, rank, narrow):
    statement = statement_for(where, rank=rank, narrow=narrow)
    values = {"asked": '"a"', "all": '"a" "b"', "task": None, "limit": 1}
    plan = store.connection.read(f"explain query plan {statement}", **values)
    steps = [row["detail"] for row in plan]
    scans = {step.split(" VIRTUAL TABLE INDEX ")[0] for step in steps if "SCAN" in step}
    assert scans <= {"SCAN f", "SCAN examples_fts", "SCAN records_fts"}
    assert "USE TEMP B-TREE FOR ORDER BY" not in steps


def test_words_that_very_many_texts_hold_do_not_rank(monkeypatch):
    monkeypatch.setattr("understudy.store.search.RANKED", 3)
    with Store(":memory:") as store:
        texts = ["o sol", "o sol nasce sol", "o dia", "o mar", "o sol e o mar de sol e sol"]
        rows = [
            Example(id=example_id({"x": text}), task="t", split="s", inputs={"x": text})
            for text in texts
        ]
        store.add_examples(rows)
        newest_first = [rows[place].id for place in (4, 3, 2, 1, 0)]
        assert [one.example for one in search(store, "o")] == newest_first
        assert {one.score for one in search(store, "o")} == {0.0}
        assert [one.example for one in search(store, "o", limit=2)] == newest_first[:2]
        both = search(store, "o mar")
        assert {one.example for one in both} == {rows[3].id, rows[4].id}
        assert all(one.score < 0 for one in both)
        alone = search(store, "mar")
        assert [one.example for one in both] == [one.example for one in alone]
        assert search(store, "o nada") == []


def test_hostile_text_comes_back_as_it_is(store):
    (found, other) = sorted(search(store, "alert"), key=lambda one: one.where)
    assert found.example == other.example == samples.IDS[3]
    assert found.snippet.startswith("<script>[alert]('x')</script>")
