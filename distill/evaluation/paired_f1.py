"""Macro-F1 of two systems on the same rows: the difference, with one interval for both at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...store.rows import Score
from ..statistics.patterns import Z, bca, distinct_rows, unit_sums

MOST_PATTERNS = 500  # distinct rows up to which the bootstrap is affordable


def macro_f1_points(
    labels: Sequence[tuple[Any, Any, Any, int]], *, groups: Any | None = None
) -> Score:
    """First minus second in points of macro-F1, the mean over labels; rows are resampled for both.

    Each label is (expected, first, second, how many classes): class numbers [n, k], as
    `statistics.macro_f1` takes them. BCa (Efron 1987); where more than MOST_PATTERNS rows differ
    from each other, the normal interval of the jackknife, to which it has converged by then.
    """
    import numpy as np

    columns = np.concatenate([_columns(*label) for label in labels], axis=1)
    if not columns.any():
        return Score(value=None)
    rows = int(columns.any(axis=1).sum())
    sums, counts = distinct_rows(unit_sums(columns, groups))
    widths = [classes for *_, classes in labels]

    def figure(totals: Any) -> Any:
        return 100 * _difference(totals, widths)

    total = counts @ sums
    value = float(figure(total[None, :])[0])
    if len(counts) <= MOST_PATTERNS:
        low, high = bca(sums, counts, figure) or _as_wide_as_one(counts, value)
    else:
        away = figure(total[None, :] - sums) - value
        half = Z * float(counts @ away**2) ** 0.5
        low, high = value - half, value + half
    return Score(value=value, low=max(-100.0, low), high=min(100.0, high), n=rows)


def _columns(expected: Any, first: Any, second: Any, classes: int) -> Any:
    """float32 [n, 4K]: per row, of each class: hits and occurrences of the first and the second."""
    import numpy as np

    known = expected >= 0
    found = []
    for given in (first, second):
        for one in range(classes):
            wanted, said = known & (expected == one), known & (given == one)
            found.append((wanted & said).sum(axis=1))
            found.append(wanted.sum(axis=1) + said.sum(axis=1))
    return np.stack(found, axis=1).astype(np.float32)


def _difference(totals: Any, widths: Sequence[int]) -> Any:
    """Of totals [m, c]: the mean over labels of macro-F1 of the first minus that of the second."""
    import numpy as np

    sides: list[Any] = [0.0, 0.0]
    at = 0
    for classes in widths:
        for side in (0, 1):
            hits, either = (
                totals[:, at : at + 2 * classes : 2],
                totals[:, at + 1 : at + 2 * classes : 2],
            )
            occurs = either > 0
            f1 = np.where(occurs, 2 * hits / np.where(occurs, either, 1), 0.0)
            sides[side] = sides[side] + f1.sum(axis=1) / np.maximum(occurs.sum(axis=1), 1)
            at += 2 * classes
    return (sides[0] - sides[1]) / len(widths)


def _as_wide_as_one(counts: Any, value: float) -> tuple[float, float]:
    """Where every row is alike: what one row more or less, of these many, could make of it."""
    edge = 100 * Z**2 / (float(counts.sum()) + Z**2)
    return value - edge, value + edge
