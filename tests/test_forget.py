"""Forgetting: no byte of a forgotten row is left in the store's files, and what saw it is named."""

from __future__ import annotations

import contextlib
import datetime
import runpy
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.call_samples import add_calls
from understudy.store import Example, Store, StoreError, example_id, fingerprint, traces
from understudy.store.care import backup
from understudy.store.checks import verify
from understudy.store.flags import set_flags
from understudy.store.forgetting import forget, outdated, would_forget
from understudy.store.provenance import add_training, save_words, words
from understudy.store.rows import Call, Flag, StandIn
from understudy.store.search import search
from understudy.store.stand_ins import iter_calls, save_stand_in
from understudy.store.story import find_examples
from understudy.store.traces import look_for, probes_of

SAMPLES = Path(__file__).with_name("store_samples.py")
samples: Any = SimpleNamespace(**runpy.run_path(str(SAMPLES)))
# Longer than a page, so that it is spread over several; two words that stand nowhere else.
TEXT = "Zequinha Xavantes pediu o extrato. " + " ".join(f"linha {n} do caso" for n in range(600))
REASON = 'Ele escreveu "urgentíssimo"\nem outra linha, Zequinha Xavantes.'
SECRET = example_id({"text": TEXT})
PIECES = [
    TEXT[:30],
    TEXT[5000:5040],
    "urgentíssimo",
    "Zequinha",
    "Xavantes",
    "zequinha",
    "xavantes",
]


def call(example: str | None, days: float = 0, **fields: Any) -> Call:
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
    return Call(stand_in="app", example=example, at=at.isoformat(timespec="milliseconds"), **fields)


@pytest.fixture
def store(tmp_path):
    """The sample rows, and one that must go: answered, flagged, called, and quoted in a prompt."""
    with Store(tmp_path / "app.db") as opened:
        samples.fill(opened)
        opened.add_examples(
            [Example(id=SECRET, task="moods", split="train", inputs={"text": TEXT})]
        )
        said = samples.record(samples.TEACHER, 0, "calm", reasoning=REASON, raw=f"{REASON} cru")
        opened.add_record(said.model_copy(update={"example": SECRET}))
        set_flags(
            opened, "moods", "odd", [Flag(example=SECRET, rule="odd", detail={"of": TEXT[:40]})]
        )
        save_stand_in(opened, StandIn(name="app", task="moods", changed="2026-01-01"))
        add_calls(opened, [call(SECRET), call(SECRET), call(samples.IDS[0])])
        yield opened


def files_of(store: Store) -> bytes:
    return b"".join(path.read_bytes() for path in Path(store.path).parent.glob("app.db*"))


def tables_of(store: Store) -> list[str]:
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        return list(connection.iterdump())


def test_no_byte_of_a_forgotten_row_is_left_and_the_others_are_as_they_were(store):
    held = files_of(store)
    assert all(piece.encode() in held for piece in PIECES[:5])
    before = [row for row in store.examples("moods") if row.id != SECRET]
    problems = verify(store)
    done = forget(store, [SECRET])
    assert done.rows == {
        "lessons": 0,
        "reviews": 0,
        "flags": 1,
        "records": 1,
        "calls": 2,
        "examples": 1,
        "words": 0,
    }
    assert done.looked_for > 10
    assert done.left == ()
    held = files_of(store)
    assert [piece for piece in PIECES if piece.encode() in held] == []
    assert Path(f"{store.path}-wal").stat().st_size == 0
    assert store.examples("moods") == before
    assert verify(store) == problems
    assert search(store, "Zequinha") == []
    assert [found.example for found in search(store, "preço")] == [samples.IDS[0]]
    assert [one.example for one in iter_calls(store, "app")] == [samples.IDS[0]]


def test_it_is_gone_for_another_process_that_has_the_store_open_too(store):
    with Store(store.path) as other:
        assert len(other.examples("moods")) == 5
        forget(store, [SECRET])
        assert len(other.examples("moods")) == 4
        assert other.add_examples(
            [Example(id="x", task="moods", split="train", inputs={"text": "depois"})]
        ).new
    held = files_of(store)
    assert [piece for piece in PIECES if piece.encode() in held] == []


def test_a_reader_that_keeps_the_log_is_said_and_the_same_command_goes_on(store, monkeypatch):
    store.connection._connection.execute("pragma busy_timeout = 200")
    with contextlib.closing(sqlite3.connect(store.path)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from examples").fetchone()
        with pytest.raises(StoreError, match="deleted, but somebody who reads"):
            forget(store, [SECRET])
    again = forget(store, [SECRET])
    assert not any(again.rows.values())
    assert [piece for piece in PIECES if piece.encode() in files_of(store)] == []


def test_what_would_go_is_said_and_nothing_is_changed(store):
    before = tables_of(store)
    would = would_forget(store, [SECRET, samples.IDS[0]])
    assert would.rows == {
        "lessons": 1,
        "reviews": 1,
        "flags": 1,
        "records": 3,
        "calls": 3,
        "examples": 2,
        "words": 0,
    }
    assert would.looked_for == 0
    assert tables_of(store) == before


def test_students_that_learnt_from_a_row_and_copies_that_hold_it_are_named(store, tmp_path):
    add_training(store, samples.training(folder="/runs/saw-it"), [SECRET])
    holding, gone = tmp_path / "copy.db", tmp_path / "gone.db"
    for path in (holding, gone):
        backup(store, path)
    gone.unlink()
    (tmp_path / "app.db.before-m003").write_bytes(b"not readable as a store" * 50)
    done = forget(store, [SECRET])
    assert [one.folder for one in done.students] == ["/runs/saw-it"]
    assert done.copies == (str(tmp_path / "app.db.before-m003"), str(holding))
    assert done.moved == (str(gone),)
    backup(store, holding)
    again = forget(store, [samples.IDS[0]])
    assert [one.folder for one in again.students] == ["/runs/small"]
    assert str(holding) in again.copies
    assert str(holding) not in forget(store, [SECRET]).copies


def test_a_kept_prompt_that_quotes_the_row_goes_too(store):
    prompt = [{"format": "f-string", "role": "human", "text": f"Such as: {TEXT}. And {{text}}?"}]
    save_words(store, fingerprint(prompt), "prompt", samples.canonical(prompt))
    assert forget(store, [SECRET]).rows["words"] == 1
    assert words(store, fingerprint(prompt)) is None
    assert words(store, samples.WORDS) is not None
    assert [piece for piece in PIECES if piece.encode() in files_of(store)] == []


def test_a_text_that_also_stands_in_another_row_is_said_and_stays(store):
    twin = {"text": TEXT[:60] + " outro fim"}
    store.add_examples([Example(id=example_id(twin), task="moods", split="train", inputs=twin)])
    done = forget(store, [SECRET])
    assert done.left == ("1 rows of examples.inputs",)
    assert [row.inputs for row in store.examples("moods")][-1] == twin


def test_the_same_text_in_two_tasks_is_forgotten_in_both(store):
    store.add_examples([Example(id=SECRET, task="other", split="train", inputs={"text": TEXT})])
    assert forget(store, [SECRET]).rows["examples"] == 2
    assert store.examples("other") == []


def test_a_hash_whose_text_was_never_kept_can_be_forgotten(store):
    add_calls(store, [call("ffff000011112222")])
    assert find_examples(store, "ffff0") == ["ffff000011112222"]
    assert forget(store, ["ffff000011112222"]).rows["calls"] == 1


def test_rows_are_named_as_why_names_them(store):
    teacher = samples.TEACHER.id
    assert find_examples(store, "1") == [samples.IDS[0]]
    assert find_examples(store, f"{teacher[:6]}:{samples.IDS[1][:6]}") == [samples.IDS[1]]
    assert find_examples(store, SECRET[:5]) == [SECRET]
    for asked, words_ in (("9999", "no record or example"), ("zzz", "no record or example")):
        with pytest.raises(StoreError, match=words_):
            find_examples(store, asked)
    store.add_examples(
        Example(id=f"abc{end}", task="moods", split="train", inputs={"text": end}) for end in "de"
    )
    with pytest.raises(StoreError, match="begins more than one record or example: abcd, abce"):
        find_examples(store, "abc")
    assert find_examples(store, "abcd") == ["abcd"]


def test_production_rows_that_nobody_asked_of_late_are_outdated_but_not_imported_or_taught(store):
    texts = ["velha", "velha mas de novo", "com ouro", "ensinou"]
    ids = [example_id({"text": text}) for text in texts]
    store.add_examples(
        Example(
            id=id_,
            task="moods",
            split="train",
            inputs={"text": text},
            gold={"mood": "calm"} if text == "com ouro" else None,
        )
        for id_, text in zip(ids, texts, strict=True)
    )
    store.add_record(
        samples.record(samples.TEACHER, 0, "calm").model_copy(update={"example": ids[3]})
    )
    add_training(store, samples.training(folder="/runs/later"), [ids[3]])
    add_calls(store, [call(id_, days=40) for id_ in ids])
    add_calls(store, [call(ids[1], days=1), call(None, days=40)])
    free, taught, before = outdated(store, 30)
    assert (free, taught) == ([ids[0]], [ids[3]])
    done = forget(store, free, before=before)
    assert (done.rows["examples"], done.rows["calls"]) == (1, 5)
    left = [one.example for one in iter_calls(store, "app")]
    assert left == [SECRET, SECRET, samples.IDS[0], ids[1]]


def test_pieces_are_taken_of_the_whole_text_and_no_more_than_can_be_looked_for():
    pieces = probes_of([TEXT])
    assert pieces[0] == TEXT[:24]
    assert any(TEXT.index(piece) > len(TEXT) - 800 for piece in pieces)
    assert probes_of(["sim", "  "]) == []
    many = [f"texto número {n} do caso" for n in range(5000)]
    assert 100 < len(probes_of(many)) <= 400
    assert len(probes_of(many, size=10**12)) <= 20
    assert probes_of(['a "b"\ncccccc']) == ['a "b"\ncccccc', 'a \\"b\\"\\ncccccc']


def test_a_store_in_memory_forgets_too():
    with Store(":memory:") as store:
        samples.fill(store)
        assert forget(store, [samples.IDS[0]]).rows["examples"] == 1
        assert len(store.examples("moods")) == 3


def test_looking_for_traces_takes_back_no_lock_of_this_process(tmp_path):
    path = tmp_path / "s.db"
    probe = (
        "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('begin immediate')"
    )

    def others_may_write() -> bool:
        done = subprocess.run([sys.executable, "-c", probe, str(path)], capture_output=True)
        return done.returncode == 0

    with Store(path) as store, Store(path) as other:
        assert others_may_write()
        with store.connection.writing():
            assert not others_may_write()
            assert look_for(other, ["a piece that stands nowhere"]) == ()
            assert not others_may_write()


def test_a_trace_is_found_wherever_the_blocks_that_are_read_end(tmp_path, monkeypatch):
    monkeypatch.setattr("understudy.store.traces._BLOCK", 64)
    file = tmp_path / "held"
    for place in range(200):
        file.write_bytes(b"x" * place + b"a piece" + b"y" * (200 - place))
        assert traces._in_file(file, ["a piece", "none"]) == {"a piece"}
