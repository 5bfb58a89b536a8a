"""A student answers the rows of its calibration, through the one loop, as its run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...chains.task import Task
from ...store.rows import Run
from ...store.store import Store
from ..loop import Progress, Rows, run_chain
from ..runs import start
from ..standin.student import load_student, student_chain, student_run

CONCURRENCY = 64  # rows at once: a student in this process takes them as one batch


def student_of(task: Task, student: Path | str) -> tuple[Run, Any]:
    """The run that `evaluate` and a stand-in know the student by, and its model, not loaded yet.

    `student` is a run folder, "http://host:port/v1#name" or "provider:model". Raises StudentError,
    TaskError.
    """
    model = load_student(student)
    return student_run(task, model), model


def ask(
    task: Task,
    store: Store,
    run: Run,
    model: Any,
    *,
    splits: tuple[str, ...],
    limit: int | None = None,
    progress: Callable[[str], Progress | None] | None = None,
) -> None:
    """The student answers the rows of the splits that it has not answered."""
    rows = Rows(splits=splits, limit=limit)
    try:
        if not rows.count(store, run):
            return
        if getattr(model, "card", None) is not None:
            _ = model.engine  # weights that cannot be loaded are one error, not one for each row
        run_chain(
            student_chain(task, model),
            task,
            store,
            start(task, store, run),
            rows,
            concurrency=CONCURRENCY,
            progress=progress(run.name) if progress else None,
        )
    finally:
        if hasattr(model, "close"):
            model.close()
