"""How a figure is written: percent, points, F1, seconds, tokens, money, and what is unscored."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeGuard

from ...store.rows import Score

UNSCORED = "–"


def known(value: float | None) -> TypeGuard[float]:
    """Is this a figure? None, NaN and infinities are not: they are unscored, which is not 0."""
    return value is not None and math.isfinite(value)


def percent(share: float) -> str:
    """0.9123 -> "91.2"; the unit stands in the heading or behind it."""
    return f"{100 * share:.1f}"


def points(value: float) -> str:
    """Percentage points with their sign, as typeset: 4.21 -> "+4.2", -0.5 -> "−0.5"."""
    rounded = round(value, 1)
    return "0.0" if rounded == 0 else f"{rounded:+.1f}".replace("-", "−")


def f1(value: float) -> str:
    """0.71249 -> "0.712"."""
    return f"{value:.3f}"


def seconds(value: float) -> str:
    """Two figures below 10, whole seconds from 100 on: 0.0123 -> "0.012", 214.7 -> "215"."""
    if 0 < value < 0.001:
        return "<0.001"
    if value < 0.1:
        return f"{value:.3f}"
    return f"{value:.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def tokens(value: float) -> str:
    """A mean of counts: one decimal below 100, whole above."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def dollars(value: float) -> str:
    """Cents from one cent on, two significant figures below: 0.00042 -> "0.00042"."""
    return f"{value:,.2f}" if value == 0 or value >= 0.01 else f"{value:.{_places(value)}f}"


def interval(score: Score, write: Callable[[float], str]) -> str:
    """The 95 % interval as "[low–high]" ("[low to high]" with signs), empty where there is none."""
    if not (known(score.value) and known(score.low) and known(score.high)):
        return ""
    between = " to " if write is points else "–"
    return f"[{write(score.low)}{between}{write(score.high)}]"


def _places(value: float) -> int:
    return min(12, 1 - math.floor(math.log10(abs(value))))


def probability(p: float) -> str:
    """A p-value: 0.034 -> "0.034", 4e-6 -> "<0.001"."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
