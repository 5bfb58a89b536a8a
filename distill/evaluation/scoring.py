"""One system on one split: its Marks against gold and against the teacher, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...chains.task import Task
from ...store.rows import Score
from ..statistics import (
    class_scores,
    clustered_share,
    confusion_counts,
    macro_f1,
    mean_score,
    paired_points,
    share,
)
from .answered import FOREIGN, Marks, Sheet
from .confidence import confidence_of
from .marking import other_paths
from .rationales import rationales_of
from .results import Against, ClassResult, Correctness, Effort, LabelResult, Measured

NO_ANSWER, NO_CLASS = "no answer", "another value"


def measured(
    task: Task,
    sheet: Sheet,
    marks: Marks,
    *,
    taught: Marks | None = None,
    floor: Marks | None = None,
    support: Marks | None = None,
    effort: Effort | None = None,
) -> Measured:
    """All figures of one system on one split.

    `taught` are the teacher's marks, None for the teacher itself; `floor` those of the majority
    class, which a student must beat; `support` what it answered from its rationales alone.
    """
    rows = int(marks.asked.sum())
    valid = int(marks.answered.sum())
    return Measured(
        rows=rows,
        errors=rows - valid,
        valid=share(valid, rows),
        gold=correctness(task, sheet, marks, against="gold", expected=sheet.gold),
        teacher=None
        if taught is None
        else correctness(task, sheet, marks, against="teacher", expected=taught.given),
        rationales=rationales_of(task, sheet, marks, support),
        confidence=confidence_of(sheet, marks, taught),
        effort=effort or Effort(),
        learnt=None if floor is None else learnt(sheet, marks, floor),
    )


def correctness(
    task: Task, sheet: Sheet, marks: Marks, *, against: Against, expected: Any
) -> Correctness | None:
    """Figures against gold or the teacher; None where it speaks of no row that was asked.

    `expected`: int16 [n, L], the labels that are held right.
    """
    right, scored = marks.right_rows(against)
    if not scored.any():
        return None
    parts = parts_of(marks, against)[scored]
    groups = units(sheet, scored)
    return Correctness(
        exact=clustered_share((parts == 1).sum(axis=1), (parts >= 0).sum(axis=1), groups=groups),
        row_exact=clustered_share(right[scored], scored[scored], groups=groups),
        labels={
            name: label_result(
                task.labels[next(iter(paths))],
                expected[scored][:, columns],
                marks.given[scored][:, columns],
                groups,
            )
            for name, (paths, columns) in label_columns(task).items()
        },
        fields=_fields(task, sheet, marks, against),
        unscored=int((marks.asked & ~scored).sum()),
    )


def label_columns(task: Task) -> dict[str, tuple[list[str], list[int]]]:
    """Labels by the name they are shown under: their paths, and their columns in Marks.given.

    Labels of the same name and classes in several parts are one label with more values a row.
    """
    groups: dict[tuple[str, tuple[Any, ...]], list[str]] = {}
    for path, classes in task.labels.items():
        groups.setdefault((path.split(".")[-1], classes), []).append(path)
    places = {path: column for column, path in enumerate(task.labels)}
    return {
        (leaf if len(paths) > 1 else paths[0]): (paths, [places[path] for path in paths])
        for (leaf, _), paths in groups.items()
    }


def label_result(
    classes: Sequence[Any], expected: Any, given: Any, groups: Any | None
) -> LabelResult:
    """One label, k values a row: class numbers [n, k], as Sheet and Marks have them."""
    import numpy as np

    names = [str(name) for name in classes]
    known = expected >= 0
    right = ((expected == given) & known).sum(axis=1)
    counts = confusion_counts(expected, given, len(names))
    foreign = np.bincount(expected[known & (given == FOREIGN)], minlength=len(names))
    return LabelResult(
        accuracy=clustered_share(right, known.sum(axis=1), groups=groups),
        macro_f1=macro_f1(expected, given, len(names), groups=groups),
        classes={
            name: ClassResult(
                precision=one.precision, recall=one.recall, f1=one.f1, support=one.support
            )
            for name, one in zip(names, class_scores(counts), strict=True)
        },
        confusion={
            name: _given_counts(names, row.tolist(), int(other))
            for name, row, other in zip(names, counts, foreign, strict=True)
        },
    )


def learnt(sheet: Sheet, marks: Marks, floor: Marks) -> bool | None:
    """Whether the system beats the majority class at 95 %, in answer parts; None where unscored.

    Against gold; where there is none, against the teacher.
    """
    for against in ("gold", "teacher"):
        points = points_in_parts(sheet, marks, floor, against)
        if points.low is not None:
            return points.low > 0
    return None


def points_in_parts(sheet: Sheet, first: Marks, second: Marks, against: str) -> Score:
    """First minus second, in percentage points of the answer parts that both were asked for."""
    one, other, of, groups = paired_parts(sheet, first, second, against)
    return paired_points(one, other, of, groups=groups)


def paired_parts(
    sheet: Sheet, first: Marks, second: Marks, against: str
) -> tuple[Any, Any, Any, Any | None]:
    """(right parts of the first, of the second, parts), int [m] each, and the groups of these rows.

    The m rows, and their parts, that both were asked for.
    """
    one, other = parts_of(first, against), parts_of(second, against)
    both = (one >= 0) & (other >= 0)
    rows = both.any(axis=1)
    return (
        ((one == 1) & both).sum(axis=1)[rows],
        ((other == 1) & both).sum(axis=1)[rows],
        both.sum(axis=1)[rows],
        units(sheet, rows),
    )


def parts_of(marks: Marks, against: str) -> Any:
    """int8 [n, P]: the marks of the answer's parts against gold or the teacher."""
    return marks.gold_parts if against == "gold" else marks.teacher_parts


def units(sheet: Sheet, rows: Any) -> Any | None:
    """The groups of these rows (bool [n]), None where no two of them share one."""
    import numpy as np

    groups = sheet.groups[rows]
    return None if len(np.unique(groups)) == len(groups) else groups


def _given_counts(names: Sequence[str], row: Sequence[int], foreign: int) -> dict[str, int]:
    *told, silent = row
    counts = dict(zip(names, told, strict=True))
    counts |= {NO_ANSWER: silent - foreign, NO_CLASS: foreign}
    return {name: count for name, count in counts.items() if count}


def _fields(task: Task, sheet: Sheet, marks: Marks, against: str) -> dict[str, Score]:
    table = marks.gold_fields if against == "gold" else marks.teacher_fields
    return {
        path: mean_score(table[marks.asked, column], groups=units(sheet, marks.asked))
        for column, path in enumerate(other_paths(task))
    }
