"""Figures with intervals: what is right, per row, and how sure that makes us.

Intervals are at 95 %. Rows are resampled, not the parts of a row, because the parts of one row are
answered together and err together (a cluster bootstrap: Field & Welsh 2007). A share of whole rows
uses Wilson's interval (Wilson 1927), which does not collapse where everything is right.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...chains.task import Task, value_at
from ...store.rows import Score
from .results import LabelResult

RESAMPLES = 2000
SEED = 0
_Z = 1.959963984540054


def share(right: int, rows: int) -> Score:
    """`right` of `rows` rows, with Wilson's interval; unscored where there are no rows."""
    if rows == 0:
        return Score(value=None)
    low, high = _wilson(right / rows, rows)
    return Score(value=right / rows, low=low, high=high, n=rows)


def clustered_share(right: Sequence[float], of: Sequence[float]) -> Score:
    """Sum of `right` over sum of `of`, both per row, with rows resampled."""
    total = sum(of)
    if total == 0:
        return Score(value=None)
    value = sum(right) / total
    if value in (0.0, 1.0):  # no resample differs: the rows' own share says more
        low, high = _wilson(value, sum(1 for n in of if n))
        return Score(value=value, low=low, high=high, n=round(total))
    import numpy as np

    weights = _weights(len(of))
    shares = (weights @ np.asarray(right, float)) / np.maximum(weights @ np.asarray(of, float), 1)
    low, high = _percentiles(shares)
    return Score(value=value, low=low, high=high, n=round(total))


def paired_points(first: Sequence[float], second: Sequence[float], of: Sequence[float]) -> Score:
    """First minus second, in percentage points of `of`, on the same rows, rows resampled."""
    total = sum(of)
    if total == 0:
        return Score(value=None)
    import numpy as np

    gap = np.asarray(first, float) - np.asarray(second, float)
    weights = _weights(len(of))
    shares = 100 * (weights @ gap) / np.maximum(weights @ np.asarray(of, float), 1)
    low, high = _percentiles(shares)
    return Score(value=100 * float(gap.sum()) / total, low=low, high=high, n=round(total))


def label_result(classes: Sequence[Any], rows: Sequence[Sequence[tuple[Any, Any]]]) -> LabelResult:
    """One label against gold: per row its pairs of (expected, given), given None for no answer.

    Macro-F1 is the mean over the classes that occur in gold or in an answer, as scikit-learn's.
    """
    names = [str(name) for name in classes]
    texts = [[(str(w), None if g is None else str(g)) for w, g in row] for row in rows]
    counts = Counter(pair for row in texts for pair in row)
    macro, per_class = _macro_f1(names, texts)
    return LabelResult(
        accuracy=clustered_share(
            [sum(w == g for w, g in row) for row in texts], [len(row) for row in texts]
        ),
        macro_f1=macro,
        per_class_f1=per_class,
        confusion={
            name: {
                g or "no answer": n for (w, g), n in sorted(counts.items(), key=str) if w == name
            }
            for name in names
        },
    )


def part_scores(
    task: Task, expected: Mapping[str, Any], given: Mapping[str, Any] | None
) -> dict[str, bool]:
    """For each part of the answer that `expected` speaks of: is all of it right?

    A part with labels is judged by its labels, a part without by all of its fields.
    """
    scores = {}
    for name, paths in task.parts.items():
        judged = [path for path in paths if path in task.labels] or list(paths)
        known = [path for path in judged if speaks_of(expected, path)]
        if known:
            scores[name] = given is not None and all(
                task.comparator(path)(value_at(expected, path), value_at(given, path)) == 1.0
                for path in known
            )
    return scores


def percentile(values: Sequence[float], share_of: float) -> float | None:
    """The nearest-rank percentile, None where there are no values."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share_of * len(ordered)) - 1)]


def speaks_of(expected: Mapping[str, Any], path: str) -> bool:
    """Whether a gold says anything at this path; None is something."""
    head, _, last = path.rpartition(".")
    node = value_at(expected, head) if head else expected
    return isinstance(node, Mapping) and last in node


def _macro_f1(
    names: Sequence[str], rows: Sequence[Sequence[tuple[str, str | None]]]
) -> tuple[Score, dict[str, float | None]]:
    pairs = sum(len(row) for row in rows)
    if not pairs:
        return Score(value=None), dict.fromkeys(names)
    import numpy as np

    def per_row(counted: Callable[[str, str, str | None], bool]) -> Any:
        return np.array([[sum(counted(n, w, g) for w, g in row) for n in names] for row in rows])

    hits = per_row(lambda name, w, g: w == name == g)
    either = per_row(lambda name, w, _: w == name) + per_row(lambda name, _, g: g == name)

    def f1(weights: Any) -> Any:
        denominator = weights @ either
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(denominator > 0, 2 * (weights @ hits) / denominator, np.nan)

    per_class = f1(np.ones(len(rows)))
    low, high = _percentiles(np.nanmean(f1(_weights(len(rows))), axis=1))
    scored = {
        name: None if math.isnan(value) else float(value)
        for name, value in zip(names, per_class, strict=True)
    }
    macro = Score(value=float(np.nanmean(per_class)), low=low, high=high, n=pairs)
    return macro, scored


def _weights(rows: int) -> Any:
    """How often each resample draws each row: RESAMPLES x rows, the same for every system."""
    import numpy as np

    generator = np.random.default_rng(SEED)
    return generator.multinomial(rows, np.full(rows, 1 / rows), size=RESAMPLES).astype(float)


def _percentiles(values: Any) -> tuple[float, float]:
    import numpy as np

    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _wilson(value: float, n: int) -> tuple[float, float]:
    if n == 0:
        return 0.0, 1.0
    centre = (value + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(value * (1 - value) / n + _Z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)
