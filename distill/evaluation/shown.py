"""Which rows a person is shown side by side: disagreements, errors, then a sample. Bounded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ...chains.task import Task, value_at
from ...store.rows import Example, Record
from ...store.store import Store
from .answered import Answering, Sheet
from .results import ShownRow, ShownRows

Why = Literal["disagreement", "error", "sample"]
MOST_ROWS = 300
MOST_BYTES = 900_000  # of all rows as JSON: a page of them stays far below 3 MB
LONGEST = {"inputs": 1500, "reasonings": 800, "errors": 300, "values": 300}  # characters of a text
_SHARES: dict[Why, float] = {"disagreement": 0.5, "error": 0.3, "sample": 0.2}


def shown_rows(
    task: Task,
    store: Store,
    sheets: Mapping[str, Sheet],
    found: Sequence[Answering],
    *,
    texts: bool = True,
    most: int = MOST_ROWS,
    most_bytes: int = MOST_BYTES,
) -> ShownRows:
    """At most `most` rows and `most_bytes` of JSON, shared out evenly among the splits.

    First rows where a student says something else than the teacher, the more of the students and
    the surer the higher; then rows where the teacher or a student is wrong by gold, or failed; then
    others. Ties, and the sample, are drawn by chance, always the same. Longer texts are cut.
    Without `texts` inputs, reasonings, free fields and the words of errors are left out; labels
    stay, and of an error its kind.
    """
    names = [name for name, sheet in sheets.items() if len(sheet.ids)]
    counts: dict[str, int] = dict.fromkeys(_SHARES, 0)
    rows: list[ShownRow] = []
    for number, name in enumerate(names):
        left = len(names) - number
        chosen, of = _chosen(sheets[name], found, (most - len(rows)) // left)
        counts = {why: counts[why] + of[why] for why in counts}
        room = (most_bytes - sum(map(_size, rows))) // left
        for place, why in chosen:
            row = _row(task, store, sheets[name], place, why, found, texts)
            room -= _size(row)
            if room < 0:
                break
            rows.append(row)
    total = sum(len(sheet.ids) for sheet in sheets.values())
    return ShownRows(rows=rows, total=total, of=counts)


def _size(row: ShownRow) -> int:
    return len(row.model_dump_json().encode())


def _chosen(
    sheet: Sheet, found: Sequence[Answering], most: int
) -> tuple[list[tuple[int, Why]], dict[str, int]]:
    """(place, why) of the rows to show, in their order, and how many rows of each kind there are.

    What one kind leaves free goes to the kinds after it, and then to those before.
    """
    ranked = _ranked(sheet, found)
    wanted = {why: round(most * share) for why, share in _SHARES.items()}
    taken = {why: min(len(ranked[why]), wanted[why]) for why in _SHARES}
    for why in _SHARES:
        free = most - sum(taken.values())
        taken[why] += max(0, min(free, len(ranked[why]) - taken[why]))
    chosen = [(place, why) for why in _SHARES for place in ranked[why][: taken[why]]]
    return chosen, {why: len(places) for why, places in ranked.items()}


def _ranked(sheet: Sheet, found: Sequence[Answering]) -> dict[Why, list[int]]:
    import numpy as np

    here = [one for one in found if sheet.split in one.sheets]
    judged = [one for one in here if one.run.role in ("teacher", "student")] or here
    apart = np.zeros(len(sheet.ids), int)
    wrong = np.zeros(len(sheet.ids), int)
    sure = np.zeros(len(sheet.ids))
    for one in judged:
        marks = one.sheets[sheet.split]
        right, scored = marks.right_rows("gold")
        missed = (scored & ~right) | (marks.asked & ~marks.answered)
        wrong += missed
        if one.run.role == "student":
            agrees, known = marks.right_rows("teacher")
            apart += known & ~agrees
            missed |= known & ~agrees
        lowest = np.nan_to_num(marks.confidence, nan=1.0).min(axis=1, initial=1.0)
        known_sure = ~np.isnan(marks.confidence).all(axis=1) if marks.confidence.size else missed
        sure = np.maximum(sure, np.where(missed & known_sure, lowest, 0.0))
    chance = np.array([_chance(name) for name in sheet.ids])
    order = np.lexsort((chance, -sure, -(apart + wrong)))
    drawn = np.argsort(chance, kind="stable")
    return {
        "disagreement": [int(p) for p in order if apart[p]],
        "error": [int(p) for p in order if wrong[p] and not apart[p]],
        "sample": [int(p) for p in drawn if not wrong[p] and not apart[p]],
    }


def _chance(example: str) -> int:
    return int.from_bytes(hashlib.blake2b(example.encode(), digest_size=7).digest(), "big")


def _row(
    task: Task,
    store: Store,
    sheet: Sheet,
    place: int,
    why: Why,
    found: Sequence[Answering],
    texts: bool,
) -> ShownRow:
    name = sheet.ids[place]
    example = store.example(task.name, name)
    records: dict[str, Record] = {}
    right: dict[str, bool | None] = {}
    for one in found:
        record = store.record(one.run.id, name) if sheet.split in one.sheets else None
        if record is not None:
            records[one.name] = record
            right[one.name] = _verdict(one, sheet.split, place)
    return ShownRow(
        split=sheet.split,
        example=name,
        why=why,
        inputs=_inputs(example) if texts else None,
        gold=None if example is None else _told(task, example.gold, texts),
        answers={one: _told(task, record.answer, texts) for one, record in records.items()},
        reasonings=_said(records, "reasoning", "reasonings") if texts else None,
        errors={
            one: error if texts else _kind(error)
            for one, error in _said(records, "error", "errors").items()
        },
        right=right,
        confidence={
            one: min(record.confidence.values())
            for one, record in records.items()
            if record.confidence
        },
    )


def _verdict(one: Answering, split: str, place: int) -> bool | None:
    """By gold, where it speaks; else by the teacher."""
    marks = one.sheets[split]
    for parts in (marks.gold_parts[place], marks.teacher_parts[place]):
        if (parts >= 0).any():
            return bool((parts != 0).all())
    return None


def _inputs(example: Example | None) -> dict[str, str]:
    return {
        name: _short(text, LONGEST["inputs"])
        for name, text in (example.inputs if example else {}).items()
    }


def _said(records: Mapping[str, Record], field: str, kind: str) -> dict[str, str]:
    said = {name: getattr(record, field) for name, record in records.items()}
    return {name: _short(text, LONGEST[kind]) for name, text in said.items() if text}


def _told(task: Task, answer: Mapping[str, Any] | None, texts: bool) -> dict[str, Any] | None:
    """The answer with its long texts cut, or its labels alone."""
    if answer is None or texts:
        cut: dict[str, Any] | None = _cut(answer)
        return cut
    labels: dict[str, Any] = {}
    for path, classes in task.labels.items():
        value = value_at(answer, path)
        *heads, last = path.split(".")
        node = labels
        for head in heads:
            node = node.setdefault(head, {})
        node[last] = value if value is None or value in classes else "another value"
    return labels


def _kind(error: str) -> str:
    """What stands before the first colon, where that is the name of an exception."""
    name = error.partition(":")[0]
    return name if name.isidentifier() else "failed"


def _cut(value: Any) -> Any:
    """The JSON with its long texts cut."""
    if isinstance(value, dict):
        return {name: _cut(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_cut(part) for part in value[:50]]
    return _short(value, LONGEST["values"]) if isinstance(value, str) else value


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
