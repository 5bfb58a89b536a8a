"""The store: what it keeps, what it refuses, and that nothing written is lost or doubled."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.store import Example, Record, Run, Store, StoreError, schema
from understudy.store.connection import Connection
from understudy.store.store import Added
from understudy.store.totals import spent_by

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def example(name: str = "a", **fields: Any) -> Example:
    return Example(**{"id": name, "task": "t", "split": "train", "inputs": {"x": name}, **fields})


def run(name: str = "r", **fields: Any) -> Run:
    facts = dict.fromkeys(("model", "strategy", "target", "words", "answers"), "same")
    known = {"id": name, "name": name, "task": "t", "role": "teacher", "started": "2026-01-01"}
    return Run(**{**known, **facts, **fields})


def record(name: str = "a", **fields: Any) -> Record:
    return Record(**{"run": "r", "example": name, "created": "2026-01-01", **fields})


@pytest.fixture
def store():
    with Store(":memory:") as opened:
        yield opened


@pytest.fixture
def running(store):
    """A store with the run r over the examples a, b and c."""
    store.add_examples([example("a"), example("b"), example("c", split="test")])
    store.start_run(run())
    return store


def test_examples_come_back_as_they_went_in_and_in_that_order(store):
    rows = [
        example("b", gold={"f": {"x": "é"}}, group="g"),
        example("a", inputs={"x": 'linha\ncom "aspas", \0 e 🙂'}),
        example("a", task="other"),
    ]
    assert store.add_examples(rows) == Added(new=3, known=0, gold_filled=0, gold_differs=0)
    assert store.examples("t") == rows[:2]
    assert store.examples("other") == rows[2:]
    assert store.examples("none") == []


def test_a_known_example_keeps_its_split_and_its_gold(store):
    store.add_examples([example("a"), example("b", gold={"x": 1}), example("c", gold={"x": 1})])
    again = [
        example("a", split="test", gold={"x": 2}),
        example("b", split="test", gold={"x": 3}),
        example("c", gold={"x": 1}),
        example("d"),
        example("d"),
    ]
    assert store.add_examples(again) == Added(new=1, known=4, gold_filled=1, gold_differs=1)
    assert store.examples("t") == [
        example("a", gold={"x": 2}),
        example("b", gold={"x": 1}),
        example("c", gold={"x": 1}),
        example("d"),
    ]


def test_a_split_and_a_limit_of_each_split(store):
    rows = [example(str(n), split="test" if n % 3 else "train") for n in range(9)]
    store.add_examples(rows)
    assert store.splits("t") == {"train": 3, "test": 6}
    assert [e.id for e in store.examples("t", split="train")] == ["0", "3", "6"]
    assert [e.id for e in store.examples("t", limit=2)] == ["0", "1", "2", "3"]
    assert [e.id for e in store.examples("t", split="test", limit=1)] == ["1"]


def test_examples_are_added_all_or_none(store):
    def broken():
        yield example("a")
        raise KeyError("the source broke")

    with pytest.raises(KeyError):
        store.add_examples(broken())
    with pytest.raises(StoreError, match="no valid data"):
        store.add_examples([example("a"), example("b", gold={"x": "\ud800"})])
    assert store.examples("t") == []


def test_a_run_that_is_known_stays_as_it_was_started(store):
    first = run(started="2026-01-01", parameters={"temperature": 0.5}, versions={"x": "1"})
    assert store.start_run(first) == first
    assert store.start_run(run(started="2026-02-02", versions={"x": "2"})) == first
    store.finish_run("r", "2026-03-03")
    assert store.run("r") == first.model_copy(update={"finished": "2026-03-03"})


def test_runs_are_listed_newest_first(store):
    for name, started, role in (("b", "2", "student"), ("a", "1", "teacher"), ("c", "2", "base")):
        store.start_run(run(name, started=started, role=role))
    store.start_run(run("d", task="other", started="3"))
    assert [r.id for r in store.runs()] == ["d", "c", "b", "a"]
    assert [r.id for r in store.runs(task="t")] == ["c", "b", "a"]
    assert [r.id for r in store.runs(task="t", role="teacher")] == ["a"]


def test_a_run_that_is_not_there_is_said(store):
    with pytest.raises(StoreError, match="has no run nope"):
        store.run("nope")
    with pytest.raises(StoreError, match="has no run nope"):
        store.finish_run("nope", "2026")


def test_records_come_back_whole_beside_their_examples(running):
    answer = {"f1": {"emocao": "Surpresa"}, "n": [1, 2.5, None]}
    whole = record(
        "c",
        reasoning="porque sim",
        answer=answer,
        raw="{...}",
        attempts=2,
        input_tokens=10,
        output_tokens=3,
        cost=0.25,
        seconds=1.5,
        confidence={"f1.emocao": 0.75},
        model="m-1",
    )
    failed = record("a", error="no route")
    assert running.add_record(whole)
    assert running.add_record(failed)
    assert running.records("r") == [failed, whole]  # in the order of the examples
    assert running.records("r", split="test") == [whole]
    assert running.pairs("r", split="train") == [(example("a"), failed)]
    assert running.pairs("nope") == []


def test_an_answer_is_never_overwritten(running):
    kept = record(answer={"x": 1}, input_tokens=5)
    assert running.add_record(kept)
    assert not running.add_record(record(answer={"x": 2}, input_tokens=7))
    assert not running.add_record(record(error="late failure"))
    assert running.records("r") == [kept]


def test_a_failure_is_replaced_and_nothing_paid_is_forgotten(running):
    running.add_record(
        record(error="cut off", raw="half", input_tokens=10, cost=0.5, seconds=1.0, attempts=2)
    )
    running.add_record(record(error="no route", seconds=0.5))
    assert running.records("r") == [
        record(error="no route", raw="half", input_tokens=10, cost=0.5, seconds=1.5, attempts=3)
    ]
    running.add_record(record(answer={"x": 1}, raw="whole", input_tokens=5, output_tokens=2))
    assert running.records("r") == [
        record(
            answer={"x": 1},
            raw="whole",
            input_tokens=15,
            output_tokens=2,
            cost=0.5,
            seconds=1.5,
            attempts=4,
        )
    ]


def test_calls_that_did_not_say_whether_they_were_billed_add_up_over_attempts(running):
    def unreported(calls, usd, tokens, **more):
        return {"unreported_calls": {"calls": calls, "usd": usd, "tokens": tokens}, **more}

    running.add_record(record(error="reset", cost=0.0, details=unreported(2, 0.5, 300)))
    running.add_record(record(error="reset", cost=0.0, details=unreported(1, 0.25, 150, why="x")))
    running.add_record(record(error="no route", cost=0.0))
    running.add_record(record(answer={"x": 1}, cost=1.0, input_tokens=10, details={"agreed": True}))
    assert running.records("r") == [
        record(
            answer={"x": 1},
            cost=1.0,
            input_tokens=10,
            attempts=4,
            details=unreported(3, 0.75, 450, agreed=True),
        )
    ]
    assert (spent_by(running, "r").usd, spent_by(running, "r").tokens) == (1.75, 460)


def test_what_was_bought_at_an_unknown_cost_stays_unknown(running):
    running.add_record(record(error="off schema", raw="x", input_tokens=700, output_tokens=100))
    running.add_record(record(answer={"x": 1}, input_tokens=70, output_tokens=10, cost=0.5))
    spent = spent_by(running, "r")
    assert (spent.usd, spent.unpriced_input, spent.unpriced_output) == (0.0, 770, 110)


def test_many_records_are_added_as_one_by_one(running):
    kept = record("a", answer={"x": 1})
    running.add_record(kept)
    running.add_record(record("b", error="cut off", cost=0.5, attempts=2))
    again = [record("a", answer={"x": 2}), record("b", answer={"x": 3}, cost=0.25), record("c")]
    assert running.add_records(iter(again)) == 2  # a had its answer
    replaced = record("b", answer={"x": 3}, cost=0.75, attempts=3)
    assert running.records("r") == [kept, replaced, record("c")]
    assert running.add_records([]) == 0


def test_many_records_are_added_all_or_none(running):
    def broken():
        yield record("a", answer={})
        raise KeyError("the source broke")

    with pytest.raises(KeyError):
        running.add_records(broken())
    with pytest.raises(StoreError, match="example that the store does not have"):
        running.add_records([record("a", answer={}), record("nope")])
    with pytest.raises(StoreError, match="run that the store does not have"):
        running.add_records([record("a", answer={}), record("a", run="nope")])
    assert running.records("r") == []


def test_records_of_several_runs_and_tasks_are_added_at_once(running):
    running.add_examples([example("a", task="other")])
    running.start_run(run("o", task="other"))
    said = [record("b", answer={}), record("a", run="o", answer={}), record("a", answer={})]
    assert running.add_records(said) == 3
    assert running.records("r") == [said[2], said[0]]
    assert running.pairs("o") == [(example("a", task="other"), said[1])]


def test_one_record_is_found_by_its_run_and_example(running):
    said = record("b", answer={"x": [1]})
    running.add_record(said)
    assert running.record("r", "b") == said
    assert running.record("r", "a") is None
    assert running.record("nope", "b") is None


def test_pages_of_any_number_of_rows_leave_none_out_and_double_none(store, monkeypatch):
    monkeypatch.setattr("understudy.store.store.PAGE", 3)
    store.start_run(run())
    rows = [example(str(number)) for number in range(7)]
    store.add_examples(rows)
    store.add_records(record(row.id, answer={}) for row in rows)
    assert list(store.iter_examples("t")) == rows
    assert [one.example for one in store.iter_records("r")] == [row.id for row in rows]
    assert [one for one, _ in store.iter_pairs("r")] == rows


def test_a_failure_that_brought_no_text_is_asked_again(running):
    running.add_record(record("a", answer={}))
    running.add_record(record("b", error="not in the schema", raw="I am a teapot"))
    running.add_record(record("c", error="no route"))
    assert running.answered("r") == {"a", "b"}
    assert running.answered("nope") == set()


def test_a_record_of_something_unknown_is_refused(running):
    with pytest.raises(StoreError, match="example that the store does not have"):
        running.add_record(record("nope"))
    with pytest.raises(StoreError, match="run that the store does not have"):
        running.add_record(record(run="nope"))
    assert running.records("r") == []


@given(inputs=st.dictionaries(TEXT, TEXT), gold=st.none() | st.dictionaries(TEXT, JSON), group=TEXT)
def test_any_text_and_any_json_survive(inputs, gold, group):
    row = example(inputs=inputs, gold=gold, group=group)
    said = record(answer=gold, reasoning=group, raw=group, error=group, confidence={group: 0.5})
    with Store(":memory:") as store:
        store.add_examples([row])
        store.start_run(run(parameters=gold or {}))
        store.add_record(said)
        assert store.pairs("r") == [(row, said)]
        assert store.runs() == [run(parameters=gold or {})]


def test_what_is_written_is_there_after_reopening(tmp_path):
    with Store(tmp_path / "s.db") as store:
        store.add_examples([example()])
        store.start_run(run())
        store.add_record(record(answer={"x": 1}))
    with Store(tmp_path / "s.db") as store:
        assert store.pairs("r") == [(example(), record(answer={"x": 1}))]
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]


def test_a_closed_store_says_so(tmp_path):
    store = Store(tmp_path / "s.db")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.splits("t")


# Files that cannot be a store


def _not_a_database(path: Path) -> None:
    path.write_bytes(b"news_id,f1,f2\n" * 200)


def _folder(path: Path) -> None:
    path.mkdir()


def _other_program(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table runs (id)")
    connection.close()


def _newer(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "insert into _sqlite_migrations (migration_set, name, applied_at) "
            "values ('understudy', 'm999_from_the_future', 'now')"
        )
    connection.close()


def _damaged(path: Path) -> None:
    with Store(path) as store:
        store.add_examples(example(str(n), inputs={"x": "y" * 2000}) for n in range(50))
    data = bytearray(path.read_bytes())
    data[4096 * 2 :] = b"\xab" * (len(data) - 4096 * 2)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_not_a_database, "no SQLite file"),
        (_folder, "is a folder"),
        (_other_program, "another program's"),
        (_newer, r"written by a newer version \(m999_from_the_future\); upgrade understudy"),
        (_damaged, "damaged"),
    ],
)
def test_a_file_that_cannot_be_a_store_is_one_line_and_stays_as_it_was(tmp_path, make, said):
    path = tmp_path / "s.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreError, match=said) as caught, Store(path) as store:
        store.examples("t")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(StoreError, match="no such folder"):
        Store(tmp_path / "no" / "s.db")


@pytest.mark.needs_plain_user
def test_a_read_only_store_is_said(tmp_path):
    Store(tmp_path / "s.db").close()
    (tmp_path / "s.db").chmod(0o444)
    with pytest.raises(StoreError, match="read-only"), Store(tmp_path / "s.db") as store:
        store.add_examples([example()])


def test_a_write_that_sqlite_calls_read_only_is_said(running):
    running.connection._connection.execute("pragma query_only = on")
    with pytest.raises(StoreError, match="read-only"):
        running.add_record(record())


def fill(store: Store) -> None:
    for number in range(1000):
        store.add_examples([example(str(number), inputs={"x": "y" * 1000})])


def test_a_full_disk_is_said_and_what_was_committed_is_kept(tmp_path):
    path = tmp_path / "s.db"
    with Store(path) as store:
        store.connection._connection.execute("pragma max_page_count = 60")  # SQLite's own full disk
        with pytest.raises(StoreError, match=r"disk is full; what was committed is kept"):
            fill(store)
        kept = store.examples("t")
    with Store(path) as store:
        assert store.examples("t") == kept
        assert [e.id for e in kept] == [str(n) for n in range(len(kept))]
        assert len(kept) > 10
        assert store.add_examples([example("after")]).new == 1


def test_a_store_that_another_process_holds_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("understudy.store.connection.LOCK_SECONDS", 0.1)
    path = tmp_path / "s.db"
    with Store(path) as store, Store(path) as other, other.connection.writing():
        assert store.splits("t") == {}  # readers do not wait
        with pytest.raises(StoreError, match="another process has held it"):
            store.add_examples([example()])


@pytest.mark.needs_posix
def test_a_file_system_without_write_ahead_logging_is_said_and_used(tmp_path, caplog):
    class OnPlainFileSystem(Connection):
        def _connect(self):
            uri = f"file:{self.path}?vfs=unix-dotfile"  # SQLite's file access without shared memory
            return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    with (
        caplog.at_level(logging.WARNING, "understudy.store.connection"),
        contextlib.closing(OnPlainFileSystem(tmp_path / "s.db")) as connection,
    ):
        with connection.writing() as writer:
            writer.execute(
                "insert into runs select 1,'r','r','t','x','m','s','l','w','a','','','',''"
            )
        assert [row["id"] for row in connection.read("select id from runs")] == ["r"]
    assert len(caplog.messages) == 1
    assert "cannot do write-ahead logging" in caplog.messages[0]


# Several at once


def test_threads_share_a_store(tmp_path):
    with Store(tmp_path / "s.db") as store:
        store.start_run(run())
        store.add_examples(example(str(n)) for n in range(120))

        def work(first: int) -> None:
            for number in range(first, 120, 6):
                store.add_record(record(str(number), answer={"x": number}))
                assert str(number) in store.answered("r")

        threads = [threading.Thread(target=work, args=(first,)) for first in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [r.answer for r in store.records("r")] == [{"x": n} for n in range(120)]


def test_a_new_store_is_opened_by_many_at_the_same_moment(tmp_path):
    def opened(number: int) -> int:
        ready.wait()
        Store(tmp_path / f"{number // 6}.db").close()
        return number

    ready = threading.Barrier(6, timeout=20)
    with ThreadPoolExecutor(6) as together:
        assert list(together.map(opened, range(600))) == list(range(600))


WRITER = textwrap.dedent(
    """
    import sys
    from understudy.store import Example, Record, Run, Store

    path, name, count, log = sys.argv[1], sys.argv[2], int(sys.argv[3]), open(sys.argv[4], "a")
    facts = dict.fromkeys(("model", "strategy", "target", "words", "answers", "started"), name)
    with Store(path) as store:
        store.start_run(Run(id=name, name=name, task="t", role="student", **facts))
        store.add_examples(
            Example(id=str(n), task="t", split="train", inputs={"x": str(n)}) for n in range(count)
        )
        done = store.answered(name)
        for number in range(count):
            if str(number) not in done:
                said = {"example": str(number), "answer": {"x": number}, "created": "now"}
                store.add_record(Record(run=name, **said))
                print(number, file=log, flush=True)
    """
)


def writer(path: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    log = path.with_name(f"{name}.log")
    return subprocess.Popen([sys.executable, "-c", WRITER, path, name, str(count), log])


def test_three_processes_write_one_new_file_while_a_fourth_reads(tmp_path):
    path = tmp_path / "s.db"
    writers = [writer(path, name, 100) for name in ("one", "two", "three")]
    while any(process.poll() is None for process in writers):
        if path.exists():
            with Store(path) as store:
                for name in [run.id for run in store.runs()]:
                    found = store.records(name)
                    assert [r.answer for r in found] == [{"x": n} for n in range(len(found))]
        time.sleep(0.05)
    assert [process.returncode for process in writers] == [0, 0, 0]
    with Store(path) as store:
        assert store.splits("t") == {"train": 100}
        for name in ("one", "two", "three"):
            assert [r.answer for r in store.records(name)] == [{"x": n} for n in range(100)]


def test_a_process_killed_while_writing_loses_and_doubles_nothing(tmp_path):
    path, log = tmp_path / "s.db", tmp_path / "w.log"
    for kills in range(1, 4):
        process = writer(path, "w", 1000)
        while not log.exists() or log.read_text().count("\n") < kills * 100:
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
        process.wait()
        said = log.read_text().split("\n")[:-1]
        with Store(path) as store:
            assert (
                store.connection._connection.execute("pragma integrity_check").fetchone()[0] == "ok"
            )
            kept = [r.example for r in store.records("w")]
        assert len(kept) == len(set(kept))
        assert set(said) <= set(kept)  # whatever was said to be written is there
        assert len(kept) - len(said) <= kills  # at most the row that each kill left unsaid
    assert writer(path, "w", 500).wait() == 0
    with Store(path) as store:
        assert [r.answer for r in store.records("w")][:500] == [{"x": n} for n in range(500)]


def test_the_store_imports_neither_langchain_nor_torch_nor_pandas():
    code = (
        "import sys, understudy.store, understudy.store.exchange as e; "
        "names = {name.split('.')[0] for name in sys.modules}; "
        "print(names & {'langchain_core', 'torch', 'transformers', 'sqlite_utils', 'pandas'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_store_that_another_is_making_right_now_is_no_other_programs(tmp_path, monkeypatch):
    path, real = tmp_path / "s.db", schema.applied_steps
    made: list[Path] = []

    def applied_steps(connection):
        found = real(connection)
        if not made:
            made.append(path)
            Store(path).close()  # between the two looks
        return found

    monkeypatch.setattr("understudy.store.connection.schema.applied_steps", applied_steps)
    with Store(path) as store:
        assert store.splits("t") == {}
