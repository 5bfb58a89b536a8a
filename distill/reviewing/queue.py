"""The order in which rows are worth a person's time, and why each is."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...chains.election import same
from ...chains.task import Task, value_at
from ...store.flags import flags
from ...store.reviews import corrections
from ...store.rows import Example, Flag, Record
from ...store.store import Store
from ..evaluation.systems import teaching_run

UNSURE = 0.7  # a student's confidence below which it is called low
SUSPECTED = "suspected_label_error"
CONFLICT = "label_conflict"
CONTRADICTED = "rationale_names_other_label"


Reason = tuple[float, str]  # how much it says, from 0 to 1, and in a line what


@dataclass(frozen=True)
class Entry:
    """A row's place in the queue: the example's id, and what speaks for it, the strongest first.

    `reasons` are lines for a person; they hold the task's and the models' words: escape them.
    """

    example: str
    score: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signs:
    """What the signals look at in one row: its gold, who said what, the findings.

    `gold` is as it came with a file: what a person decided here is settled.
    """

    gold: Mapping[str, Any] | None
    record: Record
    student: Record | None
    findings: Mapping[str, Flag]


def review_queue(
    task: Task, store: Store, *, split: str | None = None, limit: int | None = None
) -> list[Entry]:
    """The rows (of one split) that the newest teacher run answered, most worth a look first.

    Rows that a person has accepted or corrected are left out. Reasons add up: a row's score is 1
    less the product of (1 - score) over them. Rows of equal score are in the store's order, those
    without any reason last. Suspected errors, conflicts and contradictions are those that `curate`
    found last. Raises LabellingError where no teacher has answered.
    """
    run = teaching_run(store, task)
    done = corrections(store, task.name)
    students = _newest_student(task, store)
    findings: defaultdict[str, dict[str, Flag]] = defaultdict(dict)
    for rule in (SUSPECTED, CONFLICT, CONTRADICTED):
        for flag in flags(store, task.name, rule):
            if flag.run in (None, run.id):  # what another teacher said wrong is no matter here
                findings[flag.example][rule] = flag
    found = [
        _entry(
            task,
            Signs(_given(example), record, students.get(example.id), findings.get(example.id, {})),
        )
        for example, record in store.iter_pairs(run.id, split=split)
        if record.answer is not None and example.id not in done
    ]
    return sorted(found, key=lambda entry: -entry.score)[:limit]


def _entry(task: Task, signs: Signs) -> Entry:
    found = sorted((r for sign in SIGNALS if (r := sign(task, signs))), reverse=True)
    rest = math.prod(1 - min(1.0, max(0.0, score)) for score, _ in found)
    return Entry(signs.record.example, 1 - rest, tuple(text for _, text in found))


def _given(example: Example) -> Mapping[str, Any] | None:
    return example.gold if example.gold_by is None else None


def _newest_student(task: Task, store: Store) -> Mapping[str, Record]:
    for run in store.runs(task=task.name, role="student"):
        if run.answers == task.answers and (records := store.records(run.id)):
            return {record.example: record for record in records}
    return {}


def gold_differs(task: Task, signs: Signs) -> Reason | None:
    """The gold that came with the data is another answer: one of the two is wrong."""
    for path in task.paths:
        gold, taught = value_at(signs.gold, path), value_at(signs.record.answer, path)
        if gold is None or same(task, path, gold, taught):  # a file may say some paths only
            continue
        if path in task.labels:
            return (0.95, f"{path}: gold says {gold}, the teacher {taught}")
        return (0.95, f"{path}: gold says another value than the teacher")
    return None


def votes_split(_: Task, signs: Signs) -> Reason | None:
    """The teacher's samples or models did not agree; without votes, its confidence says how far."""
    if signs.record.votes is None:
        path, sure = _least(signs.record.confidence)
        return (1 - sure, f"{path}: the teacher is sure at {sure:.2f}") if sure < 1 else None
    found = []
    for path, votes in signs.record.votes.items():
        total, top = sum(votes.values()), max(votes.values(), default=0)
        if top < total:
            counted = sorted(votes.items(), key=lambda vote: -vote[1])
            told = ", ".join(f"{value} {count}" for value, count in counted)
            found.append((1 - top / total, f"{path}: the votes are {told}"))
    return max(found, default=None)


def student_disagrees(task: Task, signs: Signs) -> Reason | None:
    """The newest student says another label; the surer it is, the more that says."""
    if signs.student is None or signs.student.answer is None:
        return None
    found = []
    for path in task.labels:
        taught, said = (value_at(r.answer, path) for r in (signs.record, signs.student))
        if taught != said:
            sure = (signs.student.confidence or {}).get(path, 0.5)
            found.append((sure, f"{path}: the student says {said}, the teacher {taught}"))
    return max(found, default=None)


def student_unsure(_: Task, signs: Signs) -> Reason | None:
    """The newest student gave a label a low probability."""
    path, sure = _least(signs.student.confidence if signs.student else None)
    return (1 - sure, f"{path}: the student is sure at {sure:.2f}") if sure < UNSURE else None


def suspected_error(_: Task, signs: Signs) -> Reason | None:
    """Curation holds a label for an error."""
    if (flag := signs.findings.get(SUSPECTED)) is None:
        return None
    path, given, likely = (flag.detail.get(name) for name in ("path", "given", "likely"))
    return (0.5 if flag.score is None else flag.score, f"{path}: {given} may be {likely}")


def reasoning_contradicts(_: Task, signs: Signs) -> Reason | None:
    """The reasoning names another label than the answer: one of them is wrong."""
    if (flag := signs.findings.get(CONTRADICTED)) is None:
        return None
    path, given, named = (flag.detail.get(name) for name in ("path", "given", "named"))
    return (0.9, f"{path}: the reasoning names {named}, the answer {given}")


def duplicates_conflict(_: Task, signs: Signs) -> Reason | None:
    """Nearly the same text was given another label: one of them is wrong, not surely this one."""
    if (flag := signs.findings.get(CONFLICT)) is None:
        return None
    return (0.5, f"{', '.join(flag.detail.get('paths', []))}: a duplicate has another label")


def _least(confidence: Mapping[str, float] | None) -> tuple[str, float]:
    return min((confidence or {"": 1.0}).items(), key=lambda item: item[1])


SIGNALS: tuple[Callable[[Task, Signs], Reason | None], ...] = (
    gold_differs,
    votes_split,
    student_disagrees,
    student_unsure,
    suspected_error,
    reasoning_contradicts,
    duplicates_conflict,
)
