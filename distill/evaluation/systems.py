"""Everybody answers the same held-out rows, through the one loop."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...chains.answer import answer_chain
from ...chains.student.card import read_card
from ...chains.task import Target, Task
from ...store.rows import Run, fingerprint
from ...store.store import Store
from ..labelling.limits import LabellingError, Limits
from ..loop import Chain, Rows
from ..runs import NOTEBOOK, describe_run, is_repeat
from ..training.dataset import lesson_pairs
from .asked import Asker, ProgressOf, from_rationale, with_peak_memory
from .baselines import REGULARISATION, Pairs, majority_chain, tfidf_chain
from .comparing import compare
from .costs import AT_ONCE
from .failing import Failed, told_at_the_end, trying
from .finding import held_out
from .notebook import notebook_chain, notebook_run
from .prompted import Prompting, System, ask_base, ask_systems, ask_teacher, system_names
from .rationales import RATIONALE_OF
from .results import Report
from .teach_curve import teach_curve

STUDENT_CONCURRENCY = AT_ONCE["student"]
BASE = "base"  # the untuned base's name among the systems


@dataclass(frozen=True, kw_only=True)
class LocalModel:
    """A student or the untuned base, not loaded yet, and the run that it fills."""

    run: Run
    model: Any  # the ChatStudent that answers


def evaluate(
    task: Task,
    store: Store,
    *,
    students: Sequence[Path | str] = (),
    base: str | None = None,
    notebook: Path | None = None,
    systems: Mapping[str, System] | Sequence[System] = (),
    prompting: Prompting | None = None,
    support: bool = False,
    curve: bool = False,
    curve_students: Sequence[Path | str] = (),
    splits: Sequence[str] | None = None,
    limit: int | None = None,
    limits: Limits | None = None,
    price_table: Path | None = None,
    concurrency: int = 8,
    progress: ProgressOf | None = None,
    **shown: Any,
) -> Report:
    """Everybody answers the held-out splits, and is compared; what is answered is not asked again.

    `students` are run folders, or as texts hub ids, too; several seeds of one recipe are several of
    them. `base` is the untuned base; majority class and TF-IDF learn from the teacher's labels in
    split `train`; `notebook` is a run folder that is served as the course's notebook does, too,
    held to no schema.
    `systems` are any others, by name: "provider:model", file.py:name, a chat model, or a Runnable
    from the task's inputs to an answer. `prompting` asks base and teacher by prompt strategies.
    `support` also asks every student that reasons for its labels from its rationale alone. `curve`
    teaches TF-IDF, and students like `curve_students`, with fewer labels.

    `limits` cap what this call spends on paid models, asked `concurrency` rows side by side; they
    come last. `progress` is called with a system's name and returns its callback; `shown` goes to
    `compare`. A system that cannot be built or asked keeps no other from being asked: NotAsked
    names them at the end. Raises LabellingError, Stopped where a limit ended it (of both all else
    is stored: `compare` shows it), StoreError.
    """
    teacher = teaching_run(store, task)
    rows = rows_of(task, store, splits, limit)
    asker = Asker(
        task=task,
        store=store,
        rows=rows,
        limits=limits or Limits(),
        concurrency=concurrency,
        progress=progress,
    )
    pairs = taught_pairs(store, task, teacher)
    for run, make in baselines(task, teacher, pairs):
        asker.ask(run, make(task, pairs), at_once=1)
    if notebook is not None:
        with asker.trying(NOTEBOOK):
            _ask_notebook(asker, notebook)
    for one in local_models(task, students, base, failed=asker.failed):
        with asker.trying(one.run.name):
            _ask_local(asker, one, support=support)
    if curve:
        teach_curve(asker, teacher, pairs, [Path(folder) for folder in curve_students])
    prompting = prompting or Prompting()
    with told_at_the_end(asker.failed):
        if base is not None and not any(one.name == BASE for one in asker.failed):
            ask_base(asker, prompting, base, teacher, STUDENT_CONCURRENCY)
        ask_systems(asker, system_names(systems), price_table)
        ask_teacher(asker, prompting, teacher)
    return compare(task, store, splits=rows.splits, limit=limit, **shown)


def rows_of(task: Task, store: Store, splits: Sequence[str] | None, limit: int | None) -> Rows:
    """The held-out rows that everybody is asked. Raises LabellingError where there is none."""
    names = list(splits) if splits else held_out(store, task)
    found = store.splits(task.name)
    if not any(found.get(name) for name in names):
        raise LabellingError(
            f"task {task.name} has no held-out examples in {', '.join(names)}; "
            f"it has {', '.join(held_out(store, task)) or 'none'}"
        )
    return Rows(splits=tuple(names), limit=limit)


def teaching_run(store: Store, task: Task) -> Run:
    """The newest teacher run that answered rows of split `train`. Raises LabellingError."""
    for run in store.runs(task=task.name, role="teacher"):
        if is_repeat(run):
            continue
        taught = store.iter_records(run.id, split="train") if run.answers == task.answers else ()
        if any(record.answer for record in taught):
            return run
    raise LabellingError(
        f"task {task.name} has no teacher's answer to split train in the store; run distill first"
    )


def taught_pairs(store: Store, task: Task, teacher: Run) -> Pairs:
    """What the teacher's split train teaches. Raises LabellingError where nothing is left of it."""
    taught, left_out = lesson_pairs(store, task, teacher.id, split="train")
    pairs = [pair for pair in taught if pair[1].answer]
    if not pairs:
        raise LabellingError(
            f"task {task.name}: the filters leave no row of split train ({', '.join(left_out)}); "
            "turn one off (understudy curate --include RULE)"
        )
    return pairs


def baselines(
    task: Task, teacher: Run, pairs: Pairs
) -> Iterator[tuple[Run, Callable[[Task, Pairs], Chain]]]:
    """The run of each baseline, and what makes its chain of the rows that teach it."""
    taught_by: dict[str, Any] = {
        "teacher_run": teacher.id,
        "rows": len(pairs),
        "labels": labels_sha(pairs),
    }
    makers: dict[str, tuple[Callable[[Task, Pairs], Chain], dict[str, Any]]] = {
        "majority": (majority_chain, {})
    }
    if task.labels:
        makers["tfidf"] = (tfidf_chain, {"regularisation": REGULARISATION})
    for name, (make, recipe) in makers.items():
        parameters = taught_by | recipe
        yield (
            describe_run(
                task, role="baseline", name=name, model=name, target="label", parameters=parameters
            ),
            make,
        )


def labels_sha(pairs: Pairs) -> str:
    """The fingerprint of what is taught."""
    return fingerprint([[example.id, record.answer] for example, record in pairs])


def local_models(
    task: Task,
    students: Sequence[Path | str],
    base: str | None,
    *,
    failed: list[Failed] | None = None,
) -> list[LocalModel]:
    """The local models, not loaded yet: one at a time is held.

    Students of the same name get their seed behind it, which is what tells them apart. What is no
    student goes to `failed`; without it StudentError is raised.
    """
    from ...chains.student import ChatStudent
    from ...chains.student.weights import student_folder

    cards, found = [], []
    for place in students:
        with _trying(str(place), failed):
            known = student_folder(place) if isinstance(place, str) else place
            folder = known or Path(place)
            cards.append((folder, read_card(folder)))
    times = Counter(card.name for _, card in cards)
    for folder, card in cards:
        seed = card.training.get("seed")
        name = f"{card.name}-s{seed}" if times[card.name] > 1 and seed is not None else card.name
        facts = {"base": card.base, "rows": card.training.get("examples_sha256"), "seed": seed}
        with _trying(name, failed):
            model = ChatStudent(model=str(folder))
            one = _local(task, model, role="student", name=name, target=card.target, facts=facts)
            found.append(one)
    if base is not None:
        with _trying(BASE, failed):
            untuned, facts = ChatStudent(model=base), {"base": base}
            one = _local(task, untuned, role="base", name=BASE, target="reason_label", facts=facts)
            found.append(one)
    return found


def _trying(name: str, failed: list[Failed] | None) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if failed is None else trying(name, failed)


def _local(
    task: Task, model: Any, *, role: str, name: str, target: Target, facts: Mapping[str, Any]
) -> LocalModel:
    known = {key: value for key, value in facts.items() if value is not None or key == "rows"}
    run = describe_run(task, role=role, name=name, model=model, target=target, parameters=known)
    return LocalModel(run=run, model=model)


def _ask_local(asker: Asker, one: LocalModel, *, support: bool) -> None:
    task, model = asker.task, one.model
    try:
        chain = answer_chain(task, model)
        if asker.left(one.run):
            _ = model.engine  # weights that cannot be loaded are one error, not one for each row
            chain = with_peak_memory(chain)
        run = asker.ask(one.run, chain, at_once=STUDENT_CONCURRENCY)
        if support and run.role == "student" and run.target == "reason_label":
            alone = describe_run(
                task,
                role="baseline",
                name=f"{run.name} by its rationale alone",
                model=model,
                target="label",
                strategy="rationale_alone",
                parameters={RATIONALE_OF: run.id},
            )
            chain = from_rationale(task, asker.store, run, model)
            asker.ask(alone, chain, at_once=STUDENT_CONCURRENCY, gives_up=False)
    finally:
        model.close()


def _ask_notebook(asker: Asker, notebook: Path) -> None:
    asked = notebook_run(asker.task, notebook)
    if asker.left(asked):
        asker.ask(asked, notebook_chain(asker.task, notebook), at_once=1, gives_up=False)
