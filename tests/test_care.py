"""Keeping a store: copies while it is used, checks that find damage, read-only, shared drives."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from understudy.distill.commands.care import COMMANDS
from understudy.store import (
    Example,
    Record,
    Run,
    Store,
    StoreError,
    example_id,
    fingerprint,
    run_id,
)
from understudy.store import file_systems as drives
from understudy.store.care import Backups, backup, vacuum, verify
from understudy.store.connection import Connection
from understudy.store.flags import set_flags
from understudy.store.one_writer import OneWriter, Taken
from understudy.store.provenance import save_words
from understudy.store.reviews import add_review
from understudy.store.rows import Flag, Review
from understudy.store.totals import (
    RunTotals,
    SplitTotals,
    answer_counts,
    gold_counts,
    run_totals,
    split_totals,
)

IDENTITY: dict[str, Any] = {
    **dict.fromkeys(("model", "strategy", "target", "words", "answers"), "same"),
    "task": "t",
    "role": "teacher",
    "parameters": {"temperature": 0.5, "seeds": [1, 2]},
}
RUN = Run(id=run_id(**IDENTITY), name="teacher", started="2026-01-01", **IDENTITY)


def example(number: int, **fields: Any) -> Example:
    inputs = {"x": f"notícia {number}", "y": "igual"}
    return Example(
        **{"id": example_id(inputs), "task": "t", "split": "train", "inputs": inputs, **fields}
    )


def record(number: int, **fields: Any) -> Record:
    said = {"answer": {"emocao": "Medo"}, "reasoning": f"porque {number}", "created": "2026"}
    return Record(**{"run": RUN.id, "example": example(number).id, **said, **fields})


def fill(store: Store, count: int = 10) -> None:
    store.start_run(RUN)
    store.add_examples(example(number) for number in range(count))
    store.add_records(record(number) for number in range(count))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "s.db") as opened:
        fill(opened)
        yield opened


# Copies


def test_a_backup_is_a_store_of_its_own_and_holds_everything(store, tmp_path):
    copy = backup(store, tmp_path / "copy.db")
    assert os.name != "posix" or stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not list(tmp_path.glob("copy.db-*")) + list(tmp_path.glob(".copy*"))
    with Store(copy) as opened:
        assert opened.pairs(RUN.id) == store.pairs(RUN.id)
        assert verify(opened) == []


def test_a_backup_takes_the_place_of_an_earlier_one(store, tmp_path):
    backup(store, tmp_path / "copy.db")
    store.add_examples([example(99)])
    with Store(backup(store, tmp_path / "copy.db"), read_only=True) as opened:
        assert opened.examples("t")[-1] == example(99)


def test_a_backup_made_while_others_write_holds_what_was_committed_before_it(store, tmp_path):
    stop, done = threading.Event(), []

    def write() -> None:
        with Store(store.path) as other:
            number = 1000
            while not stop.is_set():
                other.add_examples([example(number)])
                done.append(number)
                number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(5):
            time.sleep(0.02)
            said = list(done)
            with Store(backup(store, tmp_path / "copy.db"), read_only=True) as opened:
                kept = {row.id for row in opened.examples("t")}
                assert {example(number).id for number in said} <= kept
                assert verify(opened) == []
    finally:
        stop.set()
        thread.join()


def test_a_store_in_memory_can_be_backed_up(tmp_path):
    with Store(":memory:") as store:
        fill(store)
        with Store(backup(store, tmp_path / "copy.db")) as opened:
            assert opened.pairs(RUN.id) == store.pairs(RUN.id)


def test_a_backup_onto_itself_a_folder_or_a_store_in_use_is_refused(store, tmp_path):
    with Store(tmp_path / "other.db") as other:
        other.add_examples([example(1)])
        for path, said in (
            (store.path, "is the store itself"),
            (tmp_path, "is a folder"),
            (tmp_path / "no" / "copy.db", "no such folder"),
            (tmp_path / "other.db", "is a store in use"),
        ):
            with pytest.raises(StoreError, match=said):
                backup(store, path)
        assert other.examples("t") == [example(1)]


@pytest.mark.needs_posix
def test_a_backup_replaces_no_file_that_is_not_a_store(store, tmp_path):
    Path(f"{store.path}-journal").touch()
    (tmp_path / "labels.csv").write_text("sentence\nQue bom!\n")
    (tmp_path / "empty").touch()
    for name, migrated in (("mail.db", ""), ("other.db", "another set")):
        with contextlib.closing(sqlite3.connect(tmp_path / name)) as foreign:
            foreign.execute("create table _sqlite_migrations (id, migration_set, name)")
            foreign.execute("insert into _sqlite_migrations values (1, ?, 'm001')", [migrated])
            foreign.commit()
    (tmp_path / "broken.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    (tmp_path / "link.csv").symlink_to(tmp_path / "labels.csv")
    for name in ("labels.csv", "empty", "mail.db", "other.db", "broken.db", "link.csv"):
        before = (tmp_path / name).read_bytes()
        for copy in (
            lambda path: backup(store, path),
            lambda path: Backups(store, path).__enter__(),
        ):
            with pytest.raises(StoreError, match="is there and is no store"):
                copy(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    for end in ("-wal", "-shm", "-journal"):
        before = Path(f"{store.path}{end}").read_bytes()
        with pytest.raises(StoreError, match="belongs to another store"):
            backup(store, f"{store.path}{end}")
        assert Path(f"{store.path}{end}").read_bytes() == before


def test_backups_are_made_every_few_minutes_and_at_the_end(store, tmp_path):
    copy = tmp_path / "copy.db"
    with Backups(store, copy, minutes=0.05 / 60):
        deadline = time.monotonic() + 20
        while not copy.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert copy.exists()
        store.add_examples([example(77)])
    with Store(copy, read_only=True) as opened:
        assert opened.examples("t")[-1] == example(77)


def test_a_backup_is_made_although_the_work_fails(store, tmp_path):
    def work() -> None:
        with Backups(store, tmp_path / "copy.db"):
            store.add_examples([example(78)])
            raise KeyError("the work")

    with pytest.raises(KeyError):
        work()
    with Store(tmp_path / "copy.db", read_only=True) as opened:
        assert opened.examples("t")[-1] == example(78)


@pytest.mark.needs_posix
def test_a_backup_that_fails_in_between_is_a_warning_and_at_the_end_an_error(
    store, tmp_path, caplog
):
    folder = tmp_path / "drive"
    folder.mkdir()

    def work() -> None:
        with Backups(store, folder / "copy.db", minutes=0.02 / 60):
            shutil.rmtree(folder)
            deadline = time.monotonic() + 20
            while not caplog.messages and time.monotonic() < deadline:
                time.sleep(0.01)

    with pytest.raises(StoreError, match="no such folder"):
        work()
    assert "no backup was made" in caplog.messages[0]


def test_vacuum_gives_space_back_and_keeps_rows_and_their_order(store):
    store.add_examples(
        example(number, inputs={"x": "y" * 5000}, id=str(number)) for number in range(50, 250)
    )
    with store.connection.writing() as connection:
        connection.execute("delete from examples where length(id) < 16 and id <> '50'")
    kept = store.examples("t")
    before, after = vacuum(store)
    assert after < before / 2
    assert store.examples("t") == kept
    assert verify(store) == []


# Checks


DAMAGE = {
    'update examples set inputs = \'{"x":"other"}\' where position = 1': (
        "1 examples have another id than the hash of their inputs"
    ),
    "update runs set model = 'another'": "1 runs have another id than the hash",
    "update records set answer = '{' where number = 2": "1 rows of records hold no JSON in answer",
    "delete from examples where position = 3": "1 rows of records refer to none of examples",
    "insert into records_fts (records_fts, rowid, reasoning) values ('delete', 1, 'porque 0')": (
        "full text records_fts is not that of its rows"
    ),
    "insert into examples_fts (rowid, text) values (999, 'de ninguém')": (
        "full text examples_fts is not that of its rows"
    ),
    "drop trigger records_fts_update; update records set reasoning = 'talvez 0' where number = 1": (
        "full text records_fts is not that of its rows"
    ),
    "insert into reviews (example, verdict, reviewer, created) values (1, 'correct', 'Ana', '')": (
        "1 reviews have no reviewer or no corrected answer"
    ),
    "insert into words values ('0123456789abcdef', 'schema', '{}')": (
        "1 kept words have another fingerprint than their text, first 0123456789abcdef"
    ),
    "insert into words values ('0123456789abcdef', 'prompt', 'no JSON')": (
        "1 kept words have another fingerprint than their text, first 0123456789abcdef"
    ),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.items())
def test_verify_names_what_is_wrong(store, damage, said):
    assert verify(store) == []
    store.connection._connection.execute("pragma foreign_keys = off")
    store.connection._connection.executescript(damage)
    assert any(said in problem for problem in verify(store)), verify(store)
    with Store(store.path, read_only=True) as opened:
        assert verify(opened) == verify(store)


def test_verify_finds_nothing_wrong_with_what_the_program_writes(store):
    store.add_examples([example(50, id="given by hand"), example(51, gold={"a": [1, None]})])
    store.add_record(record(51, answer=None, error="no route", reasoning=None, raw="x"))
    store.add_record(record(51, reasoning="à segunda tentativa"))
    set_flags(store, "t", "rule", [Flag(example=example(1).id, rule="rule", detail={"a": 1})])
    said: dict[str, Any] = {
        "verdict": "correct",
        "reviewer": "Ana",
        "answer": {"emocao": "Raiva"},
        "created": "1",
    }
    add_review(store, "t", Review(example=example(1).id, run=RUN.id, **said))
    assert verify(store) == []


def test_a_number_that_json_lacks_does_not_break_the_file(store):
    store.add_examples([example(60)])
    store.add_record(record(60, answer={"n": float("nan")}, confidence=None))
    assert store.record(RUN.id, example(60).id) == record(60, answer={"n": None})
    assert verify(store) == []


def test_verify_of_a_file_with_a_damaged_page_says_so(store, tmp_path):
    store.add_examples(example(n, inputs={"x": f"{n} " * 400}, id=str(n)) for n in range(100, 200))
    copy = backup(store, tmp_path / "copy.db")
    data = bytearray(copy.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = os.urandom(4096)
    copy.write_bytes(data)
    with contextlib.suppress(StoreError), Store(copy, read_only=True) as opened:
        assert verify(opened)


def test_flipped_bytes_give_problems_or_a_store_error_and_nothing_else(store, tmp_path):
    save_words(store, fingerprint("{}"), "schema", "{}")
    copy, places, told = tmp_path / "copy.db", random.Random(0), 0
    good = backup(store, copy).read_bytes()
    used = [at for at, byte in enumerate(good) if byte]
    for _ in range(25):
        data = bytearray(good)
        for at in places.sample(used, 3):
            data[at] ^= 1 << places.randrange(8)
        copy.write_bytes(data)
        try:
            with Store(copy, read_only=True) as opened:
                problems = verify(opened)
        except StoreError as error:
            problems = [str(error)]
        told += bool(problems)
        assert not any("\n" in problem for problem in problems)
    assert told >= 20  # a changed digit of an answer is not seen


def test_a_text_that_a_damage_made_bytes_is_a_problem(store):
    connection = store.connection._connection
    connection.executescript(
        "pragma writable_schema = on; "
        "update sqlite_master set sql = replace(sql, ' strict', '') where name = 'examples'"
    )
    with contextlib.closing(sqlite3.connect(store.path)) as other:
        other.execute("update examples set id = cast(id as blob) where position = 1")
        other.commit()
    (found,) = [line for line in verify(store) if "stopped" in line]
    assert found.startswith("the check of example ids stopped: cannot use a string pattern")


# Read-only


def test_a_store_opened_read_only_reads_and_refuses_every_write(store):
    with Store(store.path, read_only=True) as opened:
        assert opened.pairs(RUN.id) == store.pairs(RUN.id)
        for write in (
            lambda: opened.add_examples([example(1)]),
            lambda: opened.start_run(RUN),
            lambda: opened.finish_run(RUN.id, "now"),
            lambda: opened.add_record(record(1)),
            lambda: opened.add_records([record(1)]),
            lambda: vacuum(opened),
        ):
            with pytest.raises(StoreError, match="is opened read-only"):
                write()


def test_reading_leaves_nothing_behind_and_does_not_touch_the_file(store):
    store.close()
    before = Path(store.path).read_bytes()
    with Store(store.path, read_only=True) as one, Store(store.path, read_only=True) as other:
        assert one.splits("t") == other.splits("t") == {"train": 10}
    assert Path(store.path).read_bytes() == before
    assert [path.name for path in Path(store.path).parent.iterdir()] == ["s.db"]


def test_a_log_that_a_killed_writer_left_is_read_and_left_to_the_next_writer(store, tmp_path):
    for end in ("", "-wal"):  # as a killed process leaves them
        shutil.copy(f"{store.path}{end}", tmp_path / f"killed.db{end}")
    before = (tmp_path / "killed.db-wal").read_bytes()
    assert before
    with Store(tmp_path / "killed.db", read_only=True) as opened:
        assert opened.pairs(RUN.id) == store.pairs(RUN.id)
    assert (tmp_path / "killed.db-wal").read_bytes() == before


def test_a_store_that_is_not_there_cannot_be_opened_read_only(tmp_path):
    with pytest.raises(StoreError, match="there is no store"):
        Store(tmp_path / "no.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


READER = textwrap.dedent(
    """
    import os, sys
    sys.path[:] = [path for path in sys.path if path]
    from understudy.store import Store
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)  # root may write everywhere
    with Store(sys.argv[1], read_only=True) as store:
        print(sum(store.splits("t").values()))
    """
)


@pytest.mark.needs_posix
def test_a_store_in_a_folder_where_nothing_can_be_written_is_read():
    with tempfile.TemporaryDirectory() as name:  # tmp_path is closed to other users
        folder = Path(name) / "shelf"
        folder.mkdir()
        with Store(folder / "a #1?.db") as store:
            fill(store)
        (folder / "a #1?.db").chmod(0o444)
        folder.chmod(0o555)
        Path(name).chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", READER, folder / "a #1?.db"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        folder.chmod(0o755)
    assert (done.stdout.strip(), done.stderr) == ("10", "")


@pytest.mark.needs_posix
def test_an_old_store_that_cannot_be_written_where_it_is_should_be_copied_first():
    dump = (Path(__file__).parent / "stores" / "m001.sql").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        old = Path(name) / "old.db"
        with contextlib.closing(sqlite3.connect(old)) as connection:
            connection.executescript(dump)
        old.chmod(0o444)
        Path(name).chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", READER, old], capture_output=True, text=True, check=False
        )
        Path(name).chmod(0o755)
    assert "copy it to where you can write, and there open it once for writing" in done.stderr


@pytest.mark.needs_posix
def test_a_new_store_is_for_its_owner_alone(store, tmp_path):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}
    assert "s.db-wal" in modes


# Drives that several machines share


MOUNTINFO = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:35 / /home/ana rw - nfs4 server:/home rw,vers=4.2
41 40 0:36 / /home/ana/disk rw - xfs /dev/sdb1 rw
42 22 0:40 / /content/drive rw - fuse drive rw
43 22 0:41 / /mnt/Cafe\040com\040leite rw - cifs //nas/share rw
44 22 0:42 / /mnt/c rw - 9p drvfs rw,aname=drvfs;path=C:\
45 22 0:43 / /mnt/s3 rw - fuse.rclone remote: rw
46 22 0:44 / /mnt/usb rw - fuseblk /dev/sdc1 rw
47 22 0:45 / /var/lib/ov rw - fuse.fuse-overlayfs ov rw
48 22 0:46 / /mnt/s3 rw - ext4 /dev/sdd1 rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "kind", "shared"),
    [
        ("/srv/app.db", "ext4", False),
        ("/home/ana/app.db", "nfs4", True),
        ("/home/anabela/app.db", "ext4", False),
        ("/home/ana/disk/app.db", "xfs", False),
        ("/content/drive/MyDrive/app.db", "fuse", True),
        ("/mnt/c/Users/app.db", "9p", True),
        ("/mnt/usb/app.db", "fuseblk", False),
        ("/var/lib/ov/app.db", "fuse.fuse-overlayfs", False),
        ("/mnt/Cafe com leite/app.db", "cifs", True),
        ("/mnt/s3/app.db", "ext4", False),  # the last mount on a folder covers the one before
    ],
)
def test_mountinfo_says_which_drive_holds_a_path(path, kind, shared):
    assert drives.type_in_mountinfo(Path(path), MOUNTINFO) == kind
    assert drives.is_shared(kind) is shared


def test_the_mount_list_of_a_mac_says_which_drive_holds_a_path():
    text = (
        "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n"
        "//ana@nas/share on /Volumes/share (1) (smbfs, nodev, nosuid, mounted by ana)\n"
    )
    where = Path("/Volumes/share (1)/s.db")
    assert drives.type_in_mount_list(where, text) == "smbfs"
    assert drives.type_in_mount_list(Path("/Users/ana/s.db"), text) == "apfs"


@pytest.fixture
def shared_drive(tmp_path, monkeypatch):
    """tmp_path, as it would be on a network drive."""
    if sys.platform != "linux":
        pytest.skip("writes a mount table of Linux")
    mounts = tmp_path / "mountinfo"
    folder = tmp_path / "drive"
    folder.mkdir()
    mounts.write_text(f"1 1 8:1 / / rw - ext4 /dev/a rw\n2 1 0:3 / {folder} rw - nfs4 nas:/ rw\n")
    monkeypatch.setattr(drives, "MOUNTS", mounts)
    return folder


def test_on_a_shared_drive_a_rollback_journal_is_used_and_said_once(shared_drive, caplog):
    path = shared_drive / "s.db"
    with caplog.at_level(logging.WARNING, "understudy.store"):
        with Store(path) as store:
            fill(store)
            assert [row[0] for row in store.connection.read("pragma journal_mode")] == ["delete"]
            assert sorted(file.name for file in shared_drive.iterdir()) == ["s.db", "s.db.writer"]
        with Store(path) as store:
            assert len(store.examples("t")) == 10
    assert [file.name for file in shared_drive.iterdir()] == ["s.db"]
    assert len(caplog.messages) == 1
    assert "(nfs4) cannot do write-ahead logging" in caplog.messages[0]


def test_a_store_with_a_write_ahead_log_is_moved_to_a_shared_drive(store, shared_drive):
    store.close()
    shutil.copy(store.path, shared_drive / "s.db")
    with Store(shared_drive / "s.db") as moved:
        moved.add_examples([example(100)])
        assert [row[0] for row in moved.connection.read("pragma journal_mode")] == ["delete"]
        assert verify(moved) == []


def test_a_store_with_a_write_ahead_log_is_opened_where_memory_cannot_be_shared(
    store, shared_drive
):
    class WithoutSharedMemory(Connection):
        def _connect(self):
            uri = f"file:{self.path}?vfs=unix-dotfile"
            return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    store.close()
    path = Path(shutil.copy(store.path, shared_drive / "s.db"))
    for _ in range(2):
        with contextlib.closing(WithoutSharedMemory(path)) as connection:
            assert [row[0] for row in connection.read("pragma journal_mode")] == ["delete"]
            assert len(connection.read("select * from records")) == 10
            with connection.writing() as writer:
                writer.execute("update runs set finished = 'now'")


def test_a_copy_that_a_killed_process_left_half_done_is_removed(store, tmp_path):
    left = [tmp_path / f".copy.db.{number}.part" for number in (1, 2)]
    for part in left:
        part.write_bytes(b"half")
    os.utime(left[0], (0, 0))
    backup(store, tmp_path / "copy.db")
    assert [part.exists() for part in left] == [False, True]  # the other may still be written


SECOND = textwrap.dedent(
    """
    import pathlib, sys
    from understudy.store import Example, Store, StoreError, file_systems
    file_systems.MOUNTS = pathlib.Path(sys.argv[2])
    with Store(sys.argv[1]) as store:
        print(sum(store.splits("t").values()))
        try:
            store.add_examples([Example(id="x", task="t", split="train", inputs={})])
            print("written")
        except StoreError as error:
            print(error)
    """
)


def second(path: Path) -> list[str]:
    """What another process reads of the store, and how writing it ends."""
    done = subprocess.run(
        [sys.executable, "-c", SECOND, path, drives.MOUNTS],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_on_a_shared_drive_one_process_writes_and_the_others_read(shared_drive):
    path = shared_drive / "s.db"
    with Store(path) as store, Store(path) as again:  # connections of one process are one writer
        fill(store)
        read, said = second(path)
        assert read == "10"
        assert f"process {os.getpid()} on {socket.gethostname()} is writing it" in said
        assert f"delete {path}.writer" in said
        again.add_examples([example(100)])
    assert second(path) == ["11", "written"]


def test_a_lock_that_a_killed_process_left_is_taken_over(shared_drive):
    path = shared_drive / "s.db"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    lock = path.with_name("s.db.writer")
    lock.write_text(json.dumps({"host": socket.gethostname(), "pid": ended.pid}))
    with Store(path) as store:
        fill(store)
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert not lock.exists()


def test_a_lock_of_another_machine_is_left_alone(tmp_path):
    lock = tmp_path / "s.db.writer"
    lock.write_text(json.dumps({"host": "another-machine", "pid": 1}))
    with pytest.raises(Taken, match="process 1 on another-machine is writing it"):
        OneWriter(tmp_path / "s.db").take()
    lock.write_text("")
    with pytest.raises(Taken, match=r"if none does, delete .*s\.db\.writer"):
        OneWriter(tmp_path / "s.db").take()


# Totals


def test_totals_add_up_per_run_split_and_class():
    with Store(":memory:") as store:
        store.start_run(RUN)
        store.start_run(RUN.model_copy(update={"id": "empty", "name": "empty", "task": "other"}))
        golds = [{"f": {"n": 1}}, {"f": {"n": True}}, None, {"f": {}}]
        store.add_examples(
            example(n, gold=gold, split="test" if n else "train") for n, gold in enumerate(golds)
        )
        store.add_records(
            [
                record(
                    0, input_tokens=5, cost=0.5, seconds=1.0, answer={"f": {"n": "a"}, "x": [1]}
                ),
                record(1, input_tokens=7, seconds=0.5, answer={"f": {"n": "a"}}),
                record(2, answer=None, error="no route", attempts=3),
                record(3, answer={"f": {"n": "é"}}),
            ]
        )
        found, empty = run_totals(store)
        assert found == RunTotals(
            run=RUN.id, name="teacher", task="t", role="teacher", model="same", rows=4, failed=1,
            attempts=6, input_tokens=12, output_tokens=None, cached_tokens=None,
            reasoning_tokens=None, cost=0.5, seconds=1.5,
        )  # fmt: skip
        assert (empty.rows, empty.failed, empty.cost, empty.seconds) == (0, 0, None, 0)
        assert run_totals(store, "t") == [found]
        assert split_totals(store, "t") == [
            SplitTotals(task="t", split="train", examples=1, gold=1, corrected=0),
            SplitTotals(task="t", split="test", examples=3, gold=2, corrected=0),
        ]
        assert answer_counts(store, RUN.id, ["f.n", "x"]) == {
            "f.n": Counter({"a": 2, "é": 1}),
            "x": Counter({"[1]": 1}),
        }
        assert gold_counts(store, "t", ["f.n"]) == {"f.n": Counter({"1": 1, "true": 1})}
        assert gold_counts(store, "t", ["f.n"], split="test") == {"f.n": Counter({"true": 1})}


# The commands


def run_command(name: str, *arguments: Any) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(COMMANDS[name])
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def test_the_commands_copy_check_and_tidy_a_store(store, tmp_path):
    status, said = run_command("backup", tmp_path / "copy.db", "--store", store.path)
    assert (status, "copied" in said) == (0, True)
    assert run_command("verify", "--store", tmp_path / "copy.db")[0] == 0
    assert run_command("vacuum", "--store", store.path)[0] == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        connection.execute("update runs set model = 'another'")
        connection.commit()
    status, said = run_command("verify", "--store", tmp_path / "copy.db")
    assert status == 1
    assert "1 runs have another id" in said
