"""The curation rules: each finds rows of one kind, counts them, and can be a filter; none deletes.

They look at the task's newest teacher run, as people have corrected it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...chains.task import Task, value_at
from ...store.connection import StoreError
from ...store.flags import set_flags
from ...store.reviews import corrections
from ...store.rows import Example, Flag, Record
from ...store.store import Store
from ..evaluation.systems import teaching_run
from ..training.dataset import SETTLED_BY_REVIEW, corrected
from ..training.leaks import USED
from ..training.rationales import copies, strays
from ..training.selection import Pairs
from .duplicates import clusters, exact_duplicates, near_duplicates, plain, plain_text
from .suspects import suspects

RARE = 0.2  # a class is rare below this part of an even share of the rows


@dataclass(frozen=True)
class Material:
    """What the rules look at: all examples, and those of them that the teacher run `run` answered.

    `pairs` holds the answered ones, in the examples' order.
    """

    task: Task
    run: str
    examples: Sequence[Example]
    pairs: Pairs

    @cached_property
    def clusters(self) -> list[list[Example]]:
        """Examples that are exact or near duplicates, over all splits.

        Held-out ones stand first, so that every training row is compared with them.
        """
        return list(clusters(sorted(self.examples, key=lambda e: e.split == "train")))

    @cached_property
    def taught(self) -> Pairs:
        """The answered rows of split train."""
        return [pair for pair in self.pairs if pair[0].split == "train"]

    def by_split(self) -> Iterable[list[Example]]:
        """The examples of each split."""
        splits: dict[str, list[Example]] = {}
        for example in self.examples:
            splits.setdefault(example.split, []).append(example)
        return splits.values()

    def flag(self, example: str, score: float | None = None, **detail: Any) -> Flag:
        """A finding in the run's record of this example; the rule's name is filled in later."""
        return _finding(example, score, **detail).model_copy(update={"run": self.run})


def _finding(example: str, score: float | None = None, **detail: Any) -> Flag:
    """A finding in the example itself, whoever answered it."""
    return Flag(example=example, rule="", score=score, detail=detail)


def curate(task: Task, store: Store, rules: Iterable[str] | None = None) -> dict[str, int]:
    """Look at the task's rows by these rules (default: all), remember the findings, count them.

    What a rule found before is replaced. Raises StoreError for a rule that there is not, and
    LabellingError where no teacher has answered.
    """
    names = list(RULES if rules is None else rules)
    for name in names:
        check_rule(name)
    run = teaching_run(store, task).id
    reviewed = corrections(store, task.name)
    answered = (
        (example, corrected(record, reviewed.get(example.id)))
        for example, record in store.iter_pairs(run)
    )
    pairs = [(example, record) for example, record in answered if record.answer is not None]
    material = Material(task, run, store.examples(task.name), pairs)
    counts = {}
    for name in names:
        settled = reviewed if name in SETTLED_BY_REVIEW else {}
        found = (flag for flag in RULES[name](material) if flag.example not in settled)
        counts[name] = set_flags(store, task.name, name, found)
    return counts


def check_rule(name: str) -> None:
    """Raise StoreError where there is no such rule."""
    if name not in RULES:
        raise StoreError(f"there is no curation rule {name}; the rules: {', '.join(RULES)}")


def class_counts(task: Task, pairs: Iterable[tuple[Example, Record]]) -> dict[str, dict[str, int]]:
    """Per label path how many rows show each class, classes that none shows included."""
    counts = {path: dict.fromkeys(map(str, task.labels[path]), 0) for path in task.labels}
    for _, record in pairs:
        for path, of_class in counts.items():
            value = str(value_at(record.answer, path))
            of_class[value] = of_class.get(value, 0) + 1
    return counts


def exact_duplicate(material: Material) -> Iterator[Flag]:
    """All but the first of the rows of one split that differ in Unicode form, case or spacing."""
    for examples in material.by_split():
        for first, *others in exact_duplicates(examples):
            for other in others:
                yield _finding(other.id, 1.0, of=first.id)


def near_duplicate(material: Material) -> Iterator[Flag]:
    """Rows that are nearly an earlier row of their split."""
    for examples in material.by_split():
        for earlier, later, similarity in near_duplicates(examples):
            yield _finding(later.id, similarity, of=earlier.id)


def label_conflict(material: Material) -> Iterator[Flag]:
    """Rows whose exact or near duplicate was given another label."""
    answers = {example.id: record.answer for example, record in material.pairs}
    paths = list(material.task.labels) or list(material.task.paths)
    for group in material.clusters:
        ids = [example.id for example in group if example.id in answers]
        differing = [
            path for path in paths if len({repr(value_at(answers[i], path)) for i in ids}) > 1
        ]
        for example in ids if differing else []:
            others = [other for other in ids if other != example][:5]
            yield material.flag(example, None, paths=differing, others=others)


def suspected_label_error(material: Material) -> Iterator[Flag]:
    """Training rows whose label a model that has not seen them would not have given."""
    told = set()
    for found in suspects(material.task, material.taught):
        if found.example not in told:  # the worst of a row comes first
            told.add(found.example)
            yield material.flag(
                found.example,
                found.score,
                path=found.path,
                given=found.given,
                likely=found.likely,
            )


def rationale_empty(material: Material) -> Iterator[Flag]:
    """Rows without a reasoning, where the task has one."""
    for example, record in material.pairs if material.task.reasoning else ():
        if not any(character.isalnum() for character in record.reasoning or ""):
            yield material.flag(example.id)


def rationale_names_other_label(material: Material) -> Iterator[Flag]:
    """Rows whose reasoning names a class, but another one than the answer gives."""
    for example, record in material.pairs:
        found = strays(material.task, record.answer or {}, record.reasoning or "", plain(example))
        if found:
            path, given, named = found[0]
            yield material.flag(example.id, None, path=path, given=given, named=named)


def rationale_copies_input(material: Material) -> Iterator[Flag]:
    """Rows whose reasoning is the input over again."""
    for example, record in material.pairs:
        share = copies(plain_text(record.reasoning or ""), plain(example))
        if share is not None:
            yield material.flag(example.id, share, copied=round(share, 3))


def class_balance(material: Material) -> Iterator[Flag]:
    """Training rows of a rare class: fewer rows than RARE of an even share. See class_counts."""
    counts = class_counts(material.task, material.taught)
    rows = len(material.taught)
    for example, record in material.taught:
        rare = []
        for path, classes in counts.items():
            value = str(value_at(record.answer, path))
            if classes[value] < RARE * rows / len(classes):
                rare.append((classes[value], path, value))
        if rare:
            number, path, value = min(rare)
            yield material.flag(
                example.id, 1 - number / rows, **{"path": path, "class": value, "rows": number}
            )


def split_leak(material: Material) -> Iterator[Flag]:
    """Rows that train or validate of which a later split has the group or a (near) duplicate."""
    groups: defaultdict[str, list[Example]] = defaultdict(list)
    for example in material.examples:
        if example.group is not None:
            groups[example.group].append(example)
    told = set()
    for by, found in (("group", groups.values()), ("text", material.clusters)):
        for rows in found:
            for row in rows:
                later = next((one for one in rows if _is_later(row.split, one.split)), None)
                if later is not None and row.id not in told:
                    told.add(row.id)
                    yield _finding(row.id, None, by=by, split=later.split, other=later.id)


def _is_later(split: str, other: str) -> bool:
    return split in USED and other not in USED[: USED.index(split) + 1]


RULES: dict[str, Callable[[Material], Iterable[Flag]]] = {
    "exact_duplicate": exact_duplicate,
    "near_duplicate": near_duplicate,
    "label_conflict": label_conflict,
    "suspected_label_error": suspected_label_error,
    "rationale_names_other_label": rationale_names_other_label,
    "rationale_empty": rationale_empty,
    "rationale_copies_input": rationale_copies_input,
    "class_balance": class_balance,
    "split_leak": split_leak,
}
