"""Every pair of systems, tested on the same rows: who is better, by how much, is it chance."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ...chains.task import Task
from ...store.rows import Score
from ..reporting.figures import points as signed
from ..statistics import detectable_points, holm, mcnemar, paired_points
from .answered import Answering, Marks, Sheet
from .paired_f1 import macro_f1_points
from .results import Against, Comparison, LabelDifference
from .scoring import label_columns, units

MOST_PAIRS = 66  # on one split: all pairs of twelve systems
_FIRST = {"student": 0, "base": 1, "baseline": 2, "teacher": 3}


def comparisons(
    task: Task, sheet: Sheet, found: Sequence[Answering], *, reference: str | None
) -> tuple[list[Comparison], int]:
    """The tested pairs of one split, and how many pairs there are.

    Of more than MOST_PAIRS the ones that matter most are tested, chosen by role and name before
    anything is looked at: students among each other, with the teacher, with the others. P values
    are corrected for all that are tested (Holm 1979). Against gold where both have some, else
    against the teacher's answers.
    """
    here = [one for one in found if sheet.split in one.sheets]
    here.sort(key=lambda one: (_FIRST[one.run.role], one.name == reference))
    pairs = list(itertools.combinations(here, 2))
    weights = [_weight(*pair, reference=reference) for pair in pairs]
    chosen = sorted(range(len(pairs)), key=weights.__getitem__)[:MOST_PAIRS]
    taught = next((one.sheets[sheet.split] for one in here if one.name == reference), None)
    made = [_comparison(task, sheet, *pairs[place], taught) for place in sorted(chosen)]
    return _corrected([one for one in made if one is not None]), len(pairs)


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """With Holm's p: of whole answers one family, of label paths another."""
    whole = holm([one.p for one in found])
    parts = iter(holm([label.p for one in found for label in one.labels.values()]))
    return [
        one.model_copy(
            update={
                "p_holm": p,
                "labels": {
                    path: label.model_copy(update={"p_holm": next(parts)})
                    for path, label in one.labels.items()
                },
                "sentence": _sentence(one, p),
            }
        )
        for one, p in zip(found, whole, strict=True)
    ]


def _weight(first: Answering, second: Answering, *, reference: str | None) -> tuple[int, int]:
    students = (first.run.role == "student") + (second.run.role == "student")
    with_reference = reference in (first.name, second.name)
    return -students, not with_reference


def _comparison(
    task: Task, sheet: Sheet, first: Answering, second: Answering, taught: Marks | None
) -> Comparison | None:
    one, other = first.sheets[sheet.split], second.sheets[sheet.split]
    against = common_ground(one, other)
    if against is None:
        return None
    right, other_right, both = paired_rows(one, other, against)
    groups = units(sheet, both)
    return Comparison(
        first=first.name,
        second=second.name,
        split=sheet.split,
        against=against,
        macro_f1=_macro_f1(task, sheet, one, other, both, groups) if against == "gold" else None,
        labels=_labels(task, sheet, one, other, both, taught if against == "teacher" else None),
        sentence="",
        **_tested(right, other_right, groups),
    )


def _tested(first: Any, second: Any, groups: Any | None) -> dict[str, Any]:
    """What McNemar's test says of who was right on the same rows, bool [m] each."""
    import numpy as np

    only_first, only_second = first & ~second, second & ~first
    gains = _net(only_first, only_second, groups)
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    return {
        "points": paired_points(first, second, np.ones(len(first)), groups=groups),
        "only_first": int(only_first.sum()),
        "only_second": int(only_second.sum()),
        "p": mcnemar(better, worse),
        "p_holm": None,
        "detectable": detectable_points((better + worse) / len(gains), len(gains)),
    }


def _labels(
    task: Task, sheet: Sheet, first: Marks, second: Marks, both: Any, taught: Marks | None
) -> dict[str, LabelDifference]:
    """One label path at a time, on the rows where gold (or `taught`) speaks of it."""
    expected = sheet.gold if taught is None else taught.given
    found = {}
    for column, path in enumerate(task.labels if len(task.labels) > 1 else ()):
        rows = both & (expected[:, column] >= 0)
        if rows.any():
            wanted = expected[rows, column]
            right, other = (marks.given[rows, column] == wanted for marks in (first, second))
            found[path] = LabelDifference(**_tested(right, other, units(sheet, rows)))
    return found


def common_ground(first: Marks, second: Marks) -> Against | None:
    """What two systems can be held against on rows that both were asked."""
    grounds: tuple[Against, ...] = ("gold", "teacher")
    for against in grounds:
        if (first.right_rows(against)[1] & second.right_rows(against)[1]).any():
            return against
    return None


def paired_rows(first: Marks, second: Marks, against: str) -> tuple[Any, Any, Any]:
    """Which rows each got right, bool [m], of the m rows where bool [n] both were scored."""
    (one, scored), (other, also) = first.right_rows(against), second.right_rows(against)
    both = scored & also
    return one[both], other[both], both


def _net(only_first: Any, only_second: Any, groups: Any | None) -> Any:
    """Rows more that the first got right, per unit: a group's rows are one unit of the test."""
    import numpy as np

    net = only_first.astype(int) - only_second.astype(int)
    if groups is None:
        return net
    unit = np.unique(groups, return_inverse=True)[1].reshape(-1)
    return np.bincount(unit, weights=net)


def _macro_f1(
    task: Task, sheet: Sheet, first: Marks, second: Marks, rows: Any, groups: Any | None
) -> Score | None:
    """In points; None for a task without labels."""
    labels = [
        (
            sheet.gold[rows][:, columns],
            first.given[rows][:, columns],
            second.given[rows][:, columns],
            len(task.labels[paths[0]]),
        )
        for paths, columns in label_columns(task).values()
    ]
    return macro_f1_points(labels, groups=groups) if labels else None


def _sentence(found: Comparison, p_holm: float | None) -> str:
    points = found.points
    held = "against gold" if found.against == "gold" else "in agreement with the teacher"
    value, low, high = (signed(end or 0.0) for end in (points.value, points.low, points.high))
    figures = f"{value} points (95 % interval {low} to {high}, p {said_p(p_holm)} after Holm)"
    seen = (
        "no difference would show on so few rows"
        if found.detectable is None
        else f"so many rows show {found.detectable:.1f} points or more, in 4 of 5 cases"
    )
    if p_holm is None or p_holm >= 0.05:
        alone = found.p is not None and found.p < 0.05
        chance = f", among so many pairs (tested alone, p {said_p(found.p)})" if alone else ""
        return (
            f"On {found.split}, no difference between {found.first} and {found.second} is shown "
            f"{held}{chance}: {figures}; {seen}."
        )
    word = "better" if (points.value or 0) > 0 else "worse"
    return (
        f"On {found.split}, {found.first} is {word} than {found.second} {held}: {figures}; {seen}."
    )


def said_p(p: float | None) -> str:
    """A p value in few digits."""
    if p is None:
        return "unknown"
    if p < 0.0001:
        return "< 0.0001"
    return f"{p:.4f}" if p < 0.01 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
