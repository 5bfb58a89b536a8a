"""The review: what a row shows, what a decision saves, and windows beside each other."""

from __future__ import annotations

import json
import runpy
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.chains.task import TaskError
from understudy.distill.reviewing.desk import Decision, Desk
from understudy.distill.reviewing.rows import decided_answer, shown_row
from understudy.distill.reviewing.server import serve_review
from understudy.distill.training.dataset import lesson_rows
from understudy.store import Example, Record, Store
from understudy.store.reviews import reviews

SAMPLES = Path(__file__).with_name("review_samples.py")
samples: Any = SimpleNamespace(**runpy.run_path(str(SAMPLES)))
ANSWER, TASK, Client = samples.ANSWER, samples.TASK, samples.Client
filled, run = samples.filled, samples.run
store, serve, client = samples.store, samples.serve, samples.client


def test_a_row_comes_with_its_reasons_who_said_what_and_the_schemas_own_choices(client):
    answer = client.get()
    row = answer["row"]
    assert answer["progress"] == {"done": 0, "total": 3}
    assert (row["example"], row["reasons"], row["proposed_by"]) == ("a", ["why a"], "teacher")
    assert row["inputs"] == [{"name": "text", "text": "row abc a"}]
    fields = {field["path"]: field for field in row["fields"]}
    assert list(fields) == list(TASK.paths)
    assert fields["mood"]["choices"] == [
        {"value": "good", "text": "good", "said_by": ["teacher", "3 of 5 votes"]},
        {"value": "bad", "text": "bad", "said_by": ["student 83%", "2 of 5 votes"]},
        {"value": "neutral", "text": "neutral", "said_by": []},
    ]
    assert [one["text"] for one in fields["sure"]["choices"]] == ["true", "false"]
    assert [one["text"] for one in fields["part.kind"]["choices"]] == ["red", "blue", "none"]
    assert (fields["count"]["text"], fields["count"]["says"]) == ("2", [["student", "3"]])
    assert (fields["tags"]["text"], fields["note"]["text"]) == ('["a"]', "")
    assert (row["reasons_asked"], row["reasoning"]) == (True, "because")


def test_accepted_is_gold_by_the_reviewer_and_the_queue_goes_on(client, store):
    reply = client.decide(client.get()["row"])
    assert (reply["saved"], reply["note"], reply["row"]["example"]) == (1, "Accepted.", "b")
    assert reply["progress"] == {"done": 1, "total": 3}
    first = store.examples("t")[0]
    assert (first.gold, first.gold_by) == (ANSWER, "Ana")
    (kept,) = reviews(store, "t")
    assert (kept.verdict, kept.run, kept.reasoning) == ("accept", "teacher", "because")


def test_corrected_fields_and_reasoning_are_kept_as_the_schema_types_them(client, store):
    changes = {
        "mood": "neutral",
        "sure": False,
        "name": "5",
        "note": "x",
        "count": "7",
        "ratio": "2.5",
        "tags": '["b", "c"]',
        "part.kind": None,
        "part.size": "3",
    }
    reply = client.decide(client.get()["row"], "correct", changes=changes, reasoning="new")
    assert reply["note"] == "Corrected."
    assert store.examples("t")[0].gold == {
        "mood": "neutral",
        "sure": False,
        "name": "5",
        "note": "x",
        "count": 7,
        "ratio": 2.5,
        "tags": ["b", "c"],
        "part": {"kind": None, "size": 3},
    }
    (kept,) = reviews(store, "t")
    assert (kept.verdict, kept.reasoning) == ("correct", "new")


def test_a_corrected_label_does_not_teach_the_reasoning_of_the_old_one(client, store):
    change: dict[str, Any] = {"changes": {"mood": "bad"}}
    reply = client.decide(client.get()["row"], "correct", **change)
    reply = client.decide(reply["row"], "correct", **change, reasoning="because")
    client.decide(reply["row"])
    assert [(r.verdict, r.reasoning) for r in reviews(store, "t")] == [
        ("correct", None),
        ("correct", "because"),
        ("accept", "because"),
    ]
    taught = lesson_rows(TASK, store, "teacher", split="train", target="reason_label")
    assert [(row.example, row.answer["mood"]) for row in taught.rows] == [
        ("b", "bad"),
        ("c", "good"),
    ]
    assert taught.left_out == {"no reasoning": 1}


def test_a_decision_taken_back_shows_the_reasoning_that_it_had_left_alone(client, store):
    row = client.get()["row"]
    client.decide(row, "skip")
    assert client.post("/api/undo", {})["row"]["draft_reasoning"] is None
    client.decide(row, "correct", changes={"mood": "bad"})
    assert client.post("/api/undo", {})["row"]["draft_reasoning"] is None
    client.decide(row, "correct", reasoning="")
    assert client.post("/api/undo", {})["row"]["draft_reasoning"] == ""


def test_an_edited_reasoning_alone_is_a_correction_and_no_edit_at_all_is_none(client, store):
    row = client.get()["row"]
    reply = client.decide(row, "correct", reasoning="better")
    client.decide(reply["row"], "correct", changes={"mood": "good"})
    one, other = reviews(store, "t")
    assert (one.verdict, one.answer, one.reasoning) == ("correct", ANSWER, "better")
    assert (other.verdict, other.answer, other.reasoning) == ("accept", ANSWER, "because")


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"changes": {"mood": "great"}}, "mood: Input should be 'good', 'bad' or 'neutral'"),
        ({"changes": {"count": "many"}}, "count: Input should be a valid integer"),
        ({"changes": {"count": "-1"}}, "count: Input should be greater than or equal to 0"),
        ({"changes": {"tags": '["a'}}, "tags: Input should be a valid array"),
        ({"changes": {"tags": "[" * 100_000}}, "tags: Input should be a valid array"),
        ({"changes": {"ratio": "NaN"}}, "answer: a number is infinite or none"),
        ({"changes": {"ratio": "1e999"}}, "a number is infinite"),
        ({"changes": {"name": 5}}, "name: give its new value as text"),
        ({"changes": {"nothing": "x"}}, "nothing: the answer has no such field"),
        ({"changes": {"part.size": ""}}, "part.size: Input should be a valid integer"),
        ({"reasoning": "x" * 41}, "why: String should have at most 40 characters"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_with_the_reason(client, store, more, error):
    reply = client.decide(client.get()["row"], "correct", **more)
    assert error in reply["error"]
    assert "row" not in reply
    assert reviews(store, "t") == []


TYPED = st.text(max_size=12) | st.sampled_from(
    ["", "3", "-1", "1e400", "null", "[]", '["x"]', "{}", "true", '"q"', "2026-01-01", "\ud800"]
)
GIVEN = TYPED | st.none() | st.booleans() | st.sampled_from(["good", "red", "blue", "neutral"])


@given(st.dictionaries(st.sampled_from(TASK.paths), GIVEN), st.none() | TYPED)
def test_whatever_is_typed_is_an_answer_that_fits_or_one_line(changes, reasoning):
    with Store(":memory:") as store:
        filled(store, "a")
        desk = Desk(TASK, store, [("a", ())], reviewer="Ana")
        seen = desk.next("one")["row"]["seen"]
        decision = Decision(
            example="a", verdict="correct", seen=seen, changes=changes, reasoning=reasoning
        )
        reply = desk.decide("one", decision)
        (example,) = store.examples("t")
        if "error" in reply:
            assert len(reply["error"].splitlines()) == 1
            assert example.gold is None
        else:
            assert example.gold is not None
            assert TASK.answer_json(TASK.thought(example.gold).answer) == example.gold


def test_a_gold_that_differs_is_said_where_it_does(client, store):
    with store.connection.writing() as connection:
        connection.execute("""update examples set gold = '{"mood": "bad", "count": 2}'""")
    row = client.get()["row"]
    assert row["gold_differs"] == ["mood"]
    assert row["gold_by"] == "the data file"
    mood = row["fields"][0]["choices"]
    assert [one["said_by"][-1:] for one in mood] == [["3 of 5 votes"], ["2 of 5 votes"], []]
    assert "gold" in mood[1]["said_by"]
    assert all(says == [] for says in (row["fields"][n]["says"] for n in (1, 3)))
    client.decide(row)
    assert store.examples("t")[0].gold == ANSWER


def test_an_optional_part_without_values_is_null(store):
    row = shown_row(TASK, store, "a")
    assert row is not None
    changes = {"part.kind": None, "part.size": ""}
    with pytest.raises(TaskError, match=r"part\.size"):
        decided_answer(TASK, row, changes, reasoning=None)


def test_a_row_without_any_answer_is_corrected_from_nothing(serve, store):
    store.add_examples([Example(id="new", task="t", split="train", inputs={"text": "x"})])
    server = serve_review(TASK, store, [("new", ())], reviewer="Ana")
    row = server.desk.next("one")["row"]
    server.server_close()
    client = Client(serve())
    assert row["proposed_by"] is None
    assert "no answer to accept" in client.decide(row)["error"]
    assert client.decide(row, "correct", changes={"mood": "bad"})["error"].startswith("sure: ")
    changes = {"mood": "bad", "sure": True, "name": "N", "count": "0", "ratio": "1", "tags": "[]"}
    assert client.decide(row, "correct", changes=changes)["saved"]
    gold = store.examples("t")[-1].gold
    assert gold is not None
    assert (gold["part"], gold["note"], gold["ratio"]) == (None, None, 1.0)


def test_undo_shows_the_row_again_as_it_had_been_decided(client, store):
    client.decide(client.get()["row"], "correct", changes={"mood": "bad"}, reasoning="new")
    reply = client.post("/api/undo", {"review": None})
    assert reply["note"] == "Undone: this row had been corrected."
    assert reply["row"]["example"] == "a"
    assert reply["row"]["fields"][0]["draft"] == 1
    assert reply["row"]["draft_reasoning"] == "new"
    assert reply["progress"]["done"] == 0
    assert store.examples("t")[0].gold is None
    assert client.post("/api/undo", {})["note"] == "There is nothing to undo."


def test_skipped_rows_are_done_for_this_sitting_and_shown_again_in_the_next(client, serve):
    for _ in range(3):
        reply = client.decide(client.get()["row"], "skip")
    assert (reply["row"], reply["counts"]) == (None, {"skip": 3})
    assert reply["progress"] == {"done": 3, "total": 3}
    assert Client(serve()).get()["row"]["example"] == "a"


def test_two_windows_are_shown_different_rows_while_there_are_enough(serve):
    server = serve("ab")
    one, two = Client(server, "one"), Client(server, "two")
    assert [one.get()["row"]["example"], two.get()["row"]["example"]] == ["a", "b"]
    assert one.decide(one.get()["row"])["row"]["example"] == "b"  # all that is left


def test_a_row_that_was_decided_in_another_window_is_said_and_passed(serve, store, tmp_path):
    with Store(tmp_path / "s.db") as again:
        ana, rui = Client(serve()), Client(serve(on=again, reviewer="Rui"))
        mine, his = ana.get()["row"], rui.get()["row"]
        assert mine["example"] == his["example"] == "a"
        ana.decide(mine, "correct", changes={"mood": "bad"})
        for verdict, more in (("correct", {"changes": {"mood": "neutral"}}), ("skip", {})):
            reply = rui.decide(his, verdict, **more)
            assert "saved" not in reply
            assert "corrected by Ana in another window" in reply["note"]
            assert reply["row"]["example"] == "b"
        held = rui.get("/api/next?holding=a")
        assert (held["row"]["example"], "by Ana" in held["note"]) == ("b", True)
        assert rui.get("/api/next?holding=b")["held"] is True
        assert len(reviews(store, "t")) == 1


def test_a_row_whose_answer_has_changed_since_it_was_shown_is_shown_again(client, store):
    row = client.get()["row"]
    store.start_run(run("teacher").model_copy(update={"id": "new", "started": "2026-02-02"}))
    new = ANSWER | {"mood": "bad"}
    store.add_record(Record(run="new", example="a", answer=new, created="2026-02-02"))
    reply = client.decide(row)
    assert "has another answer" in reply["note"]
    assert reply["row"]["fields"][0]["chosen"] == 1
    assert client.decide(reply["row"])["saved"] == 1
    assert store.examples("t")[0].gold == new


def test_of_many_windows_at_once_none_loses_or_doubles_a_row(tmp_path):
    names = [f"{n:02}" for n in range(40)]
    with Store(tmp_path / "many.db") as one, Store(tmp_path / "many.db") as two:
        filled(one, names)
        servers = [
            serve_review(TASK, opened, [(name, ()) for name in names], reviewer=reviewer)
            for opened, reviewer in ((one, "Ana"), (two, "Rui"))
        ]
        saved: list[int] = []

        def work(client: Any) -> None:
            row = client.get()["row"]
            while row is not None:
                reply = client.decide(row)
                saved.extend([reply["saved"]] if "saved" in reply else [])
                row = reply["row"]

        threads = [
            threading.Thread(target=work, args=(Client(server, tab),))
            for server in servers
            for tab in ("one", "two")
        ]
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for server in servers:
            server.shutdown()
            server.server_close()
        kept = reviews(one, "t")
        assert sorted(review.example for review in kept) == names
        assert sorted(saved) == sorted(review.id or 0 for review in kept)
        assert sum(server.desk.counts.total() for server in servers) == len(names)


def test_a_long_queue_is_never_sent_and_quickly_passed_over(store):
    entries = [(f"gone {n}", ()) for n in range(200)] + [("a", ())]
    entries += [(f"later {n}", ()) for n in range(100_000)]
    server = serve_review(TASK, store, entries, reviewer="Ana")
    started = time.perf_counter()
    reply = server.desk.next("one")
    assert time.perf_counter() - started < 2
    assert reply["row"]["example"] == "a"
    assert len(json.dumps(reply)) < 10_000
    server.server_close()
