"""Two systems on the same rows: how far apart, is that chance, may one stand in for the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

from ...store.rows import Score
from .intervals import scored_rows, student_t
from .patterns import Z, unit_sums

Verdict = Literal["supported", "not supported", "not enough rows", "not measurable"]
POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class NonInferiority:
    """`difference`: first minus second in points. `rows_needed`: None where no number would do.

    `groups_needed`: as many groups hold these rows, None where every row stands alone.
    """

    difference: Score
    verdict: Verdict
    rows_needed: int | None
    groups_needed: int | None = None


@dataclass(frozen=True)
class _Gaps:
    """Parts more, and fewer, that the first got right, of all; `effect`: the design effect.

    `units` is how many groups the rows are in, as many as rows where each stands alone.
    """

    more: float
    fewer: float
    parts: float
    rows: int
    units: int
    effect: float

    def interval(self, times: float = 1.0) -> tuple[float, float]:
        """Of the difference, were there so many times as many rows of the same kind."""
        scale = times / self.effect
        return _tango(self.more * scale, self.fewer * scale, self.parts * scale)


def paired_points(first: Any, second: Any, of: Any, *, groups: Any | None = None) -> Score:
    """First minus second, in percentage points of `of`; all [n], right parts and parts per row.

    The score interval of a paired difference (Tango 1998), which stays honest where few rows or
    none differ; parts of a row, or rows of a group, count by their design effect (Rao & Scott
    1992). Rows without parts are left out.
    """
    gaps = _gaps(first, second, of, groups)
    return Score(value=None) if gaps is None else _points(gaps)


def non_inferiority(
    first: Any, second: Any, of: Any, *, margin_points: float, groups: Any | None = None
) -> NonInferiority:
    """May the first stand in for the second, at most `margin_points` (> 0) worse?

    Supported only when the lower 95 % bound of the difference is above the negative margin. Not
    supported when the difference itself is not: more rows like these would not help. Else too few:
    `rows_needed` would support it in 80 of 100 repetitions, were the difference, and the groups, as
    seen here.
    """
    gaps = _gaps(first, second, of, groups)
    if gaps is None:
        return NonInferiority(
            difference=Score(value=None), verdict="not measurable", rows_needed=None
        )
    difference = _points(gaps)
    if difference.low is not None and difference.low > -margin_points:
        return NonInferiority(difference=difference, verdict="supported", rows_needed=None)
    if difference.value is None or difference.value <= -margin_points:
        return NonInferiority(difference=difference, verdict="not supported", rows_needed=None)
    times = _times_needed(gaps, margin_points / 100)
    return NonInferiority(
        difference=difference,
        verdict="not enough rows",
        rows_needed=math.ceil(gaps.rows * times),
        groups_needed=math.ceil(gaps.units * times) if gaps.units < gaps.rows else None,
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact two-sided p: rows that only one of two got right, as fair coins."""
    n, smaller = only_first + only_second, min(only_first, only_second)
    if 2 * smaller >= n:
        return 1.0
    # terms of the tail relative to its largest, which is the last
    term = tail = 1.0
    for k in range(smaller, 0, -1):
        term *= k / (n - k + 1)
        tail += term
        if term < tail * 1e-18:
            break
    log_largest = math.lgamma(n + 1) - math.lgamma(smaller + 1) - math.lgamma(n - smaller + 1)
    return min(1.0, 2 * tail * math.exp(log_largest - n * math.log(2)))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) correction for as many comparisons as there are p values; None stays None."""
    found: list[float | None] = [None] * len(ps)
    known = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    so_far = 0.0
    for rank, (p, place) in enumerate(known):
        so_far = max(so_far, min(1.0, (len(known) - rank) * p))
        found[place] = so_far
    return found


def _gaps(first: Any, second: Any, of: Any, groups: Any | None) -> _Gaps | None:
    import numpy as np

    first, second, of, groups = scored_rows(first, second, of, groups=groups)
    if not len(of):
        return None
    sums = unit_sums(np.stack([first - second, of], axis=1), groups)
    gap, parts, units = sums[:, 0], float(sums[:, 1].sum()), len(sums)
    more, fewer = float(gap[gap > 0].sum()), float(-gap[gap < 0].sum())
    rows = len(of)
    alone = units == parts and set(gap.tolist()) <= {-1.0, 0.0, 1.0}
    if alone:
        return _Gaps(more, fewer, parts, rows, units, 1.0)
    off = gap - (more - fewer) / parts * sums[:, 1]
    apart = more + fewer - (more - fewer) ** 2 / parts
    if units < 2 or not apart > 0:
        return _Gaps(more, fewer, parts, rows, units, parts / units)
    few = (student_t(units - 1) / Z) ** 2
    effect = max(1.0, float(off @ off) / apart * units / (units - 1)) * few
    return _Gaps(more, fewer, parts, rows, units, effect)


def _points(gaps: _Gaps) -> Score:
    value = (gaps.more - gaps.fewer) / gaps.parts
    low, high = gaps.interval()
    return Score(
        value=100 * value,
        low=100 * min(low, value),
        high=100 * max(high, value),
        n=round(gaps.parts),
    )


def _times_needed(gaps: _Gaps, margin: float) -> float:
    """How many times the rows, of the same kind, let the lower bound clear the margin by POWER."""
    value = (gaps.more - gaps.fewer) / gaps.parts
    variance = gaps.effect * ((gaps.more + gaps.fewer) / gaps.parts - value**2)
    reach = (Z + NormalDist().inv_cdf(POWER)) ** 2 * variance / (value + margin) ** 2
    low, high = 1.0, max(2.0, reach / gaps.parts)
    while gaps.interval(high)[0] <= -margin:
        low, high = high, 2 * high
    needed = reach / gaps.parts
    while high / low > 1.0001:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if gaps.interval(middle)[0] > -margin else (middle, high)
    return max(needed, high)


def _tango(more: float, fewer: float, n: float) -> tuple[float, float]:
    """Tango's (1998) score interval of (more - fewer) / n, by bisection."""
    value = (more - fewer) / n

    def score(delta: float) -> float:
        b = -more - fewer + (2 * n - more + fewer) * delta
        c = -fewer * delta * (1 - delta)
        q = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
        variance = n * (2 * q + delta * (1 - delta))
        gap = more - fewer - n * delta
        return math.inf * gap if variance <= 0 and gap else gap / math.sqrt(variance or 1)

    def end(inside: float, outside: float, sign: int) -> float:
        for _ in range(50):
            middle = (inside + outside) / 2
            if sign * score(middle) <= Z:
                inside = middle
            else:
                outside = middle
        return (inside + outside) / 2

    return end(value, -1.0, 1), end(value, 1.0, -1)
