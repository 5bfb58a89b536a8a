"""What a training is about to teach: the rows a teacher left, as token ids, checked.

`Lesson.facts` go into the card as they are; `train` needs nothing else of how rows were chosen.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..chains.student.weights import EMBEDDED, base_folder, load_tokenizer
from ..chains.task import TARGETS, Target, Task
from ..store.rows import Run
from ..store.store import Store
from .dataset import Encoded, TrainingRows, lesson_rows, tokenised
from .preflight import Preflight, TrainingError, preflight
from .runs import is_repeat

logger = logging.getLogger(__name__)
VALIDATION_ROWS = 64


@dataclass(frozen=True)
class Lesson:
    """Everything that is taught, checked: `encoded` are `taught.rows` as token ids."""

    teacher: Run
    taught: TrainingRows
    encoded: Sequence[Encoded]
    validation: Sequence[Encoded]
    preflight: Preflight
    facts: Mapping[str, Any] = field(default_factory=dict)


def prepare(
    task: Task,
    store: Store,
    *,
    base: str = EMBEDDED,
    target: Target = "label",
    teacher_run: str | None = None,
    limit: int | None = None,
) -> Lesson:
    """The rows that `train` would teach, checked, without loading the base's weights.

    Raises TrainingError as `preflight` does, and where there is no teacher's answer to learn from.
    """
    _check_asked(task, target, limit)
    teacher = _teacher(task, store, teacher_run)
    folder = base_folder(base)
    tokenizer = load_tokenizer(folder, base)
    options: dict[str, Any] = {"target": target, "end_token": tokenizer.eos_token}
    found = lesson_rows(task, store, teacher.id, split="train", **options)
    checks = lesson_rows(task, store, teacher.id, split="validation", **options)
    taught = TrainingRows(found.rows[:limit], found.left_out)
    if not taught.rows:
        raise TrainingError(
            f"no answer of teacher run {teacher.id} can teach {target}: {_counted(found.left_out)}"
        )
    encoded = tokenised(tokenizer, taught.rows)
    checked = preflight(
        task, tokenizer, taught.rows, encoded, target=target, context=_context(folder)
    )
    validation = [
        ids
        for ids in tokenised(tokenizer, checks.rows[:VALIDATION_ROWS])
        if checked.context is None or len(ids["input_ids"]) <= checked.context
    ]
    logger.info(
        "teacher run %s (%s): %d rows, left out: %s",
        teacher.id,
        teacher.model,
        len(taught.rows),
        _counted(found.left_out),
    )
    for path, classes in checked.unseen.items():
        logger.warning("no training row shows %s = %s", path, ", ".join(map(str, classes)))
    return Lesson(teacher, taught, encoded, validation, checked)


def _check_asked(task: Task, target: Target, limit: int | None) -> None:
    if target not in TARGETS:
        raise TrainingError(f"there is no target {target}; take one of {', '.join(TARGETS)}")
    if target == "reason_label" and not task.reasoning:
        raise TrainingError(f"task {task.name} has no reasoning field; train the target label")
    if limit is not None and limit < 1:
        raise TrainingError(f"limit is {limit}: give at least 1 row, or none for all")


def _counted(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{why} ({rows})" for why, rows in left_out.items()) or "none"


def _teacher(task: Task, store: Store, wanted: str | None) -> Run:
    if wanted is not None:
        run = store.run(wanted)
        if run.task != task.name:
            raise TrainingError(
                f"run {wanted} answered task {run.task}, not {task.name}; give another teacher_run"
            )
        return run
    for run in store.runs(task=task.name, role="teacher"):
        if is_repeat(run):
            continue
        if run.answers == task.answers and store.records(run.id, split="train"):
            return run
    raise TrainingError(
        f"task {task.name}: no teacher has answered its split train under this answer schema; "
        "label it first (understudy distill), or name a teacher_run of an older schema"
    )


def _context(folder: Path) -> int | None:
    """How many tokens the base takes, as its config says."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    length = config.get("max_position_embeddings")
    return int(length) if length else None
