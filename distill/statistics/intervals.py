"""How good, and how sure: shares, means and macro-F1 with 95 % intervals whose unit is the row.

The labels of one row are answered together and err together, so rows (or groups of rows) are what
varies. Nothing collapses to a point where everything is right.
"""

from __future__ import annotations

import math
from typing import Any

from ...store.rows import Score
from .patterns import Z, bca, unit_sums


def share(right: int, rows: int) -> Score:
    """`right` of `rows` rows, with Wilson's interval (1927); unscored where there are no rows."""
    if rows == 0:
        return Score(value=None)
    low, high = wilson(right / rows, rows)
    return Score(value=right / rows, low=low, high=high, n=rows)


def wilson(value: float, n: float) -> tuple[float, float]:
    """Wilson's interval of a share of `n`, which need not be whole."""
    centre = (value + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(value * (1 - value) / n + Z**2 / (4 * n**2))
    return max(0.0, min(centre - half, value)), min(1.0, max(centre + half, value))


def clustered_share(right: Any, of: Any, *, groups: Any | None = None) -> Score:
    """Sum of `right` [n] over sum of `of` [n], both per row.

    Wilson's interval on the number of independent parts that these are worth: the design effect of
    the ratio (Rao & Scott 1992), never below 1, with Student's t for few units (Korn & Graubard
    1998). Where all or nothing is right the units count, not their parts.
    """
    right, of, groups = scored_rows(right, of, groups=groups)
    total = float(of.sum())
    if not total:
        return Score(value=None)
    import numpy as np

    sums = unit_sums(np.stack([right, of], axis=1), groups)
    value = float(right.sum()) / total
    low, high = wilson(value, _worth(sums, value, most=total))
    return Score(value=value, low=low, high=high, n=round(total))


def mean_score(values: Any, *, groups: Any | None = None) -> Score:
    """Mean of scores from 0 to 1, [n], NaN left out: Wilson's interval, as `clustered_share`."""
    values, sums = _known(values, groups)
    if not len(values):
        return Score(value=None)
    value = float(values.mean())
    low, high = wilson(value, _worth(sums, value, most=math.inf))
    return Score(value=value, low=low, high=high, n=len(values))


def mean_amount(values: Any, *, groups: Any | None = None) -> Score:
    """Mean of amounts of any size, never negative (money, seconds), [n]; NaN is left out.

    Student's t on units. One unit has no interval: it says nothing of the next. Equal amounts, as
    of a flat price, have one without width.
    """
    values, sums = _known(values, groups)
    if not len(values):
        return Score(value=None)
    value, units = float(values.mean()), len(sums)
    if units < 2:
        return Score(value=value, n=len(values))
    gaps = sums[:, 0] - value * sums[:, 1]
    variance = float(gaps @ gaps) * units / (units - 1) / len(values) ** 2
    half = student_t(units - 1) * math.sqrt(variance)
    return Score(value=value, low=max(0.0, value - half), high=value + half, n=len(values))


def macro_f1(gold: Any, given: Any, classes: int, *, groups: Any | None = None) -> Score:
    """Mean F1 of the classes that occur in gold or in an answer, as scikit-learn's.

    `gold`, `given`: class numbers [n, k], k labels a row, negative where there is none: a pair
    without gold is left out, a pair without an answer is wrong.
    """
    from .classes import class_patterns

    sums, counts, pairs = class_patterns(gold, given, classes, groups=groups)
    if not pairs:
        return Score(value=None)
    value = float(macro(counts @ sums))
    interval = bca(sums, counts, macro)
    low, high = interval or wilson(value, _worth_ofmacro(counts @ sums))
    return Score(value=value, low=low, high=high, n=pairs)


def scored_rows(*columns: Any, groups: Any | None) -> tuple[Any, ...]:
    """Float columns [n] (the last says how many parts a row has) and groups, rows with parts."""
    import numpy as np

    arrays = [np.asarray(column, float) for column in columns]
    known = arrays[-1] > 0
    left = None if groups is None else np.asarray(groups)[known]
    return (*(array[known] for array in arrays), left)


def _known(values: Any, groups: Any | None) -> tuple[Any, Any]:
    """Values without NaN, and per unit their sum and how many they are."""
    import numpy as np

    values = np.asarray(values, float)
    known = ~np.isnan(values)
    values = values[known]
    groups = None if groups is None else np.asarray(groups)[known]
    return values, unit_sums(np.stack([values, np.ones(len(values))], axis=1), groups)


def student_t(freedom: int) -> float:
    """The 97.5 % quantile of Student's t (Abramowitz & Stegun 26.7.5)."""
    z = Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(freedom) ** (power + 1) for power, term in enumerate(terms))


def _worth(sums: Any, value: float, *, most: float) -> float:
    """How many independent parts the units' sums (right, of) [u, 2] are worth, `most` at most."""
    units, total = len(sums), float(sums[:, 1].sum())
    if units == total and set(sums[:, 0].tolist()) <= {0.0, 1.0}:
        return units
    if units < 2 or not 0 < value < 1:
        return units
    gaps = sums[:, 0] - value * sums[:, 1]
    variance = float(gaps @ gaps) * units / (units - 1) / total**2
    worth = min(most, value * (1 - value) / variance) if variance > 1e-24 else total
    return float(worth * (Z / student_t(units - 1)) ** 2)


def macro(totals: Any) -> Any:
    """Macro-F1 of totals [..., 2K]: hits of each class, then expected plus given of each."""
    import numpy as np

    half = totals.shape[-1] // 2
    hits, either = totals[..., :half], totals[..., half:]
    occurs = either > 0
    f1 = np.where(occurs, 2 * hits / np.where(occurs, either, 1), 0.0)
    return f1.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1)


def _worth_ofmacro(totals: Any) -> float:
    """Rows a macro-F1 without any spread is worth: a rare class counts as much as a common one."""
    half = totals.shape[-1] // 2
    either = totals[half:][totals[half:] > 0] / 2
    worth: float = len(either) ** 2 / float((1 / either).sum())
    return worth
