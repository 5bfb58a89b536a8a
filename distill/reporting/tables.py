"""The tables of systems and their differences: verdicts, quality, cost, comparisons, dividend."""

from __future__ import annotations

from collections.abc import Sequence

from ...store.rows import Score
from ..evaluation.results import (
    Against,
    Comparison,
    Correctness,
    Dividend,
    DividendArm,
    Report,
    SwapVerdict,
    SystemResult,
)
from .figures import dollars, f1, known, percent, points, probability, seconds, tokens
from .parts import Cell, Table, columns_table, figure, score_column, scored, unscored
from .selection import held, in_parts, on

Column = tuple[Cell, list[Cell]]


def verdicts_table(verdicts: Sequence[SwapVerdict]) -> Table:
    """Every student on every split: can it stand in?"""
    names = (Cell(text="Student"), [Cell(text=v.student) for v in verdicts])
    columns: list[Column] = [
        (Cell(text="Split"), [Cell(text=v.split) for v in verdicts]),
        (Cell(text="Verdict"), [Cell(text=v.verdict) for v in verdicts]),
        (Cell(text="Student − teacher, points"), [scored(v.difference, points) for v in verdicts]),
        (Cell(text="Margin"), [Cell(text=points(-v.margin)) for v in verdicts]),
        (Cell(text="Rows"), [_count(v.difference.n) for v in verdicts]),
        (Cell(text="Rows needed"), [_count(v.rows_needed) for v in verdicts]),
        (Cell(text="Groups needed"), [_count(v.groups_needed) for v in verdicts]),
        (Cell(text="Against"), [Cell(text=v.against) for v in verdicts]),
    ]
    return columns_table("Verdicts, 95 % intervals", names, columns)


def quality_table(result: Report, split: str, by: Against) -> Table | None:
    """Everybody on one split against gold, or against the teacher."""
    systems = on(result, split)
    found = [held(system.splits[split], by) for system in systems]
    if not any(found):
        return None
    rows = [f.row_exact if f else None for f in found]
    parts = _parts(result, systems, by, split)
    columns: list[Column] = (
        [
            score_column("Whole answers right, %", rows, percent),
            score_column("Answer parts right, %", parts, percent),
        ]
        if in_parts(result)
        else [score_column("Whole answers right, %", parts, percent)]
    )
    for path in _paths(found, "labels"):
        scores = [f.labels[path].macro_f1 if f and path in f.labels else None for f in found]
        columns.append(score_column(f"Macro-F1 {path}", scores, f1))
    for path in _paths(found, "fields"):
        fields = [f.fields.get(path) if f else None for f in found]
        columns.append(score_column(f"{path}, %", fields, percent))
    valid = [system.splits[split].valid for system in systems]
    columns.append(score_column("Valid, %", valid, percent))
    pairs = zip(systems, found, strict=True)
    columns.append((Cell(text="Rows"), [_rows(s, split, f) for s, f in pairs]))
    told = "against gold" if by == "gold" else "agreement with the teacher"
    return columns_table(f"Every system on {split}, {told}", names_of(systems, split), columns)


def cost_table(result: Report, split: str) -> Table:
    """What everybody took on one split."""
    systems = on(result, split)
    efforts = [system.splits[split].effort for system in systems]
    columns: list[Column] = [
        (Cell(text="US$ per 1,000 rows"), [_cost(e.cost, e.cost_basis) for e in efforts]),
        (Cell(text="Median s per row"), [figure(e.seconds_median, seconds) for e in efforts]),
        (Cell(text="p95 s per row"), [figure(e.seconds_p95, seconds) for e in efforts]),
        (Cell(text="Rows per second"), [figure(e.rows_per_second, tokens) for e in efforts]),
        (Cell(text="Tokens in per row"), [figure(e.input_tokens, tokens) for e in efforts]),
        (Cell(text="Tokens out per row"), [figure(e.output_tokens, tokens) for e in efforts]),
        (Cell(text="Peak memory, MiB"), [figure(e.peak_memory_mb, tokens) for e in efforts]),
        (Cell(text="Training, s"), [figure(s.training.get("seconds"), seconds) for s in systems]),
        (Cell(text="Training, US$"), [figure(s.training.get("usd"), dollars) for s in systems]),
    ]
    return columns_table(f"What it takes, on {split}", names_of(systems, split), columns)


def accuracy_table(result: Report, split: str, by: Against) -> Table | None:
    """Accuracy of every label path, on its own."""
    systems = on(result, split)
    found = [held(system.splits[split], by) for system in systems]
    columns = [
        score_column(
            path,
            [f.labels[path].accuracy if f and path in f.labels else None for f in found],
            percent,
        )
        for path in _paths(found, "labels")
    ]
    told = "against gold" if by == "gold" else "agreement with the teacher"
    caption = f"Accuracy per label on {split}, {told}, %"
    return columns_table(caption, names_of(systems, split), columns) if columns else None


def comparisons_table(found: Sequence[Comparison], split: str) -> Table:
    """Every paired difference of a split, with what it could have shown."""
    names = (Cell(text="First − second"), [Cell(text=f"{c.first} − {c.second}") for c in found])
    columns: list[Column] = [
        score_column("Difference, points", [c.points for c in found], points),
        score_column("Macro-F1, points", [c.macro_f1 for c in found], points),
        (Cell(text="Detectable, points"), [_plus_minus(c.detectable) for c in found]),
        (Cell(text="p (McNemar)"), [figure(c.p, probability) for c in found]),
        (Cell(text="p (Holm)"), [figure(c.p_holm, probability) for c in found]),
        (Cell(text="Only first right"), [Cell(text=f"{c.only_first:,}") for c in found]),
        (Cell(text="Only second right"), [Cell(text=f"{c.only_second:,}") for c in found]),
        (Cell(text="Against"), [Cell(text=c.against) for c in found]),
    ]
    caption = (
        f"Paired differences on {split} in points of whole answers right; detectable: what so many "
        "rows would show in 80 of 100 repetitions, were it the only test"
    )
    return columns_table(caption, names, columns)


def label_differences_table(found: Sequence[Comparison], split: str) -> Table | None:
    """Every paired difference, one label path at a time; None for a task with a single one."""
    pairs = [(c, path, label) for c in found for path, label in c.labels.items()]
    names = (Cell(text="First − second"), [Cell(text=f"{c.first} − {c.second}") for c, *_ in pairs])
    columns: list[Column] = [
        (Cell(text="Label"), [Cell(text=path) for _, path, _ in pairs]),
        score_column("Difference, points", [d.points for *_, d in pairs], points),
        (Cell(text="Detectable, points"), [_plus_minus(d.detectable) for *_, d in pairs]),
        (Cell(text="p (McNemar)"), [figure(d.p, probability) for *_, d in pairs]),
        (Cell(text="p (Holm)"), [figure(d.p_holm, probability) for *_, d in pairs]),
        (Cell(text="Only first right"), [Cell(text=f"{d.only_first:,}") for *_, d in pairs]),
        (Cell(text="Only second right"), [Cell(text=f"{d.only_second:,}") for *_, d in pairs]),
    ]
    caption = f"Paired differences on {split} in points of labels right, one label at a time"
    return columns_table(caption, names, columns) if pairs else None


def dividend_table(found: Dividend) -> Table:
    """One row per target: what learning the reasoning brought, and what it costs."""
    arms = found.arms
    names = (Cell(text="Target"), [_arm(arm) for arm in arms])
    columns: list[Column] = [
        score_column("Whole answers right, %", [arm.right for arm in arms], percent),
        score_column("Gain over label, points", [arm.gain for arm in arms], points),
        (Cell(text="p (Holm)"), [figure(arm.p_holm, probability) for arm in arms]),
        (Cell(text="Spread of seeds, points"), [figure(arm.seed_spread, plain) for arm in arms]),
        (Cell(text="Extra tokens per row"), [figure(arm.extra_tokens, points) for arm in arms]),
        (Cell(text="Extra ms per row"), [figure(arm.extra_milliseconds, points) for arm in arms]),
        (
            Cell(text="US$ per extra right answer"),
            [figure(arm.usd_per_extra_right, dollars) for arm in arms],
        ),
        (Cell(text="Systems"), [Cell(text=", ".join(arm.systems) or "none") for arm in arms]),
    ]
    base = f"base {found.base}, rows {found.rows[:12]}"
    return columns_table(f"Targets on {found.split}, {base}", names, columns)


def names_of(systems: Sequence[SystemResult], split: str | None = None) -> Column:
    """The column of names; on a split, with what must not be overlooked."""
    return Cell(text="System"), [
        Cell(text=s.name, role=s.role, note=_doubt(s, split)) for s in systems
    ]


def plain(value: float) -> str:
    """One decimal: 1.7 -> "1.7"."""
    return f"{value:.1f}"


def _parts(
    result: Report, systems: Sequence[SystemResult], by: Against, split: str
) -> list[Score | None]:
    """Beside the students' agreement with the teacher stands the teacher's with itself."""
    scores = []
    for system in systems:
        found = held(system.splits[split], by)
        itself = result.ceiling if by == "teacher" and system.name == result.reference else None
        scores.append(found.exact if found else itself)
    return scores


def _doubt(system: SystemResult, split: str | None) -> str:
    if split is None or system.splits[split].learnt is not False:
        return ""
    return "not shown to beat the majority class"


def _arm(arm: DividendArm) -> Cell:
    note = "not learnt" if arm.learnt is False else f"{len(arm.seeds)} seeds" * bool(arm.seeds)
    return Cell(text=arm.target, note="1 seed" if note == "1 seeds" else note)


def _rows(system: SystemResult, split: str, found: Correctness | None) -> Cell:
    measured = system.splits[split]
    notes = [f"{measured.errors:,} failed"] if measured.errors else []
    notes += [f"{found.unscored:,} unscored"] if found and found.unscored else []
    return Cell(text=f"{measured.rows:,}", note=", ".join(notes))


def _count(value: int | None) -> Cell:
    return Cell(text=f"{value:,}") if value else unscored("unscored: not known")


def _cost(cost: float | None, basis: str | None) -> Cell:
    if not known(cost):
        return unscored("unscored: not known")
    return Cell(text=dollars(cost), title=f"by {basis}" if basis else "")


def _plus_minus(value: float | None) -> Cell:
    return Cell(text=f"±{value:.1f}") if known(value) else unscored("unscored: not known")


def _paths(found: Sequence[Correctness | None], what: str) -> list[str]:
    return list(dict.fromkeys(path for one in found if one for path in getattr(one, what)))
