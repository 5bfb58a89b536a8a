"""The whole loop on the embedded default: label, store, train two students, evaluate, report."""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..chains.loading import load_task
from ..chains.task import Target, Task
from ..chains.teachers import load_teacher
from ..store.rows import Run
from ..store.store import Store
from .evaluation.results import Report
from .importing import import_examples
from .labelling.label import label
from .labelling.limits import LabellingError
from .runs import teacher_run

TASK = "understudy.examples.news.task:task"
BASE = "embedded"
TAUGHT: tuple[Target, ...] = ("label", "reason_label")


@dataclass(frozen=True)
class DemoResult:
    """The report's data, where its page is, and the summary line (one JSON object)."""

    report: Report
    page: Path
    summary: str


def run_demo(
    folder: Path,
    *,
    seed: int,
    say: Callable[[str], None],
    bars: Callable[[], contextlib.AbstractContextManager[Any]],
    steps: Callable[[], contextlib.AbstractContextManager[Any]],
) -> DemoResult:
    """Run it in `folder`; run again, it resumes and labels nothing twice.

    `say` prints a line; `bars` and `steps` open progress displays for rows and training steps.
    `report/demo.json` is the summary of this call: `seconds` and `peak_rss_mb` (MiB) are its own,
    `resumed` says whether the folder held earlier work. A call that began with nothing and did the
    whole loop also leaves it as `report/first_demo.json`, which later calls do not touch.

    Raises LabellingError where the folder is somebody else's or another seed's, TrainingError where
    a training fails.
    """
    from .evaluation.systems import evaluate
    from .reporting.pages import write_report

    start = time.perf_counter()
    resumed = _claim(folder, seed)
    task = load_task(TASK)
    with MemoryWatch() as memory, Store(folder / "demo.db") as store:
        for line in _import(folder, store, seed):
            say(line)
        with bars() as progress:
            relabelled = _label(task, store, progress)
        say("training two students side by side: labels only, and with reasoning")
        with steps() as progress:
            _train_side_by_side(folder, seed, progress)
        with bars() as progress:
            report = evaluate(
                task,
                store,
                students=[folder / "runs" / target for target in TAUGHT],
                base=BASE,
                progress=progress,
            )
        page = write_report(report, folder / "report")
    summary = {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_rss_mb": round(memory.peak_mb),
        "report": str(page),
        "resumed": resumed,
        "relabelled": relabelled,
        "systems": _systems(report),
    }
    return DemoResult(report=report, page=page, summary=_keep(summary, page.parent))


class MemoryWatch:
    """The highest sum of memory over this process and its children, sampled twice a second.

    Proportional set size where the system tells it (Linux), so that shared pages count once.
    Elsewhere (macOS, Windows) resident size: a page that two processes share counts twice.
    """

    def __enter__(self) -> MemoryWatch:
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        me = psutil.Process()
        while not self._stop.wait(0.5):
            total, processes = 0, [me]
            with contextlib.suppress(psutil.Error):  # a child that ends while they are listed
                processes += me.children(recursive=True)
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    memory = process.memory_full_info()
                    total += getattr(memory, "pss", 0) or memory.rss
            self.peak_mb = max(self.peak_mb, total / 2**20)


def _claim(folder: Path, seed: int) -> bool:
    """Mark an empty folder as the demo of one seed, or find it so marked; True if it was.

    Another seed's rows would mix with its own, and somebody's own files would be overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "seed"
    if not mark.exists():
        if any(folder.iterdir()):
            raise LabellingError(
                f"{folder} is not empty and holds no demo; choose a new folder for the demo"
            )
        mark.write_text(f"{seed}\n", encoding="utf-8")
        return False
    found = mark.read_text(encoding="utf-8", errors="replace").strip()
    if found != str(seed):
        raise LabellingError(
            f"{folder} holds the demo of seed {found}; choose another folder for seed {seed}"
        )
    return True


def _keep(summary: dict[str, Any], folder: Path) -> str:
    text = json.dumps(summary, ensure_ascii=False)
    names = ["demo.json"] if summary["resumed"] else ["demo.json", "first_demo.json"]
    for name in names:
        (folder / name).write_text(text + "\n", encoding="utf-8")
    return text


def _import(folder: Path, store: Store, seed: int) -> list[str]:
    from ..examples.news.generate import write_csv

    write_csv(folder / "news.csv", seed)
    lines = import_examples(store, TASK, folder / "news.csv", split_column="split")
    wild = importlib.resources.files("understudy.examples.news") / "wild.csv"
    with importlib.resources.as_file(wild) as path:
        return lines + import_examples(store, TASK, path, split="wild")


def _label(task: Task, store: Store, progress: Callable[[str], Any]) -> int:
    """Label everything; returns how many rows were asked although they had been answered."""
    teacher = load_teacher("offline", task=TASK)
    run = teacher_run(task, [teacher])
    before = _answered(store, run)
    asked: list[str] = []
    show = progress("teacher")

    def remember(done: int, total: int, record: Any) -> None:
        asked.append(record.example)
        show(done, total, record)

    label(task, teacher, store, progress=remember)
    return len(before.intersection(asked))


def _answered(store: Store, run: Run) -> set[str]:
    return {record.example for record in store.records(run.id)}


def _train_side_by_side(folder: Path, seed: int, progress: Callable[[str], Any]) -> None:
    threads = str(max(1, (os.cpu_count() or 1) // len(TAUGHT)))
    with contextlib.ExitStack() as stack:
        trainings = {
            target: stack.enter_context(_training(folder, target, seed, threads))
            for target in TAUGHT
        }
        shown = {target: progress(f"student {target}") for target in TAUGHT}
        _wait(folder, trainings, shown)


def _wait(
    folder: Path,
    trainings: Mapping[Target, subprocess.Popen[bytes]],
    shown: Mapping[Target, Callable[[int, int, float | None], None]],
) -> None:
    """Show every training's steps until all have ended well; TrainingError as soon as one fails."""
    from .training.preflight import TrainingError

    running = True
    while running:
        statuses = {target: process.poll() for target, process in trainings.items()}
        for target, status in statuses.items():
            _follow(folder / "runs" / target / "training_log.jsonl", shown[target])
            if status:
                log = folder / f"train-{target}.log"
                said = log.read_text(encoding="utf-8", errors="replace").strip()
                raise TrainingError(
                    f"training {target} ended with status {status}: "
                    f"{said.splitlines()[-1] if said else 'it said nothing'}"
                )
        running = None in statuses.values()
        if running:
            time.sleep(0.5)


@contextlib.contextmanager
def _training(
    folder: Path, target: str, seed: int, threads: str
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "understudy.distill.cli", "train", "--task", TASK]
    command += ["--store", str(folder / "demo.db"), "--student", BASE, "--target", target]
    command += ["--out", str(folder / "runs" / target), "--seed", str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with (
        (folder / f"train-{target}.log").open("wb") as log,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def _follow(log: Path, show: Callable[[int, int, float | None], None]) -> None:
    """Show the last step of a training log, leaving out a line that is still being written."""
    if not log.is_file():
        return
    whole = [line for line in log.read_text(encoding="utf-8").splitlines(True) if "\n" in line]
    if whole:
        last = json.loads(whole[-1])
        show(last["step"], last["total"], last["loss"])


def _systems(report: Report) -> dict[str, Any]:
    """By system and split, against gold: which every row of the sample task has."""
    return {
        system.name: {
            name: {
                "exact": _rounded(split.gold.exact.value if split.gold else None),
                "row_exact": _rounded(split.gold.row_exact.value if split.gold else None),
                "valid": _rounded(split.valid.value),
            }
            for name, split in system.splits.items()
        }
        for system in report.systems
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
