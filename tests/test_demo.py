"""The demo's own parts; `make demo` itself runs the whole loop."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from understudy.chains import load_task
from understudy.chains.teachers import load_teacher
from understudy.distill import demo
from understudy.distill.labelling import LabellingError, label
from understudy.store import Store


def test_one_folder_holds_one_seed(tmp_path):
    demo._claim(tmp_path / "demo", 0)
    demo._claim(tmp_path / "demo", 0)
    with pytest.raises(LabellingError, match="seed 0; choose another folder for seed 1"):
        demo._claim(tmp_path / "demo", 1)


def test_importing_the_sample_twice_adds_nothing(tmp_path):
    with Store(":memory:") as store:
        demo._import(tmp_path, store, 0)
        splits = store.splits("noticias")
        demo._import(tmp_path, store, 0)
        assert store.splits("noticias") == splits
    assert splits["train"] >= 1200
    assert (splits["validation"], splits["calibration"]) == (150, 300)
    assert min(splits["test"], splits["hard"]) >= 200
    assert splits["wild"] >= 120


def test_relabelled_counts_rows_that_were_asked_although_they_had_an_answer(tmp_path):
    task = load_task(demo.TASK)
    with Store(":memory:") as store:
        demo._import(tmp_path, store, 0)
        label(task, load_teacher("offline", task=demo.TASK), store, limit=5)
        rows = []
        again = demo._label(task, store, lambda name: lambda *row: rows.append(row))
        assert again == 0
        asked = len(rows)
        assert asked == sum(store.splits("noticias").values()) - 5 * len(store.splits("noticias"))
        assert demo._label(task, store, lambda name: lambda *row: rows.append(row)) == 0
        assert len(rows) == asked


def test_the_memory_of_child_processes_counts():
    code = "data = bytearray(200 * 2**20); data[::4096] = b'x' * len(data[::4096]); input()"
    with demo.MemoryWatch() as alone:
        time.sleep(1.2)
    with (
        demo.MemoryWatch() as memory,
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child,
    ):
        time.sleep(2.5)
        child.communicate(b"\n")
    assert memory.peak_mb > alone.peak_mb + 150


def test_a_training_that_fails_is_one_line_with_its_reason(tmp_path):
    with Store(tmp_path / "demo.db"):
        pass  # nothing to learn from
    with pytest.raises(LabellingError, match="training label ended with status 1: understudy: "):
        demo._train_side_by_side(tmp_path, 0, lambda name: lambda *step: None)


def test_a_log_that_is_being_written_is_read_up_to_its_last_whole_line(tmp_path):
    log, shown = tmp_path / "training_log.jsonl", []
    demo._follow(log, lambda *step: shown.append(step))
    log.write_text('{"step": 1, "total": 9, "loss": 0.5}\n{"step": 2, "to')
    demo._follow(log, lambda *step: shown.append(step))
    log.write_text('{"step": 1, "total": 9, "loss": 0.5}\n{"step": 2, "total": 9, "loss": 0.25}\n')
    demo._follow(log, lambda *step: shown.append(step))
    assert shown == [(1, 9, 0.5), (2, 9, 0.25)]
