"""Dot-and-interval charts as data: where each mark stands, in percent of the width of the plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...store.rows import Score
from ..evaluation.results import Difference, Report
from .figures import interval, known, percent, points


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One row: `at`, `low` and `high` in percent of the plot's width, None where unscored."""

    name: str
    role: str
    figure: str
    bounds: str
    at: float | None
    low: float | None
    high: float | None
    hollow: bool = False


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Rows over one axis; `ticks` are (percent of the width, text), `ends` name its two sides."""

    title: str
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float | None = None
    ends: tuple[str, str] | None = None

    @property
    def description(self) -> str:
        """Every mark in words, for whoever does not see the drawing."""
        return "; ".join(f"{m.name}: {m.figure} {m.bounds}".strip() for m in self.marks)


def exact_chart(result: Report, split: str) -> Chart | None:
    """`exact` of every system that answered this split, on an axis from 0 to 100 %."""
    marks = []
    for system in result.systems:
        if split in system.splits:
            score = system.splits[split].exact
            low, at, high = (_position(v) for v in (score.low, score.value, score.high))
            marks.append(
                Mark(
                    name=system.name,
                    role=system.role,
                    figure=f"{percent(score.value)} %" if known(score.value) else "unscored",
                    bounds=interval(score, percent),
                    at=at,
                    low=low,
                    high=high,
                )
            )
    if not marks:
        return None
    ticks = tuple((float(tick), f"{tick} %") for tick in (0, 25, 50, 75, 100))
    return Chart(title=f"exact on {split}, 95 % intervals", marks=tuple(marks), ticks=ticks)


def difference_chart(differences: Sequence[Difference]) -> Chart | None:
    """The paired differences around 0; a mark is hollow where its interval includes 0."""
    if not differences:
        return None
    pairs = {(difference.first, difference.second) for difference in differences}
    reach = _reach([difference.points for difference in differences])
    marks = tuple(_difference_mark(d, reach, name_pair=len(pairs) > 1) for d in differences)
    ticks = tuple(
        (50.0 + 50.0 * share, points(reach * share).removesuffix(".0"))
        for share in (-1.0, -0.5, 0.0, 0.5, 1.0)
    )
    first, second = next(iter(pairs)) if len(pairs) == 1 else ("the first", "the second")
    return Chart(
        title=f"{first} minus {second}, in percentage points of exact, 95 % intervals",
        marks=marks,
        ticks=ticks,
        zero=50.0,
        ends=(f"← {second} ahead", f"{first} ahead →"),
    )


def _difference_mark(difference: Difference, reach: float, *, name_pair: bool) -> Mark:
    score, pair = difference.points, f": {difference.first} − {difference.second}"
    low, at, high = (_around_zero(v, reach) for v in (score.low, score.value, score.high))
    return Mark(
        name=difference.split + (pair if name_pair else ""),
        role="student",
        figure=points(score.value) if known(score.value) else "unscored",
        bounds=interval(score, points),
        at=at,
        low=low,
        high=high,
        hollow=low is None or high is None or low <= 50.0 <= high,
    )


def _reach(scores: Sequence[Score]) -> float:
    """The end of a symmetric axis: the next round number of points beyond every interval."""
    ends = [abs(v) for s in scores for v in (s.low, s.value, s.high) if known(v)]
    furthest = max(ends, default=0.0)
    return next((float(step) for step in (2, 4, 10, 20, 40, 60) if furthest <= step), 100.0)


def _position(share: float | None) -> float | None:
    return round(100.0 * min(1.0, max(0.0, share)), 3) if known(share) else None


def _around_zero(value: float | None, reach: float) -> float | None:
    return round(50.0 + 50.0 * min(1.0, max(-1.0, value / reach)), 3) if known(value) else None
