"""What the store holds on one split as columns: a Sheet of rows, and every run's Marks.

Answers that are labels come in few different texts. Each text is parsed once, and each pair of
texts compared once, whatever the number of rows.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...chains.task import Task, value_at
from ...store.answers import iter_answers, iter_examples
from ...store.store import Store
from .answered import FOREIGN, SILENT, Marks, Sheet
from .reasonings import ReasoningColumns

Judges = Mapping[str, Sequence[tuple[str, Callable[[Any, Any], float]]]]


@dataclass(frozen=True, kw_only=True)
class Split:
    """A Sheet with what it takes to mark answers against it.

    `positions`: int64 [n], the rows' places in the store, ascending; `gold`: their gold.
    """

    sheet: Sheet
    positions: Any
    gold: Coded


@dataclass(frozen=True, kw_only=True)
class Coded:
    """JSON data of n rows: int64 [n] places in `distinct`, -1 where a row has none."""

    codes: Any
    distinct: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What one run answered to a split's rows; `asked`: bool [n]; `columns` by name, each [n]."""

    asked: Any
    answer: Coded
    confidence: Any
    columns: Mapping[str, Any]


def read_split(task: Task, store: Store, split: str, *, limit: int | None = None) -> Split:
    """The split's rows (its first `limit`) with their gold. Raises StoreError."""
    import numpy as np

    positions, ids, groups, lengths = [], [], [], []
    coding = Coding()
    for row in iter_examples(store, task.name, split, limit=limit):
        positions.append(row.position)
        ids.append(row.id)
        groups.append(row.group if row.group is not None else row.position)
        coding.add(row.gold)
        lengths.append(sum(map(len, json.loads(row.inputs).values())))
    gold = coding.coded()
    numbers: dict[str | int, int] = {}
    sheet = Sheet(
        split=split,
        ids=tuple(ids),
        groups=np.array([numbers.setdefault(group, len(numbers)) for group in groups], np.int64),
        gold=_classes(task, gold, foreign=SILENT),
        has_gold=gold.codes >= 0,
        length=np.array(lengths, np.int32),
    )
    return Split(sheet=sheet, positions=np.array(positions, np.int64), gold=gold)


def read_answers(
    task: Task, store: Store, split: Split, run: str, *, teacher: str | None = None
) -> Answers | None:
    """What the run answered to the split's rows, None where it was asked none of them.

    `teacher` is the run whose reasonings its own are laid beside. Raises StoreError.
    """
    import numpy as np

    read, found = ReasoningColumns(task), []
    coding, sure = Coding(), array("f")
    rows = iter_answers(store, run, split.sheet.split, inputs=task.cue is not None, beside=teacher)
    for row in rows:
        coding.add(row.answer)
        sure.extend(_probabilities(task, row.confidence))
        read.add(row.reasoning, row.inputs, row.beside)
        found.append((row.position, row.seconds, row.input_tokens, row.output_tokens, row.cost))
    table = np.array(found, float).reshape(len(found), 5)
    here = np.isin(table[:, 0].astype(np.int64), split.positions)
    if not here.any():
        return None
    places = np.searchsorted(split.positions, table[here, 0].astype(np.int64))
    n, coded = len(split.positions), coding.coded()
    confidence = np.array(sure, np.float32).reshape(len(found), len(task.labels))
    asked = np.zeros(n, bool)
    asked[places] = True
    named = dict(
        zip(("seconds", "input_tokens", "output_tokens", "cost"), table.T[1:], strict=True)
    )
    return Answers(
        asked=asked,
        answer=Coded(codes=_spread(coded.codes, here, places, n, -1), distinct=coded.distinct),
        confidence=_spread(confidence, here, places, n, np.nan),
        columns={
            name: _spread(values, here, places, n, np.nan if values.dtype.kind == "f" else 0)
            for name, values in (named | read.columns()).items()
        },
    )


def marks(task: Task, split: Split, answers: Answers, *, taught: Answers | None) -> Marks:
    """The answers marked against gold and against those of the teacher, None for its own."""
    gold_parts, gold_fields = _compared(task, split.gold, answers)
    nobody = Coded(codes=split.gold.codes * 0 - 1, distinct=())
    teacher_parts, teacher_fields = _compared(task, taught.answer if taught else nobody, answers)
    return Marks(
        asked=answers.asked,
        answered=answers.answer.codes >= 0,
        given=_classes(task, answers.answer, foreign=FOREIGN),
        gold_parts=gold_parts,
        teacher_parts=teacher_parts,
        gold_fields=gold_fields,
        teacher_fields=teacher_fields,
        confidence=answers.confidence,
        **answers.columns,
    )


def part_scores(
    task: Task,
    expected: Mapping[str, Any],
    given: Mapping[str, Any] | None,
    *,
    judges: Judges | None = None,
) -> dict[str, bool]:
    """For each part of the answer that `expected` speaks of: is all of it right?

    A part with labels is judged by its labels, a part without by all of its fields. `judges` are
    `judges_of(task)`, for who scores many.
    """
    scores = {}
    for name, compared in (judges or judges_of(task)).items():
        known = [(path, equal) for path, equal in compared if speaks_of(expected, path)]
        if known:
            scores[name] = given is not None and all(
                equal(value_at(expected, path), value_at(given, path)) == 1.0
                for path, equal in known
            )
    return scores


def judges_of(task: Task) -> Judges:
    """Per part of the answer the paths that it is judged by, each with its comparator."""
    return {
        name: [
            (path, task.comparator(path))
            for path in [path for path in paths if path in task.labels] or paths
        ]
        for name, paths in task.parts.items()
    }


def field_scores(
    task: Task, expected: Mapping[str, Any], given: Mapping[str, Any] | None
) -> dict[str, float]:
    """For each path that is no label and that `expected` speaks of: its comparator's score."""
    return {
        path: 0.0
        if given is None
        else task.comparator(path)(value_at(expected, path), value_at(given, path))
        for path in other_paths(task)
        if speaks_of(expected, path)
    }


def other_paths(task: Task) -> list[str]:
    """The paths that are not labels, in schema order: the columns of Marks.gold_fields."""
    return [path for path in task.paths if path not in task.labels]


def speaks_of(expected: Mapping[str, Any], path: str) -> bool:
    """Whether a gold says anything at this path; None is something."""
    head, _, last = path.rpartition(".")
    node = value_at(expected, head) if head else expected
    return isinstance(node, Mapping) and last in node


class Coding:
    """JSON texts, taken one at a time; equal ones are kept, and later parsed, once."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._codes = array("q")

    def add(self, text: str | None) -> None:
        """A row's text, None where it has none."""
        places = self._places
        self._codes.append(-1 if text is None else places.setdefault(text, len(places)))

    def coded(self) -> Coded:
        """All rows so far."""
        import numpy as np

        return Coded(
            codes=np.array(self._codes, np.int64),
            distinct=[json.loads(text) for text in self._places],
        )


def _classes(task: Task, coded: Coded, *, foreign: int) -> Any:
    """int16 [n, L]: the class at each label path, SILENT where nothing is said."""
    import numpy as np

    places = [
        {(type(value), value): place for place, value in enumerate(classes)}
        for classes in task.labels.values()
    ]
    table = np.full((len(coded.distinct) + 1, len(places)), SILENT, np.int16)  # the last: none
    for at, data in enumerate(coded.distinct):
        for column, (path, known) in enumerate(zip(task.labels, places, strict=True)):
            value = value_at(data, path)
            if value is not None:
                scalar = isinstance(value, str | int | float)
                table[at, column] = known.get((type(value), value), foreign) if scalar else foreign
    return table[coded.codes]


def _compared(task: Task, expected: Coded, answers: Answers) -> tuple[Any, Any]:
    """int8 [n, P] and float32 [n, F], as Marks has them: each pair of texts is compared once."""
    import numpy as np

    given, n = answers.answer, len(answers.asked)
    fields, judges = other_paths(task), judges_of(task)
    wanted = answers.asked & (expected.codes >= 0)
    width = len(given.distinct) + 1
    keys, places = np.unique(
        expected.codes[wanted] * width + given.codes[wanted] + 1, return_inverse=True
    )
    part_table = np.full((len(keys), len(task.parts)), -1, np.int8)
    field_table = np.full((len(keys), len(fields)), np.nan, np.float32)
    for at, key in enumerate(keys.tolist()):
        data = expected.distinct[key // width]
        answer = given.distinct[key % width - 1] if key % width else None
        scores = part_scores(task, data, answer, judges=judges)
        part_table[at] = [scores.get(name, -1) for name in task.parts]
        if fields:
            found = field_scores(task, data, answer)
            field_table[at] = [found.get(path, np.nan) for path in fields]
    parts = np.full((n, len(task.parts)), -1, np.int8)
    parts[wanted] = part_table[places]
    values = np.full((n, len(fields)), np.nan, np.float32)
    values[wanted] = field_table[places]
    return parts, values


def _probabilities(task: Task, text: str | None) -> list[float]:
    """Of the value given at each label path, NaN where it is not known."""
    said = json.loads(text) if text is not None else {}
    values = (said.get(path) for path in task.labels)
    return [math.nan if value is None else value for value in values]


def _spread(values: Any, here: Any, places: Any, n: int, empty: float) -> Any:
    """The values of the records that are `here` at their places among n rows."""
    import numpy as np

    spread = np.full((n, *values.shape[1:]), empty, values.dtype)
    spread[places] = values[here]
    return spread
