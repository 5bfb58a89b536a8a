"""The tables further down: classes, confusion, reasonings, confidence, slices, leaks, systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...store.rows import Score
from ..evaluation.results import (
    Against,
    Asked,
    BreakEven,
    LabelResult,
    Leakage,
    LearningPoint,
    Rationales,
    Report,
    Slice,
    SystemResult,
)
from .figures import f1, known, percent, tokens
from .parts import Cell, Table, columns_table, figure, score_column, scored, unscored
from .selection import held
from .tables import Column, names_of

MOST_CLASSES = 24  # of one table; the classes that are expected most often come first


def label_paths(systems: Sequence[SystemResult], split: str, by: Against) -> list[str]:
    """The label paths that anybody was marked on."""
    found = [held(system.splits[split], by) for system in systems]
    return list(dict.fromkeys(path for one in found if one for path in one.labels))


def classes_table(
    systems: Sequence[SystemResult], split: str, by: Against, path: str
) -> Table | None:
    """F1 of every class by every system, with precision and recall below."""
    found = _labels(systems, split, by, path)
    if not found:
        return None
    support: dict[str, int] = {}
    for _, label in found:
        for name, one in label.classes.items():
            support[name] = max(support.get(name, 0), one.support)
    classes = list(support)
    if len(classes) > MOST_CLASSES:
        classes = sorted(classes, key=lambda name: -support[name])[:MOST_CLASSES]
    columns: list[Column] = [
        (
            Cell(text=system.name, role=system.role),
            [_class(label, name) for name in classes],
        )
        for system, label in found
    ]
    names = (
        Cell(text="Class"),
        [Cell(text=name, note=f"n {support[name]:,}") for name in classes],
    )
    some = f" ({len(classes)} of {len(support)} classes)" if len(classes) < len(support) else ""
    caption = f"F1 per class of {path}, precision and recall below{some}"
    return columns_table(caption, names, columns)


def confusion_tables(
    systems: Sequence[SystemResult], split: str, by: Against, path: str
) -> tuple[Table, ...]:
    """Who was taken for what, by each of the systems."""
    return tuple(
        _confusion(system.name, path, label, by)
        for system, label in _labels(systems, split, by, path)
    )


def rationales_table(systems: Sequence[SystemResult], split: str) -> Table | None:
    """How good the reasonings are."""
    writing = [s for s in systems if s.splits[split].rationales]
    found = [s.splits[split].rationales for s in writing]
    columns: list[Column] = [
        score_column("Label follows from the reasoning, %", _each(found, "supports"), percent),
        score_column("Cited cue in the text, %", _each(found, "cue_in_text"), percent),
        score_column("Overlap with the teacher's, token F1", _each(found, "overlap"), f1),
        (Cell(text="Words"), [figure(r.words if r else None, tokens) for r in found]),
        (Cell(text="Rows"), [Cell(text=f"{r.rows:,}" if r else "") for r in found]),
    ]
    caption = f"Reasonings on {split}"
    return columns_table(caption, names_of(writing, split), columns) if writing else None


def confidence_table(systems: Sequence[SystemResult], split: str) -> Table | None:
    """Expected calibration error and Brier score of whoever says how sure it is."""
    sure = [(s, s.splits[split].confidence) for s in systems if s.splits[split].confidence]
    columns: list[Column] = [
        (Cell(text="ECE, 15 bins"), [Cell(text=f1(c.ece)) for _, c in sure if c]),
        (Cell(text="Brier score"), [Cell(text=f1(c.brier)) for _, c in sure if c]),
        (Cell(text="Labels"), [Cell(text=f"{c.labels:,}") for _, c in sure if c]),
        (Cell(text="Against"), [Cell(text=c.against) for _, c in sure if c]),
    ]
    names = names_of([system for system, _ in sure], split)
    return columns_table(f"Confidence on {split}; 0 is best", names, columns) if sure else None


def slices_table(slices: Sequence[Slice], systems: Sequence[SystemResult]) -> Table:
    """Whole answers right in every part of a split."""
    names = (Cell(text="Slice"), [Cell(text=f"{s.by} = {s.value}") for s in slices])
    columns: list[Column] = [(Cell(text="Rows"), [Cell(text=f"{s.rows:,}") for s in slices])]
    for system in systems:
        cells = [_shaded(s.right.get(system.name)) for s in slices]
        columns.append((Cell(text=system.name, role=system.role), cells))
    return columns_table("Whole answers right per slice, %", names, columns)


def leakage_table(leakage: Leakage) -> Table | None:
    """The closest pairs."""
    if not leakage.closest:
        return None
    rows = tuple(
        (
            Cell(text=leak.example),
            Cell(text=leak.split),
            Cell(text=leak.other),
            Cell(text=leak.other_split),
            Cell(text=f"{leak.similarity:.2f}"),
        )
        for leak in leakage.closest
    )
    heads = ("Row", "Split", "Nearly the same as", "Its split", "Similarity (Jaccard)")
    caption = "The closest pairs"
    return Table(caption=caption, heads=tuple(Cell(text=h) for h in heads), rows=rows, prose=True)


def learning_table(points: Sequence[LearningPoint]) -> Table:
    """Every point of the curve."""
    names = (Cell(text="System"), [Cell(text=p.system) for p in points])
    columns: list[Column] = [
        (Cell(text="Split"), [Cell(text=p.split) for p in points]),
        (Cell(text="Labels"), [Cell(text=f"{p.labels:,}") for p in points]),
        score_column("Whole answers right, %", [p.right for p in points], percent),
        (Cell(text="Against"), [Cell(text=p.against) for p in points]),
    ]
    return columns_table("Accuracy against number of labels", names, columns)


def break_even_table(found: Sequence[BreakEven]) -> Table:
    """Rows after which a student has paid for itself."""
    names = (Cell(text="Student"), [Cell(text=b.student, role="student") for b in found])
    columns: list[Column] = [
        (Cell(text="From, rows"), [_number(b.rows_low) for b in found]),
        (Cell(text="To, rows"), [_number(b.rows_high) for b in found]),
    ]
    return columns_table("Rows until it has paid for itself", names, columns)


def systems_table(result: Report) -> Table:
    """Who was compared, and which run of the store it is."""
    seeds = any(system.seed is not None for system in result.systems)
    facts = (
        ("Role", "role"),
        ("Writes", "target"),
        *((("Recipe", "arm"), ("Seed", "seed")) if seeds else ()),
        ("Strategy", "strategy"),
        ("Model", "model"),
        ("Run", "run"),
        ("What it is", "description"),
    )
    columns = [
        (Cell(text=head), [_said(getattr(s, name)) for s in result.systems]) for head, name in facts
    ]
    return columns_table("Systems", names_of(result.systems), columns, prose=True)


def asked_table(found: Sequence[Asked]) -> Table:
    """When everybody answered, and how students were trained, where that is still known."""
    columns = [
        (Cell(text="First answer"), [_said(one.first) for one in found]),
        (Cell(text="Last answer"), [_said(one.last) for one in found]),
        (Cell(text="Run folder"), [_said(one.folder) for one in found]),
        (Cell(text="Trained"), [_said(one.trained) for one in found]),
        (Cell(text="Training"), [_said(_training(one)) for one in found]),
    ]
    names = (Cell(text="System"), [Cell(text=one.system) for one in found])
    return columns_table("Answered when (UTC), trained how", names, columns, prose=True)


def _training(asked: Asked) -> str | None:
    facts = (f"{key.replace('_', ' ')} {value}" for key, value in asked.training.items())
    return ", ".join(facts) or None


def _labels(
    systems: Sequence[SystemResult], split: str, by: Against, path: str
) -> list[tuple[SystemResult, LabelResult]]:
    found = [(system, held(system.splits[split], by)) for system in systems]
    return [(system, one.labels[path]) for system, one in found if one and path in one.labels]


def _class(label: LabelResult, name: str) -> Cell:
    one = label.classes.get(name)
    if one is None or one.f1 is None:
        return unscored()
    both = [f1(v) if v is not None else "–" for v in (one.precision, one.recall)]
    return Cell(text=f1(one.f1), note=f"{both[0]} / {both[1]}")


def _confusion(system: str, path: str, label: LabelResult, by: Against) -> Table:
    totals = {name: sum(row.values()) for name, row in label.confusion.items()}
    expected = list(dict.fromkeys([*label.classes, *label.confusion]))
    every = len(expected)
    if every > MOST_CLASSES:
        expected = sorted(expected, key=lambda name: -totals.get(name, 0))[:MOST_CLASSES]
    others = list(dict.fromkeys(g for row in label.confusion.values() for g in row))
    spare = [g for g in others if g not in label.classes and g not in label.confusion]
    given = [*expected, *spare[:4]]
    rows = []
    for name in expected:
        counts, total = label.confusion.get(name, {}), totals.get(name, 0)
        cells = [
            Cell(
                text=f"{counts.get(other, 0):,}",
                share=counts.get(other, 0) / total if total else None,
                right=other == name,
            )
            for other in given
        ]
        rows.append((Cell(text=name, note=f"n {total:,}"), *cells))
    some = f" ({len(expected)} of {every} classes)" if len(expected) < every else ""
    told = "gold" if by == "gold" else "the teacher"
    return Table(
        caption=f"{system}: {path}, {told} in rows, answers in columns{some}",
        heads=(Cell(text="Expected"), *(Cell(text=name) for name in given)),
        rows=tuple(rows),
    )


def _said(value: str | int | None) -> Cell:
    return Cell(text=str(value)) if value is not None else unscored("it has none")


def _shaded(score: Score | None) -> Cell:
    share = score.value if score and known(score.value) else None
    return replace(scored(score, percent), share=share)


def _number(value: int | None) -> Cell:
    return Cell(text=f"{value:,}") if value is not None else unscored("unscored: no number would")


def _each(found: Sequence[Rationales | None], name: str) -> list[Score | None]:
    return [getattr(one, name) for one in found]
