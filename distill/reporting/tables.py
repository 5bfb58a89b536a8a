"""The tables of a report as data, so that HTML and Markdown show the same figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...store.rows import Score
from ..evaluation.results import Disagreement, LabelResult, Report, SplitResult, SystemResult
from .figures import UNSCORED, dollars, f1, interval, known, percent, points, seconds, tokens


@dataclass(frozen=True, kw_only=True)
class Cell:
    """`text`, `title` and `role` may come from data; `note` holds figures and our own words only.

    `role` names and colours a system's role, `share` (0 to 1) shades a cell, `right` marks the
    diagonal of a confusion matrix, `differs` what is not as in gold.
    """

    text: str
    note: str = ""
    title: str = ""
    role: str = ""
    share: float | None = None
    right: bool = False
    differs: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Headings and rows of equal length; the first cell of a row names it."""

    caption: str
    heads: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    prose: bool = False


@dataclass(frozen=True, kw_only=True)
class LabelTables:
    """One label path on one split: F1 per class, and a confusion matrix per system."""

    name: str
    per_class: Table
    confusions: tuple[Table, ...]


def _unscored(why: str = "unscored") -> Cell:
    return Cell(text=UNSCORED, title=why)


def _figure(value: float | None, write: Callable[[float], str]) -> Cell:
    return Cell(text=write(value)) if known(value) else _unscored("unscored: not known")


def _score(score: Score | None, write: Callable[[float], str]) -> Cell:
    if score is None or not known(score.value):
        return _unscored()
    return Cell(text=write(score.value), note=interval(score, write))


def _score_column(
    head: str, scores: Sequence[Score | None], write: Callable[[float], str]
) -> tuple[Cell, list[Cell]]:
    """A column of scores; n stands in its heading where all share it, else beside each figure."""
    counts = {s.n for s in scores if s is not None and known(s.value)}
    cells = [_score(score, write) for score in scores]
    if len(counts) == 1:
        return Cell(text=head, note=f"n {counts.pop():,}"), cells
    return Cell(text=head), [
        cell if s is None or not known(s.value) else _with_count(cell, s.n)
        for cell, s in zip(cells, scores, strict=True)
    ]


def _with_count(cell: Cell, count: int) -> Cell:
    return replace(cell, note=f"{cell.note} n {count:,}".strip())


def _table(
    caption: str, names: tuple[Cell, Iterable[Cell]], columns: Iterable[tuple[Cell, Iterable[Cell]]]
) -> Table:
    every = [names, *columns]
    return Table(
        caption=caption,
        heads=tuple(head for head, _ in every),
        rows=tuple(zip(*(cells for _, cells in every), strict=True)),
    )


def difference_table(result: Report) -> Table | None:
    """Every paired difference: split, who against whom, points, parts won and lost."""
    if not result.differences:
        return None
    found = result.differences
    columns = [
        _score_column("Difference, points", [d.points for d in found], points),
        (Cell(text="Wins"), [Cell(text=f"{d.wins:,}") for d in found]),
        (Cell(text="Losses"), [Cell(text=f"{d.losses:,}") for d in found]),
        (Cell(text="First − second"), [Cell(text=f"{d.first} − {d.second}") for d in found]),
    ]
    return _table(
        "Wins are parts that only the first got right, losses those that only the second did",
        (Cell(text="Split"), [Cell(text=d.split) for d in found]),
        columns,
    )


def split_table(result: Report, split: str) -> Table | None:
    """What every system scored on a split, what it took and what it cost."""
    systems = _on(result, split)
    if not systems:
        return None
    found = [system.splits[split] for system in systems]
    columns = [
        _score_column("Exact, %", [s.exact for s in found], percent),
        _score_column("Whole answers right, %", [s.row_exact for s in found], percent),
        _score_column("Valid, %", [s.valid for s in found], percent),
        _score_column("Agreement with the teacher, %", _agreements(result, split), percent),
    ]
    for path in _paths(found, "labels"):
        scores = [s.labels[path].macro_f1 if path in s.labels else None for s in found]
        columns.append(_score_column(f"Macro-F1 {path}", scores, f1))
    if any(s.cue_in_text for s in found):
        cues = [s.cue_in_text for s in found]
        columns.append(_score_column("Cited cue in the text, %", cues, percent))
    names = (Cell(text="System"), [_system(system, split) for system in systems])
    return _table(f"Every system on {split}", names, [*columns, *_effort(found)])


def _agreements(result: Report, split: str) -> list[Score | None]:
    """Beside the students' agreement with the teacher stands the teacher's with itself."""
    return [
        result.ceiling if system.role == "teacher" else system.splits[split].agreement
        for system in _on(result, split)
    ]


def _effort(found: Sequence[SplitResult]) -> list[tuple[Cell, list[Cell]]]:
    return [
        (Cell(text="Rows"), [_rows(s) for s in found]),
        (Cell(text="Median s per row"), [_figure(s.seconds_median, seconds) for s in found]),
        (Cell(text="p95 s per row"), [_figure(s.seconds_p95, seconds) for s in found]),
        (Cell(text="Tokens in per row"), [_figure(s.input_tokens, tokens) for s in found]),
        (Cell(text="Tokens out per row"), [_figure(s.output_tokens, tokens) for s in found]),
        (Cell(text="US$ per 1,000 rows"), [_figure(s.cost, dollars) for s in found]),
    ]


def _system(system: SystemResult, split: str) -> Cell:
    doubt = "not shown to beat the majority class" if system.splits[split].learnt is False else ""
    return Cell(text=system.name, role=system.role, note=doubt)


def _rows(split: SplitResult) -> Cell:
    return Cell(text=f"{split.rows:,}", note=f"{split.errors:,} failed" if split.errors else "")


def label_tables(result: Report, split: str) -> tuple[LabelTables, ...]:
    """Per label path of a split: the F1 of every class, and who was taken for what."""
    systems = _on(result, split)
    paths = _paths([system.splits[split] for system in systems], "labels")
    return tuple(_label_tables(systems, split, path) for path in paths)


def _label_tables(systems: Sequence[SystemResult], split: str, path: str) -> LabelTables:
    found = [(s, s.splits[split].labels[path]) for s in systems if path in s.splits[split].labels]
    classes = list(dict.fromkeys(name for _, label in found for name in label.per_class_f1))
    columns = [
        (
            Cell(text=system.name, role=system.role),
            [_figure(label.per_class_f1.get(name), f1) for name in classes],
        )
        for system, label in found
    ]
    names = (Cell(text="Class"), [Cell(text=name) for name in classes])
    per_class = _table(f"F1 per class of {path}", names, columns)
    confusions = tuple(_confusion(system, path, label) for system, label in found)
    return LabelTables(name=path, per_class=per_class, confusions=confusions)


def _confusion(system: SystemResult, path: str, label: LabelResult) -> Table:
    expected = list(dict.fromkeys([*label.per_class_f1, *label.confusion]))
    given = list(dict.fromkeys([*expected, *(g for row in label.confusion.values() for g in row)]))
    rows = []
    for name in expected:
        counts = label.confusion.get(name, {})
        total = sum(counts.values())
        cells = [
            Cell(
                text=f"{counts.get(other, 0):,}",
                share=counts.get(other, 0) / total if total else None,
                right=other == name,
            )
            for other in given
        ]
        rows.append((Cell(text=name, note=f"n {total:,}"), *cells))
    return Table(
        caption=f"{system.name}: {path}, gold in rows, answers in columns",
        heads=(Cell(text="Gold"), *(Cell(text=name) for name in given)),
        rows=tuple(rows),
    )


def accuracy_table(result: Report, split: str) -> Table | None:
    """Accuracy of every label path against gold."""
    systems = _on(result, split)
    found = [system.splits[split] for system in systems]
    columns = [
        _score_column(
            path, [s.labels[path].accuracy if path in s.labels else None for s in found], percent
        )
        for path in _paths(found, "labels")
    ]
    if not columns:
        return None
    return _table("Accuracy per label against gold, %", _names(systems), columns)


def field_table(result: Report, split: str) -> Table | None:
    """The paths that are not labels, scored by the task's comparators."""
    systems = _on(result, split)
    found = [system.splits[split] for system in systems]
    columns = [
        _score_column(path, [s.fields.get(path) for s in found], percent)
        for path in _paths(found, "fields")
    ]
    if not columns:
        return None
    return _table("Fields that are not labels, % by their comparators", _names(systems), columns)


def answers_table(found: Disagreement) -> Table:
    """Every path of the answers: gold, then every system; what is not as in gold is marked."""
    gold = _leaves(found.gold)
    leaves = {name: _leaves(answer) for name, answer in found.answers.items()}
    paths = list(dict.fromkeys(p for flat in (gold, *leaves.values()) for p in flat)) or [""]
    rows = []
    for path in paths:
        expected = Cell(text=gold[path]) if path in gold else _unscored("unscored: no gold")
        given = [
            _given(found, name, flat.get(path), gold.get(path)) for name, flat in leaves.items()
        ]
        rows.append((Cell(text=path or "answer"), expected, *given))
    heads = (Cell(text="Path"), Cell(text="Gold"), *(Cell(text=name) for name in leaves))
    caption = "Answers; ≠ marks what is not as in gold"
    return Table(caption=caption, heads=heads, rows=tuple(rows), prose=True)


def _given(found: Disagreement, name: str, value: str | None, gold: str | None) -> Cell:
    if found.answers[name] is None:
        return Cell(text="no answer", differs=bool(found.gold))
    if value is None:
        return Cell(text=UNSCORED, title="not in the answer", differs=gold is not None)
    return Cell(text=value, differs=gold is not None and value != gold)


def systems_table(result: Report) -> Table:
    """Who was compared, and which run of the store it is."""
    systems = result.systems
    columns = [
        (Cell(text=head), [Cell(text=str(getattr(s, name))) for s in systems])
        for head, name in (
            ("Role", "role"),
            ("Writes", "target"),
            ("Model", "model"),
            ("Run", "run"),
            ("What it is", "description"),
        )
    ]
    names = (Cell(text="System"), [Cell(text=s.name, role=s.role) for s in systems])
    return replace(_table("Systems", names, columns), prose=True)


def versions_table(result: Report) -> Table:
    """The software that computed the report."""
    rows = tuple((Cell(text=n), Cell(text=v)) for n, v in result.versions.items())
    heads = (Cell(text="Package"), Cell(text="Version"))
    return Table(caption="Versions", heads=heads, rows=rows, prose=True)


def _on(result: Report, split: str) -> list[SystemResult]:
    return [system for system in result.systems if split in system.splits]


def _names(systems: Sequence[SystemResult]) -> tuple[Cell, list[Cell]]:
    return Cell(text="System"), [Cell(text=s.name, role=s.role) for s in systems]


def _paths(found: Sequence[SplitResult], what: str) -> list[str]:
    return list(dict.fromkeys(path for split in found for path in getattr(split, what)))


def _leaves(answer: Mapping[str, Any] | None, prefix: str = "") -> dict[str, str]:
    leaves: dict[str, str] = {}
    for key, value in (answer or {}).items():
        if isinstance(value, Mapping) and value:
            leaves.update(_leaves(value, f"{prefix}{key}."))
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            leaves[f"{prefix}{key}"] = text
    return leaves
