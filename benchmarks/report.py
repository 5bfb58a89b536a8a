"""How long the report takes, and what memory: 100,000 rows, eight systems, all in the store.

    python -m benchmarks.report [--quick]

Made news with two parts of two labels each, gold on every row: a teacher with reasonings, four
students (of all targets; confidences, and reasonings where the target writes them), TF-IDF, the
base and the majority class. The store is made first and not timed. Then a process of its own
compares everybody and writes report.html, report.md and report.json; its seconds and its highest
resident memory are the figures, reading the store and importing the libraries included. The last
line is one JSON object: {"rows": .., "systems": .., "seconds": .., "peak_rss_mb": ..}.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, ConfigDict

from understudy.chains.task import Task
from understudy.distill.runs import describe_run
from understudy.store import Example, Record, Run, Store, example_id

from .store_rows import text

ROWS, QUICK_ROWS = 100_000, 2_000
MOST_SECONDS, MOST_MB = 90, 1500
POLARITIES = ("Positivo", "Negativo", "Neutro")
EMOTIONS = ("Alegria", "Medo", "Raiva", "Surpresa", "Tristeza", "Neutro")
CREATED = "2026-01-01T00:00:00+00:00"
# name: role, target, chance that a part is right, writes reasonings, knows its confidence
SYSTEMS: dict[str, tuple[str, str, float, bool, bool]] = {
    "teacher": ("teacher", "reason_label", 0.95, True, False),
    "label": ("student", "label", 0.90, False, True),
    "reason_label": ("student", "reason_label", 0.92, True, True),
    "label_reason": ("student", "label_reason", 0.91, False, True),
    "multitask": ("student", "multitask", 0.905, False, True),
    "tfidf": ("baseline", "label", 0.80, False, False),
    "base": ("base", "reason_label", 0.30, True, False),
    "majority": ("baseline", "label", 0.0, False, False),
}


class Part(BaseModel):
    """What one sentence says."""

    model_config = ConfigDict(extra="forbid")

    polaridade: Literal["Positivo", "Negativo", "Neutro"]
    emocao: Literal["Alegria", "Medo", "Raiva", "Surpresa", "Tristeza", "Neutro"]


class News(BaseModel):
    """Two sentences, reasoning first."""

    model_config = ConfigDict(extra="forbid")

    raciocinio: str
    f1: Part
    f2: Part


task = Task(
    name="news100k",
    schema=News,
    reasoning="raciocinio",
    cue=r"pista (\w+)",
    prompt=ChatPromptTemplate.from_messages([("human", "f1: {f1}\nf2: {f2}")]),
)


def main() -> int:
    """Parse, make the store, measure, print; the exit status says whether both limits hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rows: does it run at all")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return 0
    rows = QUICK_ROWS if options.quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        make_store(Path(folder) / "report.db", rows)
        print(f"{rows:,} rows x {len(SYSTEMS)} systems made in {time.perf_counter() - begun:.0f} s")
        figures = measured(Path(folder))
    busy, page = figures.pop("cpu_seconds"), figures.pop("page_mb")
    print(
        f"compared and written in {figures['seconds']} s ({busy} s of processor time), "
        f"{figures['peak_rss_mb']} MB at most; the page has {page} MB"
    )
    print(json.dumps(figures))
    kept = figures["seconds"] < MOST_SECONDS and figures["peak_rss_mb"] < MOST_MB
    return 0 if kept else 1


def measured(folder: Path) -> dict[str, Any]:
    """The figures of a process that does nothing else."""
    command = [sys.executable, "-m", "benchmarks.report", "--measure", str(folder)]
    begun = time.perf_counter()
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    told = json.loads(ended.stdout.splitlines()[-1])
    return {
        "rows": told["rows"],
        "systems": told["systems"],
        "seconds": round(seconds, 1),
        "peak_rss_mb": told["peak_rss_mb"],
        "page_mb": told["page_mb"],
        "cpu_seconds": told["cpu_seconds"],
    }


def measure(folder: Path) -> None:
    """Compare, write, and say what it took."""
    from understudy.distill.evaluation.comparing import compare
    from understudy.distill.reporting.pages import write_report

    with Store(folder / "report.db", read_only=True) as store:
        report = compare(task, store, machine_usd_per_hour=1.0)
    page = write_report(report, folder / "report")
    told = {
        "rows": sum(split.rows for split in report.splits),
        "systems": len(report.systems),
        "peak_rss_mb": round(_peak_mb()),
        "cpu_seconds": round(time.process_time(), 1),
        "page_mb": round(page.stat().st_size / 2**20, 2),
    }
    print(json.dumps(told))


def _peak_mb() -> float:
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def make_store(path: Path, rows: int) -> None:
    """Training rows of a tenth, test rows, and everybody's records of the test rows."""
    taught = rows // 10
    teacher = _run("teacher", {})
    runs = [teacher, *(_run(name, {"teacher_run": teacher.id}) for name in list(SYSTEMS)[1:])]
    with Store(path) as store:
        store.add_examples(_example(number, taught) for number in range(rows + taught))
        for run in runs:
            store.start_run(run)
        store.add_records(
            record
            for number in range(rows + taught)
            for record in _records(runs if number >= taught else runs[:1], number)
        )
        for run in runs:
            store.finish_run(run.id, CREATED)


def _run(name: str, facts: dict[str, str]) -> Run:
    role, target, *_ = SYSTEMS[name]
    learnt = {"base": "made", "rows": "all"} if role == "student" else {}
    return describe_run(
        task, role=role, name=name, model=name, target=target, parameters={**learnt, **facts}
    ).model_copy(update={"started": CREATED})


def _inputs(number: int) -> dict[str, str]:
    rng = random.Random(number)
    return {name: f"{text(rng, 14)} {number}." for name in ("f1", "f2")}


def _gold(number: int) -> dict[str, Any]:
    rng = random.Random(f"gold {number}")
    weights = range(len(EMOTIONS), 0, -1)
    return {
        part: {
            "polaridade": rng.choice(POLARITIES),
            "emocao": rng.choices(EMOTIONS, weights=weights)[0],
        }
        for part in ("f1", "f2")
    }


def _example(number: int, taught: int) -> Example:
    inputs = _inputs(number)
    split = "train" if number < taught else "test"
    return Example(
        id=example_id(inputs), task=task.name, split=split, inputs=inputs, gold=_gold(number)
    )


def _records(runs: Sequence[Run], number: int) -> Iterator[Record]:
    """What these runs answered to the row of this number."""
    inputs, gold = _inputs(number), _gold(number)
    example = example_id(inputs)
    created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number / 50)
    for run in runs:
        _, _, right, reasons, sure = SYSTEMS[run.name]
        rng = random.Random(f"{run.name} {number}")
        answer = {part: _said(rng, labels, right) for part, labels in gold.items()}
        failed = rng.random() < 0.01 and run.name != "majority"
        paths = [f"{part}.{leaf}" for part in answer for leaf in ("polaridade", "emocao")]
        yield Record(
            run=run.id,
            example=example,
            reasoning=_reasoning(rng, inputs, answer) if reasons and not failed else None,
            answer=None if failed else answer,
            error="the answer is no JSON" if failed else None,
            input_tokens=400 if run.role == "teacher" else 60,
            output_tokens=90 if reasons else 30,
            cost=0.0012 if run.role == "teacher" else None,
            seconds=round(rng.uniform(0.05, 1.5), 3),
            confidence={path: round(rng.uniform(0.5, 1), 4) for path in paths}
            if sure and not failed
            else None,
            created=created.isoformat(timespec="seconds"),
        )


def _said(rng: random.Random, labels: dict[str, Any], right: float) -> dict[str, Any]:
    """A part's labels, right with this chance; with none, always the same."""
    if not right:
        return {"polaridade": POLARITIES[0], "emocao": EMOTIONS[0]}
    return labels if rng.random() < right else {**labels, "emocao": rng.choice(EMOTIONS)}


def _reasoning(rng: random.Random, inputs: dict[str, str], answer: dict[str, Any]) -> str:
    cues = {part: rng.choice(inputs[part].split()) for part in answer}
    return "; ".join(
        f"{part}: pista {cues[part]} indica {answer[part]['emocao']}, {text(rng, 8)}"
        for part in answer
    )


if __name__ == "__main__":
    sys.exit(main())
