"""Parts of a split: who is good where. By label, by length, by group, by any column that says."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ...chains.task import Task
from ...store.rows import Example, Score
from ...store.store import Store
from ..statistics import clustered_share
from .answered import Answering, Sheet
from .results import Against, Slice

SMALLEST = 20  # rows: a smaller part says nothing
MOST = 40  # slices of one split, the worst
FEW = 12  # different values that make a column one to slice by
LOOKED_AT = 400  # rows that show whether a column has few values
_DAY = re.compile(r"(\d{4}-\d{2})-\d{2}([T ].*)?")


def slices_of(
    task: Task,
    store: Store,
    sheet: Sheet,
    found: Sequence[Answering],
    *,
    against: Against = "gold",
    smallest: int = SMALLEST,
    texts: bool = True,
) -> list[Slice]:
    """The parts of the split with at least `smallest` scored rows, worst first, at most MOST.

    Parts are: rows whose gold (at any path of that leaf) is a class, quarters of the inputs'
    length, groups, the values of an input that has at most FEW, and the months (or years) of an
    input that is a date. `right` is the share of whole answers right, of every system that answered
    the split. Worst is where the worst of the students is, of all systems where there is none.
    Without `texts` nothing is cut by groups and inputs, whose values would be told.
    """
    systems = [one for one in found if sheet.split in one.sheets]
    students = [one.name for one in systems if one.run.role == "student"]
    judged = {one.name: one.sheets[sheet.split].right_rows(against) for one in systems}
    slices = []
    for by, value, inside in _parts(task, store, sheet, texts):
        if int(inside.sum()) < smallest:
            continue
        right = {name: _share(sheet, inside, *marks) for name, marks in judged.items()}
        right = {name: score for name, score in right.items() if score.n >= smallest}
        if right:
            rows = int(inside.sum())
            slices.append(Slice(split=sheet.split, by=by, value=value, rows=rows, right=right))

    def worst(part: Slice) -> float:
        named = [part.right[name] for name in students if name in part.right]
        return min(score.value or 0.0 for score in named or part.right.values())

    return sorted(slices, key=worst)[:MOST]


def _share(sheet: Sheet, inside: Any, right: Any, scored: Any) -> Score:
    rows = inside & scored
    return clustered_share(right[rows], rows[rows], groups=sheet.groups[rows])


def _parts(task: Task, store: Store, sheet: Sheet, texts: bool) -> Iterator[tuple[str, str, Any]]:
    """(what it is cut by, the value, bool [n])."""
    yield from _by_label(task, sheet)
    yield from _by_length(sheet)
    if texts:
        yield from _by_column(task, store, sheet)


def _by_label(task: Task, sheet: Sheet) -> Iterator[tuple[str, str, Any]]:
    columns: dict[tuple[str, tuple[Any, ...]], list[int]] = {}
    for place, (path, classes) in enumerate(task.labels.items()):
        columns.setdefault((path.split(".")[-1], classes), []).append(place)
    for (leaf, classes), places in columns.items():
        for number, name in enumerate(classes):
            yield leaf, str(name), (sheet.gold[:, places] == number).any(axis=1)


def _by_length(sheet: Sheet) -> Iterator[tuple[str, str, Any]]:
    import numpy as np

    if len(sheet.length) < 4 * SMALLEST:
        return
    bounds = np.unique(np.quantile(sheet.length, [0.25, 0.5, 0.75], method="lower"))
    edges = [-1, *bounds.tolist(), int(sheet.length.max())]
    for low, high in itertools.pairwise(edges):
        if low < high:
            inside = (sheet.length > low) & (sheet.length <= high)
            yield "input length", f"{int(low) + 1} to {int(high)} characters", inside


def _by_column(task: Task, store: Store, sheet: Sheet) -> Iterator[tuple[str, str, Any]]:
    import numpy as np

    readers = _readers(task, store, sheet)
    if not readers:
        return
    found = _places(task, store, sheet, readers)
    for by, values in found.items():
        if len(values) < 2 or (readers[by] != "group" and len(values) > FEW):
            continue
        for value, rows in values.items():
            inside = np.zeros(len(sheet.ids), bool)
            inside[rows] = True
            yield by, value, inside


def _places(
    task: Task, store: Store, sheet: Sheet, readers: dict[str, str]
) -> dict[str, dict[str, list[int]]]:
    """By column and value the places of the rows."""
    place = {name: number for number, name in enumerate(sheet.ids)}
    found: dict[str, dict[str, list[int]]] = {by: {} for by in readers}
    for example in store.iter_examples(task.name, split=sheet.split):
        row = place.get(example.id)
        for by, values in found.items() if row is not None else ():
            value = _value(example, by, readers[by])
            if value is not None and row is not None:
                values.setdefault(value, []).append(row)
    return found


def _readers(task: Task, store: Store, sheet: Sheet) -> dict[str, str]:
    """The columns that a look at the first rows says to slice by, and how each is read."""
    first = []
    for example in store.iter_examples(task.name, split=sheet.split):
        first.append(example)
        if len(first) == LOOKED_AT:
            break
    readers = {}
    for name in task.inputs:
        values = [example.inputs.get(name, "") for example in first]
        if values and all(_DAY.fullmatch(value) for value in values):
            months = {value[:7] for value in values}
            readers[name] = "month" if len(months) <= FEW else "year"
        elif 1 < len(set(values)) <= FEW and len(values) >= 2 * SMALLEST:
            readers[name] = "value"
    if any(example.group is not None for example in first):
        readers["group"] = "group"
    return readers


def _value(example: Example, by: str, reader: str) -> str | None:
    if reader == "group":
        return example.group
    text = example.inputs.get(by, "")
    return text[: {"month": 7, "year": 4}.get(reader, 80)]
