"""A student answers the rows of its calibration, through the one loop, as its run.

Or nobody is asked, and what it would answer and cost is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...chains.task import Task
from ...store.rows import Run
from ...store.store import Store
from ..loop import Progress, Rows, run_chain
from ..runs import start
from ..standin.student import load_student, student_chain, student_run

if TYPE_CHECKING:
    from ..evaluation.foreseen import Foreseen

CONCURRENCY = 64  # rows at once: a student in this process takes them as one batch


def student_of(task: Task, student: Path | str) -> tuple[Run, Any]:
    """The run that `evaluate` and a stand-in know the student by, and its model, not loaded yet.

    `student` is a run folder, "http://host:port/v1#name" or "provider:model". Raises StudentError,
    TaskError.
    """
    model = load_student(student)
    return student_run(task, model), model


def foresee(
    task: Task,
    store: Store,
    student: Path | str,
    *,
    splits: tuple[str, ...],
    limit: int | None = None,
    price_table: Path | None = None,
) -> Foreseen:
    """What `ask` would ask of the student and what that would cost: no call, nothing written.

    A student in this process, or one that a server of ours or another's answers, costs nothing
    here. Raises StudentError, TaskError, LabellingError.
    """
    from ..evaluation.foreseen import Foresight
    from ..labelling.prices import find_price

    run, model = student_of(task, student)
    asker = Foresight(task=task, store=store, rows=Rows(splits=splits, limit=limit))
    if hasattr(model, "card"):
        asker.note(run)
    else:
        price = find_price(model, reference=str(student), table=price_table)
        asker.buy(run, [model], [price], lambda models: student_chain(task, models[0]))
    found = asker.found[0]
    return replace(found, unknown=tuple(line.partition(": give")[0] for line in found.unknown))


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
