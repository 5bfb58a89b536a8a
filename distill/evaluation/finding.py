"""Everything that is compared, read from the store: rows, systems, what each answered to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...chains.task import Task
from ...store.rows import Run
from ...store.store import Store
from .answered import Answering, Marks, Sheet
from .entrants import Entrant, entrants
from .marking import Answers, Split, marks, read_answers, read_split
from .rationales import support_run
from .results import Against

NOT_HELD_OUT = ("train", "validation", "calibration")


@dataclass(frozen=True, kw_only=True)
class Found:
    """The rows of every split, and what every system answered to them.

    `supports` holds, by system and split, what it answered from its rationales alone; `reference`
    is the teacher among the systems, `teaching` its run even where it answered no held-out row.
    """

    sheets: Mapping[str, Sheet]
    systems: Sequence[Answering]
    supports: Mapping[str, Mapping[str, Marks]]
    reference: Answering | None
    teaching: Run | None

    def ground(self, split: str) -> Against:
        """What the split's figures are held against: gold, where any row has some."""
        return "gold" if self.sheets[split].has_gold.any() else "teacher"

    def marks_of(self, one: Answering | None, split: str) -> Marks | None:
        """What this system answered to the split, None where it was not asked."""
        return one.sheets.get(split) if one is not None else None

    @property
    def floor(self) -> Answering | None:
        """The majority class."""
        named = (one for one in self.systems if one.run.role == "baseline")
        return next((one for one in named if one.run.name == "majority"), None)


def held_out(store: Store, task: Task) -> list[str]:
    """The splits nobody trains on, the most telling first: wild, hard, others, test."""
    order = {"wild": 0, "hard": 1, "test": 3}
    names = [name for name in store.splits(task.name) if name not in NOT_HELD_OUT]
    return sorted(names, key=lambda name: (order.get(name, 2), name))


def find(task: Task, store: Store, splits: Sequence[str], *, limit: int | None = None) -> Found:
    """Read the splits (`limit` rows of each), one run after the other. Raises StoreError."""
    chosen, teaching = entrants(task, store)
    runs = store.runs(task=task.name)
    again = {one.name: support_run(one.run, runs) for one in chosen}
    sheets: dict[str, Sheet] = {}
    systems: dict[str, dict[str, Marks]] = {one.name: {} for one in chosen}
    supports: dict[str, dict[str, Marks]] = {one.name: {} for one in chosen}
    for name in splits:
        split = read_split(task, store, name, limit=limit)
        sheets[name] = split.sheet
        taught = read_answers(task, store, split, teaching.id) if teaching else None
        for one in chosen:
            found = _marked(task, store, split, one, teaching, taught)
            if found is not None:
                systems[one.name][name] = found
            support = again[one.name]
            asked = read_answers(task, store, split, support.id) if support else None
            if asked is not None:
                supports[one.name][name] = marks(task, split, asked, taught=None)
    made = [
        Answering(run=one.run, name=one.name, arm=one.arm, seed=one.seed, sheets=systems[one.name])
        for one in chosen
        if systems[one.name]
    ]
    reference = next((one for one in made if teaching and one.run.id == teaching.id), None)
    return Found(
        sheets=sheets, systems=made, supports=supports, reference=reference, teaching=teaching
    )


def _marked(
    task: Task,
    store: Store,
    split: Split,
    one: Entrant,
    teaching: Run | None,
    taught: Answers | None,
) -> Marks | None:
    if teaching is None:
        answers = read_answers(task, store, split, one.run.id)
    elif one.run.id == teaching.id:
        return marks(task, split, taught, taught=None) if taught is not None else None
    else:
        answers = read_answers(task, store, split, one.run.id, teacher=teaching.id)
    return marks(task, split, answers, taught=taught) if answers is not None else None
