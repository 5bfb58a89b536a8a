"""A small teacher's run for the tests of training, and what they read of a run folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from understudy.chains import Task
from understudy.store import Example, Record, Run, Store, example_id

MOODS = ("Alegria", "Medo", "Neutro", "Emoção")


def teach(store: Store, task: Task, *, count: int = 16, run: str = "t1", **fields: Any) -> None:
    """A teacher's run over `count` train and 4 validation rows."""
    described: dict[str, Any] = {
        "id": run,
        "name": "teacher",
        "task": task.name,
        "role": "teacher",
        "model": "wise",
        "strategy": "answer",
        "target": "reason_label",
        "words": task.teacher_words,
        "answers": task.answers,
        "started": f"2026-01-0{run[-1]}",
    }
    store.start_run(Run(**{**described, **fields}))
    for i in range(count + 4):
        inputs = {"sentence": f"a frase {i} diz {MOODS[i % 4]}"}
        split = "train" if i < count else "validation"
        example = Example(id=example_id(inputs), task=task.name, split=split, inputs=inputs)
        store.add_examples([example])
        answer = {"mood": MOODS[i % 4], "urgent": i % 2 == 0}
        store.add_record(
            Record(run=run, example=example.id, answer=answer, reasoning=f"diz {i}", created="2026")
        )


def log_of(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "training_log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def losses_of(folder: Path) -> list[float]:
    return [line["loss"] for line in log_of(folder)]


def adapter_of(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()
