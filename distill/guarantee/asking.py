"""Who the student of a run folder is to the store, and its answers to a calibration's rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...chains.answer import answer_chain
from ...chains.task import Task
from ...store.rows import Run
from ...store.store import Store
from ..loop import Progress, Rows, run_chain
from ..runs import describe_run, start

CONCURRENCY = 64


def student_of(task: Task, folder: Path | str) -> tuple[Run, Any]:
    """The run that `evaluate` knows the student by, and its model, not loaded yet."""
    from ...chains.student import ChatStudent, read_card

    card = read_card(Path(folder))
    model = ChatStudent(model=str(folder))
    facts = {"base": card.base, "rows": card.training.get("examples_sha256")}
    run = describe_run(
        task,
        role="student",
        name=card.name,
        model=model,
        target=card.target,
        parameters=facts,
    )
    return run, model


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
    """The student answers the rows of the splits that it has not answered, through the one loop."""
    rows = Rows(splits=splits, limit=limit)
    try:
        if not rows.count(store, run):
            return
        _ = model.engine  # weights that cannot be loaded are one error, not one for each row
        run_chain(
            answer_chain(task, model),
            task,
            store,
            start(task, store, run),
            rows,
            concurrency=CONCURRENCY,
            progress=progress(run.name) if progress else None,
        )
    finally:
        model.close()
