"""The demo's own parts; `make demo` itself runs the whole loop."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from understudy.chains import load_task
from understudy.chains.task import Target
from understudy.chains.teachers import load_teacher
from understudy.distill import demo
from understudy.distill.labelling.label import label
from understudy.distill.labelling.limits import LabellingError
from understudy.distill.training.preflight import TrainingError
from understudy.store import Store

ROOT = Path(__file__).parents[1]
SYSTEMS = ("teacher", "label", "reason_label", "tfidf", "base", "majority")


def test_one_folder_holds_one_seed(tmp_path):
    assert demo._claim(tmp_path / "demo", 0) is False
    assert demo._claim(tmp_path / "demo", 0) is True
    with pytest.raises(LabellingError, match="seed 0; choose another folder for seed 1"):
        demo._claim(tmp_path / "demo", 1)


def test_somebodys_own_folder_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "news.csv").write_text("mine")
    with pytest.raises(LabellingError, match="is not empty and holds no demo; choose a new folder"):
        demo._claim(tmp_path, 0)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("news.csv", "mine")]


def test_the_demos_files_do_not_depend_on_the_machines_encoding(tmp_path):
    code = (
        "import sys; from pathlib import Path; from understudy.distill import demo\n"
        "folder = Path(sys.argv[1])\n"
        "demo._claim(folder, 0); demo._claim(folder, 0)\n"
        "demo._keep({'resumed': True}, folder)"
    )
    strict = ["-X", "warn_default_encoding", "-W", "error::EncodingWarning:understudy.distill.demo"]
    subprocess.run([sys.executable, *strict, "-c", code, str(tmp_path)], check=True)


def test_the_cost_of_a_demo_is_that_of_the_run_that_did_all_of_it(tmp_path):
    (tmp_path / "report").mkdir()
    cost = runpy.run_path(str(ROOT / "benchmarks" / "seeds.py"))["cost"]
    resumed = {"resumed": True, "seconds": 20.0, "peak_rss_mb": 700}
    demo._keep(resumed, tmp_path / "report")
    assert cost(tmp_path) == {"seconds": None, "peak_rss_mb": None}
    demo._keep(
        {"resumed": False, "seconds": 400.0, "peak_rss_mb": 2000, "systems": {}},
        tmp_path / "report",
    )
    demo._keep(resumed, tmp_path / "report")
    assert cost(tmp_path) == {"seconds": 400.0, "peak_rss_mb": 2000}
    assert json.loads((tmp_path / "report" / "demo.json").read_text()) == resumed


def summary_of_a_demo():
    """A summary that keeps every promise, just."""
    splits = {
        "wild": {"exact": 0.0, "valid": 1.0},
        "hard": {"exact": 0.62, "valid": 1.0},
        "test": {"exact": 0.9, "valid": 1.0},
    }
    systems = {name: {split: dict(told) for split, told in splits.items()} for name in SYSTEMS}
    systems["reason_label"]["test"]["exact"] = 0.88
    systems["base"]["test"] = {"exact": 0.0, "valid": 0.0}
    told = {"seconds": 1200, "peak_rss_mb": 1999, "resumed": False, "relabelled": 0}
    return {**told, "systems": systems}


def check(path, *arguments):
    """The exit status of check_demo and its lines but the last, which sums up."""
    command = [sys.executable, "-m", "benchmarks.check_demo", str(path), *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    return ended.returncode, ended.stdout.splitlines()[:-1]


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        ("systems label test exact", 0.8999, "label on test: exact is 0.8999, promised 0.9"),
        ("systems reason_label test exact", 0.87, "reason_label on test: exact is 0.87, "),
        ("systems label hard exact", 0.61, "label on hard: exact is 0.61, promised 0.62"),
        ("systems reason_label hard exact", None, "reason_label on hard: exact is missing"),
        ("systems label wild valid", 0.9999, "label on wild: valid is 0.9999, promised 1.0"),
        ("systems base wild", {"valid": 1.0}, "base on wild: exact is missing"),
        ("relabelled", 1, "relabelled is 1, promised at most 0"),
        ("peak_rss_mb", 2000, "peak_rss_mb is 2000, promised under 2000"),
        ("seconds", 1201, "seconds is 1201, promised at most 1200"),
        ("seconds", None, "seconds is missing"),
    ],
)
def test_a_broken_promise_is_a_line_and_a_failure(tmp_path, where, value, said):
    summary = summary_of_a_demo()
    (tmp_path / "demo.json").write_text(json.dumps(summary))
    assert check(tmp_path / "demo.json") == (0, [])
    *path, last = where.split()
    place = summary
    for name in path:
        place = place[name]
    place[last] = value
    (tmp_path / "demo.json").write_text(json.dumps(summary))
    status, lines = check(tmp_path / "demo.json")
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"check_demo: {said}")


def test_a_second_run_must_have_resumed_in_less_than_half_the_time(tmp_path):
    first, second = tmp_path / "first_demo.json", tmp_path / "demo.json"
    second.write_text(json.dumps({**summary_of_a_demo(), "resumed": True, "seconds": 200}))
    missing = f"check_demo: {first} is missing: no run did the whole demo"
    assert check(second, "--resumed") == (1, [missing])
    first.write_text(json.dumps({**summary_of_a_demo(), "seconds": 401}))
    assert check(second, "--resumed") == (0, [])
    first.write_text(json.dumps({**summary_of_a_demo(), "seconds": 400}))
    slow = "check_demo: seconds is 200, promised under 200"
    assert check(second, "--resumed") == (1, [slow])
    second.write_text(json.dumps({**summary_of_a_demo(), "seconds": 20}))
    anew = "check_demo: resumed is not true: the demo began anew"
    assert check(second, "--resumed") == (1, [anew])


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


def test_children_that_cannot_be_listed_do_not_end_the_watch(monkeypatch):
    def refuse(*_, **__):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "children", refuse)
    with demo.MemoryWatch() as memory:
        time.sleep(0.8)
    assert memory.peak_mb > 10


def test_a_training_that_fails_at_once_does_not_wait_for_the_other(tmp_path):
    (tmp_path / "train-label.log").write_text("understudy: no space\n", encoding="utf-8")
    codes: dict[Target, str] = {
        "label": "raise SystemExit(3)",
        "reason_label": "import time; time.sleep(60)",
    }
    trainings = {
        target: subprocess.Popen([sys.executable, "-c", code]) for target, code in codes.items()
    }
    shown = dict.fromkeys(trainings, lambda *step: None)
    with pytest.raises(TrainingError, match="label ended with status 3: understudy: no space"):
        demo._wait(tmp_path, trainings, shown)
    assert trainings["reason_label"].poll() is None
    trainings["reason_label"].kill()
    trainings["reason_label"].wait()


def test_a_training_does_not_outlive_the_demo(tmp_path):
    with (
        pytest.raises(TrainingError, match="the other one"),
        demo._training(tmp_path, "label", 0, "1") as process,
    ):
        raise TrainingError("the other one")
    ended = -signal.SIGTERM if os.name == "posix" else 1
    assert process.returncode == ended


def test_a_training_that_fails_is_one_line_with_its_reason(tmp_path):
    with Store(tmp_path / "demo.db"):
        pass  # nothing to learn from
    with pytest.raises(TrainingError, match="label ended with status 1: understudy: "):
        demo._train_side_by_side(tmp_path, 0, lambda name: lambda *step: None)


def test_a_log_that_is_being_written_is_read_up_to_its_last_whole_line(tmp_path):
    log, shown = tmp_path / "training_log.jsonl", []
    demo._follow(log, lambda *step: shown.append(step))
    log.write_text('{"step": 1, "total": 9, "loss": 0.5}\n{"step": 2, "to')
    demo._follow(log, lambda *step: shown.append(step))
    log.write_text('{"step": 1, "total": 9, "loss": 0.5}\n{"step": 2, "total": 9, "loss": 0.25}\n')
    demo._follow(log, lambda *step: shown.append(step))
    assert shown == [(1, 9, 0.5), (2, 9, 0.25)]
