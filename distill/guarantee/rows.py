"""Which rows a calibration may look at, and whether the student said there what its teacher did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...chains.task import Task
from ...store.provenance import taught_examples
from ...store.rows import Example, Run
from ...store.stand_ins import iter_calls, stand_ins
from ...store.store import Store
from ..evaluation.marking import part_scores
from ..labelling.limits import LabellingError
from ..reviewing.duplicates import plain

TAUGHT, FITTED, BOUND = "train", "validation", "calibration"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One row that both were asked: `agreed` is False where the student gave no valid answer.

    `confidence` is the student's by answer path, None where it gave none; `labels` the categorical
    values it gave; `length` the inputs' characters; `cost` US dollars of the teacher's answer.
    """

    example: Example
    agreed: bool
    confidence: Mapping[str, float] | None
    labels: Mapping[str, object]
    length: int
    cost: float | None


def judged_paths(task: Task) -> list[str]:
    """The answer paths that decide whether two answers agree: labels, else all of a part's."""
    paths: list[str] = []
    for inside in task.parts.values():
        paths += [path for path in inside if path in task.labels] or list(inside)
    return paths


def judged(
    task: Task, store: Store, *, student: Run, teacher: Run, split: str, limit: int | None = None
) -> list[Judged]:
    """The rows of a split that both have answered (the student perhaps with an error)."""
    from ...chains.task import value_at

    said = {record.example: record for record in store.iter_records(student.id, split=split)}
    wanted = {one.id for one in store.iter_examples(task.name, split=split, limit=limit)}
    rows = []
    for example, record in store.iter_pairs(teacher.id, split=split):
        mine = said.get(example.id)
        if record.answer is None or mine is None or example.id not in wanted:
            continue
        scores = part_scores(task, record.answer, mine.answer)
        rows.append(
            Judged(
                example=example,
                agreed=bool(scores) and mine.answer is not None and all(scores.values()),
                confidence=mine.confidence if mine.answer is not None else None,
                labels={path: value_at(mine.answer, path) for path in task.labels},
                length=sum(map(len, example.inputs.values())),
                cost=record.cost,
            )
        )
    return rows


def check_splits(fitted: str, bound: str) -> None:
    """Raise LabellingError where the threshold's rows were looked at before by rule."""
    if fitted == bound:
        raise LabellingError(
            f"the calibrator and the threshold would both come from split {bound}, which voids the "
            f"bound; fit the calibrator on {FITTED} and the threshold on {BOUND}"
        )
    if bound in (TAUGHT, FITTED):
        why = "students are trained on it" if bound == TAUGHT else "it stops and sweeps trainings"
        raise LabellingError(
            f"the threshold cannot come from split {bound}: {why}; take split {BOUND}"
        )
    if fitted == TAUGHT:
        raise LabellingError(
            f"the calibrator cannot be fitted on split {fitted}: students know its rows by heart; "
            f"take split {FITTED}"
        )


def untouched(
    task: Task, store: Store, rows: Sequence[Judged], *, rows_sha256: str | None, fitted: str
) -> tuple[list[Judged], dict[str, int]]:
    """The rows that a bound may rest on, independent and never looked at; others by reason.

    `rows_sha256` is the digest of what the student was taught, None where it is not known. Left out
    are rows with the text or the group of one that taught the student or fitted the calibrator, all
    but one row of a text or group (rows that err together are no independent evidence), and rows
    that the teacher answered because a student was unsure of them: no fair sample. Raises
    LabellingError where a row itself taught the student.
    """
    taught = taught_examples(store, rows_sha256) if rows_sha256 else set()
    mine = {row.example.id for row in rows}
    if both := taught & mine:
        raise LabellingError(
            f"{len(both)} of the {len(rows)} rows for the threshold taught this student, first "
            f"{min(both)}; the bound needs rows that it never saw: label new ones into split "
            f"{BOUND}"
        )
    known = _known(store.iter_examples(task.name), taught, fitted)
    unfair = escalated_rows(store, task.name)
    kept: list[Judged] = []
    left_out: Counter[str] = Counter()
    seen: set[str] = set()
    for row in sorted(rows, key=lambda row: row.example.id):
        marks = _marks(row.example)
        if row.example.id in unfair:
            left_out["escalated by a cascade: no fair sample"] += 1
        elif marks & known:
            left_out[f"the text or group of a row of {TAUGHT} or {fitted}"] += 1
        elif marks & seen:
            left_out["one row of each text and group"] += 1
        else:
            kept.append(row)
            seen |= marks
    return kept, dict(left_out)


def escalated_rows(store: Store, task: str) -> set[str]:
    """The examples whose teacher's answer is there only because of what a student said of them.

    In cascade mode the teacher answers what a student was unsure of, and a sample of the rest.
    """
    chosen: set[str] = set()
    fair: set[str] = set()
    for one in stand_ins(store):
        if one.task == task:
            for call in iter_calls(store, one.name):
                if call.example is not None and (call.escalated or call.sampled):
                    chosen.add(call.example)
                elif call.example is not None and call.answered_by == "teacher":
                    fair.add(call.example)
    return chosen - fair


def _known(examples: Iterable[Example], taught: set[str], fitted: str) -> set[str]:
    """Texts and groups of what was taught and of what the calibrator is fitted on.

    All of the training split counts: what taught a student of another store is not known here.
    """
    known: set[str] = set()
    for example in examples:
        if example.id in taught or example.split in (TAUGHT, fitted):
            known |= _marks(example)
    return known


def _marks(example: Example) -> set[str]:
    marks = {f"text {plain(example)}"}
    return marks if example.group is None else marks | {f"group {example.group}"}
