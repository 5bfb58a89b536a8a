"""Which labels are confused: counts of (expected, given), and what they say of each class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """One class; None where the denominator is 0. `support` counts how often it was expected."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


def confusion_counts(gold: Any, given: Any, classes: int) -> Any:
    """int64 [classes, classes + 1]: expected by given, no (known) answer in the last column.

    `gold`, `given`: class numbers of any one shape, negative where there is none; pairs without
    gold are left out.
    """
    import numpy as np

    expected = np.asarray(gold).reshape(-1).astype(np.int64)
    answered = np.asarray(given).reshape(-1).astype(np.int64)
    known = expected >= 0
    expected, answered = expected[known], answered[known]
    answered = np.where(answered < 0, classes, answered)
    cells = np.bincount(expected * (classes + 1) + answered, minlength=classes * (classes + 1))
    return cells.reshape(classes, classes + 1)


def class_scores(counts: Any) -> list[ClassScore]:
    """Precision, recall and F1 of each class, from its confusion counts."""
    classes = len(counts)
    found = []
    for one in range(classes):
        hits, expected = int(counts[one, one]), int(counts[one].sum())
        answered = int(counts[:, one].sum())
        found.append(
            ClassScore(
                precision=_ratio(hits, answered),
                recall=_ratio(hits, expected),
                f1=_ratio(2 * hits, expected + answered),
                support=expected,
            )
        )
    return found


def class_patterns(
    gold: Any, given: Any, classes: int, *, groups: Any | None
) -> tuple[Any, Any, int]:
    """Distinct units for macro-F1: their columns [P, 2K], how often each occurs [P], all pairs.

    Columns are hits of each class, then expected plus given of each. A unit's pairs are a multiset;
    two units with the same sum of random 64-bit numbers, one per kind of pair, have the same one.
    """
    import numpy as np

    gold = np.asarray(gold)
    gold = gold.reshape(len(gold), math.prod(gold.shape[1:])).astype(np.int64)
    given = np.asarray(given).reshape(gold.shape).astype(np.int64)
    unit = np.arange(len(gold)) if groups is None else np.asarray(groups)
    unit = np.repeat(unit, gold.shape[1])
    known = gold.reshape(-1) >= 0
    unit, gold, given = unit[known], gold.reshape(-1)[known], given.reshape(-1)[known]
    given = np.where(given < 0, classes, given)
    if not len(unit):
        return np.zeros((0, 2 * classes)), np.zeros(0, np.int64), 0
    if groups is not None:
        order = np.argsort(unit, kind="stable")
        unit, gold, given = unit[order], gold[order], given[order]
    new = np.r_[True, unit[1:] != unit[:-1]]
    kinds = np.random.default_rng(0).integers(2**64, size=classes * (classes + 1), dtype=np.uint64)
    marks = np.add.reduceat(kinds[gold * (classes + 1) + given], np.flatnonzero(new))
    _, first, counts = np.unique(marks, return_index=True, return_counts=True)
    pattern = np.full(len(marks), -1)
    pattern[first] = np.arange(len(first))
    pattern = pattern[np.cumsum(new) - 1]
    chosen = pattern >= 0
    sums = _columns(pattern[chosen], gold[chosen], given[chosen], classes)
    return sums, counts, len(gold)


def _columns(pattern: Any, gold: Any, given: Any, classes: int) -> Any:
    import numpy as np

    width, patterns = 2 * classes + 1, int(pattern.max()) + 1
    hit = gold == given
    cells = np.concatenate(
        [
            (pattern * width + gold)[hit],
            pattern * width + classes + gold,
            pattern * width + classes + given,  # no answer falls into the last column
        ]
    )
    sums = np.bincount(cells, minlength=patterns * width).reshape(patterns, width)
    return sums[:, :-1].astype(float)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
