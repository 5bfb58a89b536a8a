"""Which systems stand for the others where not all of them can be shown."""

from __future__ import annotations

from collections.abc import Sequence

from ..evaluation.results import Against, Correctness, Measured, Report, SwapVerdict, SystemResult
from .figures import known

ORDER = ("supported", "not enough rows", "not supported", "not measurable")


def on(result: Report, split: str) -> list[SystemResult]:
    """The systems that answered this split."""
    return [system for system in result.systems if split in system.splits]


def against(result: Report, split: str) -> Against:
    """Gold where anybody was held against it on this split, else the teacher."""
    spoken = any(known(_right(s.splits[split], "gold")) for s in on(result, split))
    return "gold" if spoken else "teacher"


def held(measured: Measured, by: Against) -> Correctness | None:
    """What was found against gold, or against the teacher."""
    return measured.gold if by == "gold" else measured.teacher


def in_parts(result: Report) -> bool:
    """Whether answers have parts that say more than the whole answer does."""
    splits = [split for system in result.systems for split in system.splits.values()]
    return any(not one.whole for s in splits for one in (s.gold, s.teacher) if one is not None)


def main_verdict(result: Report) -> SwapVerdict | None:
    """The verdict of the first screen: on the first split that has one, the best student's."""
    return best_of(rivals(result))


def best_of(found: Sequence[SwapVerdict]) -> SwapVerdict | None:
    """The most favourable verdict, the higher lower bound first."""
    return min(found, key=lambda v: (ORDER.index(v.verdict), -_low(v))) if found else None


def rivals(result: Report) -> list[SwapVerdict]:
    """The verdicts on the first split that has one."""
    judged = {verdict.split for verdict in result.verdicts}
    order = [note.name for note in result.splits if note.name in judged]
    return [verdict for verdict in result.verdicts if order and verdict.split == order[0]]


def _low(verdict: SwapVerdict) -> float:
    return verdict.difference.low if known(verdict.difference.low) else -1000.0


def leading(result: Report, split: str, most: int) -> list[SystemResult]:
    """Teacher, the students of the verdicts, then the best of the others; at most so many."""
    systems = on(result, split)
    by = against(result, split)
    wanted = [result.reference, *(v.student for v in result.verdicts if v.split == split)]
    first = [name for name in dict.fromkeys(wanted) if name]
    rest = sorted(systems, key=lambda s: -(_right(s.splits[split], by) or 0.0))
    order = [*first, *(s.name for s in rest)]
    places = {name: place for place, name in reversed(list(enumerate(order)))}
    return sorted(systems, key=lambda s: places[s.name])[:most]


def left_out(shown: Sequence[object], every: Sequence[object], where: str) -> str:
    """Says that not all are shown; empty where they are."""
    if len(shown) >= len(every):
        return ""
    return f"{len(shown):,} of {len(every):,} are shown; {where}."


def _right(measured: Measured, by: Against) -> float | None:
    found = held(measured, by)
    return found.row_exact.value if found else None
