"""One system on one split: its records against gold and against the teacher, as figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...chains.task import Task, value_at
from ...store.rows import Example, Record, Score
from .metrics import (
    clustered_share,
    label_result,
    paired_points,
    part_scores,
    percentile,
    share,
    speaks_of,
)
from .results import LabelResult, SplitResult

Answered = tuple[Example, Record]
PartPair = tuple[dict[str, bool], dict[str, bool]]


def split_result(
    task: Task,
    split: str,
    examples: Sequence[Example],
    records: Mapping[str, Record],
    *,
    taught: Mapping[str, Record] | None,
    floor: Mapping[str, Record] | None = None,
) -> SplitResult:
    """One system's records on one split, scored against gold and against the teacher's answers.

    `taught` are the teacher's records by example, `floor` those of the majority class.
    """
    asked = [(example, records[example.id]) for example in examples if example.id in records]
    judged = [(example, record) for example, record in asked if example.gold]
    parts = [part_scores(task, example.gold or {}, record.answer) for example, record in judged]
    right, of = [sum(p.values()) for p in parts], [len(p) for p in parts]
    whole = [all(p.values()) for p in parts if p]
    seconds = [record.seconds for _, record in asked]
    return SplitResult(
        split=split,
        rows=len(asked),
        errors=sum(record.answer is None for _, record in asked),
        exact=clustered_share(right, of),
        row_exact=share(sum(whole), len(whole)),
        valid=share(sum(record.answer is not None for _, record in asked), len(asked)),
        agreement=None if taught is None else _agreement(task, asked, taught),
        labels=_labels(task, judged),
        fields=_fields(task, judged),
        cue_in_text=_cue_in_text(task, asked),
        seconds_median=percentile(seconds, 0.5),
        seconds_p95=percentile(seconds, 0.95),
        input_tokens=_mean([record.input_tokens for _, record in asked]),
        output_tokens=_mean([record.output_tokens for _, record in asked]),
        cost=_mean([record.cost for _, record in asked], scale=1000),
        learnt=None if floor is None else _learnt(task, examples, records, floor),
    )


def paired_parts(
    task: Task,
    examples: Sequence[Example],
    first: Mapping[str, Record],
    second: Mapping[str, Record],
) -> list[PartPair]:
    """Per row that both answered and that has gold: which parts each of the two got right."""
    return [
        (
            part_scores(task, row.gold, first[row.id].answer),
            part_scores(task, row.gold, second[row.id].answer),
        )
        for row in examples
        if row.gold and row.id in first and row.id in second
    ]


def difference_in_points(pairs: Sequence[PartPair]) -> Score:
    return paired_points(
        [sum(first.values()) for first, _ in pairs],
        [sum(second.values()) for _, second in pairs],
        [len(first) for first, _ in pairs],
    )


def _learnt(
    task: Task,
    examples: Sequence[Example],
    records: Mapping[str, Record],
    floor: Mapping[str, Record],
) -> bool | None:
    points = difference_in_points(paired_parts(task, examples, records, floor))
    return None if points.low is None else points.low > 0


def _agreement(task: Task, asked: Sequence[Answered], taught: Mapping[str, Record]) -> Score:
    parts = []
    for example, record in asked:
        teacher = taught.get(example.id)
        if teacher is not None and teacher.answer is not None:
            parts.append(part_scores(task, teacher.answer, record.answer))
    return clustered_share([sum(p.values()) for p in parts], [len(p) for p in parts])


def _labels(task: Task, judged: Sequence[Answered]) -> dict[str, LabelResult]:
    """Labels of the same name and classes in several parts are one label with more pairs."""
    groups: dict[tuple[str, tuple[Any, ...]], list[str]] = {}
    for path, classes in task.labels.items():
        groups.setdefault((path.split(".")[-1], classes), []).append(path)
    results = {}
    for (leaf, classes), paths in groups.items():
        rows = [
            [
                (value_at(example.gold, path), value_at(record.answer, path))
                for path in paths
                if value_at(example.gold, path) is not None
            ]
            for example, record in judged
        ]
        results[leaf if len(paths) > 1 else paths[0]] = label_result(classes, rows)
    return results


def _fields(task: Task, judged: Sequence[Answered]) -> dict[str, Score]:
    fields = {}
    for path in task.paths:
        if path not in task.labels:
            compare_values = task.comparator(path)
            scores = [
                compare_values(value_at(example.gold, path), value_at(record.answer, path))
                if record.answer is not None
                else 0.0
                for example, record in judged
                if speaks_of(example.gold or {}, path)
            ]
            fields[path] = clustered_share(scores, [1.0] * len(scores))
    return fields


def _cue_in_text(task: Task, asked: Sequence[Answered]) -> Score | None:
    """Of the cues that the reasonings cite, how many stand in the input."""
    if task.cue is None or not any(record.reasoning for _, record in asked):
        return None
    found, cited = [], []
    for example, record in asked:
        text = "\n".join(example.inputs.values()).casefold()
        cues = re.findall(task.cue, record.reasoning or "")
        found.append(sum(cue.casefold() in text for cue in cues))
        cited.append(len(cues))
    return clustered_share(found, cited)


def _mean(values: Sequence[float | None], *, scale: float = 1.0) -> float | None:
    known = [value for value in values if value is not None]
    return scale * sum(known) / len(known) if known else None
