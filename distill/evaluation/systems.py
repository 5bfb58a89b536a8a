"""Everybody answers the same held-out rows, through the one loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.runnables import Runnable

from ...chains.answer import answer_chain
from ...chains.task import Target, Task, Thought
from ...store.rows import Run, fingerprint
from ...store.store import Store
from ..dataset import lesson_pairs
from ..limits import LabellingError
from ..loop import Progress, Rows, run_chain
from ..runs import describe_run, is_repeat, start
from .baselines import REGULARISATION, Pairs, majority_chain, tfidf_chain
from .comparing import compare, held_out
from .notebook import notebook_chain, notebook_run
from .results import Report

STUDENT_CONCURRENCY = 64
AnswerChain = Runnable[dict[str, Any], Thought]
LocalModel = tuple[Run, AnswerChain, Any]  # the last is the ChatStudent that answers


def evaluate(
    task: Task,
    store: Store,
    *,
    students: Sequence[Path | str] = (),
    base: str | None = None,
    notebook: Path | None = None,
    splits: Sequence[str] | None = None,
    limit: int | None = None,
    progress: Callable[[str], Progress | None] | None = None,
) -> Report:
    """Run the students, the untuned base and the baselines on the held-out splits, and compare.

    The baselines learn from the teacher's labels in split `train`; `notebook` is the run folder of
    a student that is served as the course's notebook does, too, held to no schema. What a system
    has answered before is not asked again. `progress` is called with a system's name and returns
    its callback.
    Raises LabellingError, StudentError, StoreError.
    """
    local = list(
        _models(task, [Path(folder) for folder in students], base)
    )  # a folder that is no student is said at once
    teacher = teaching_run(store, task)
    names = list(splits) if splits else held_out(store, task)
    rows = Rows(splits=tuple(names), limit=limit)
    found = store.splits(task.name)
    if not any(found.get(name) for name in names):
        raise LabellingError(f"task {task.name} has no held-out examples in {', '.join(names)}")

    def answer(run: Run, chain: AnswerChain, concurrency: int, gives_up: bool = True) -> None:
        run_chain(
            chain,
            task,
            store,
            start(task, store, run),
            rows,
            concurrency=concurrency,
            gives_up=gives_up,
            progress=progress(run.name) if progress else None,
        )

    for run, chain in _baselines(task, store, teacher):
        answer(run, chain, 1)
    asked = notebook_run(task, notebook) if notebook is not None else None
    if notebook is not None and asked is not None and rows.count(store, asked):
        answer(asked, notebook_chain(task, notebook), 1, gives_up=False)
    for run, chain, model in local:
        try:
            if rows.count(store, run):
                _ = (
                    model.engine
                )  # weights that cannot be loaded are one error, not one for each row
            answer(run, chain, STUDENT_CONCURRENCY)
        finally:
            model.close()
    return compare(task, store, splits=names, limit=limit)


def teaching_run(store: Store, task: Task) -> Run:
    """The newest teacher run that answered rows of split `train`. Raises LabellingError."""
    for run in store.runs(task=task.name, role="teacher"):
        if is_repeat(run):
            continue
        taught = store.records(run.id, split="train") if run.answers == task.answers else []
        if any(record.answer for record in taught):
            return run
    raise LabellingError(
        f"task {task.name} has no teacher's answer to split train in the store; run distill first"
    )


def _baselines(task: Task, store: Store, teacher: Run) -> list[tuple[Run, AnswerChain]]:
    taught, left_out = lesson_pairs(store, task, teacher.id, split="train")
    pairs = [pair for pair in taught if pair[1].answer]
    if not pairs:
        raise LabellingError(
            f"task {task.name}: the filters leave no row of split train ({', '.join(left_out)}); "
            "turn one off (understudy curate --include RULE)"
        )
    taught_by: dict[str, Any] = {
        "teacher_run": teacher.id,
        "rows": len(pairs),
        "labels": fingerprint([[example.id, record.answer] for example, record in pairs]),
    }
    makers: dict[str, tuple[Callable[[Task, Pairs], AnswerChain], dict[str, Any]]] = {
        "majority": (majority_chain, {})
    }
    if task.labels:
        makers["tfidf"] = (tfidf_chain, {"regularisation": REGULARISATION})
    return [
        (
            describe_run(
                task,
                role="baseline",
                name=name,
                model=name,
                target="label",
                parameters=taught_by | recipe,
            ),
            make(task, pairs),
        )
        for name, (make, recipe) in makers.items()
    ]


def _models(task: Task, students: Sequence[Path], base: str | None) -> Iterator[LocalModel]:
    """The local models, not loaded yet: one at a time is held."""
    from ...chains.student import ChatStudent, read_card

    for folder in students:
        card = read_card(folder)
        student = ChatStudent(model=str(folder))
        facts = {"base": card.base, "rows": card.training.get("examples_sha256")}
        yield _local(task, student, role="student", name=card.name, target=card.target, facts=facts)
    if base is not None:
        untuned = ChatStudent(model=base)
        facts = {"base": base}
        yield _local(task, untuned, role="base", name="base", target="reason_label", facts=facts)


def _local(
    task: Task, model: Any, *, role: str, name: str, target: Target, facts: Mapping[str, Any]
) -> LocalModel:
    run = describe_run(task, role=role, name=name, model=model, target=target, parameters=facts)
    return run, answer_chain(task, model), model
