"""How far the teacher agrees with itself: no student can be asked to agree with it more often."""

from __future__ import annotations

from ...chains.task import Task
from ...store.rows import Record, Run, Score
from ...store.store import Store
from ..runs import REPEAT, is_repeat
from ..statistics import clustered_share
from .marking import part_scores


def repeat_of(store: Store, run: Run) -> Run | None:
    """The run in which the same teacher was asked once more (`label(repeat=True)`)."""
    for other in store.runs(task=run.task, role="teacher"):
        once = {name: value for name, value in other.parameters.items() if name != REPEAT}
        if is_repeat(other) and _identity(other, once) == _identity(run, run.parameters):
            return other
    return None


def self_agreement(task: Task, store: Store, run: Run) -> Score | None:
    """The share of answer parts on which both runs of a teacher agree; None where it ran once.

    Measured as a student's agreement with the teacher is: the first answer is what is expected, a
    row without a second one counts as wrong; rows are resampled for the interval.
    """
    again = repeat_of(store, run)
    if again is None:
        return None
    pairs: list[tuple[Record, Record]] = []
    for second in store.iter_records(again.id):
        first = store.record(run.id, second.example)
        if first is not None and first.answer is not None:
            pairs.append((first, second))
    parts = [part_scores(task, first.answer or {}, second.answer) for first, second in pairs]
    return clustered_share([sum(part.values()) for part in parts], [len(part) for part in parts])


def _identity(run: Run, parameters: object) -> tuple[object, ...]:
    return (run.task, run.model, run.strategy, run.target, run.words, run.answers, parameters)
