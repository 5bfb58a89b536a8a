"""Simulated worlds whose truth is known: how often an interval covers it, how often a test errs.

Rows have 1 to 3 parts. The parts of a row share their luck with a probability, and so do two
systems on the same row, as they do in answers of models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from understudy.distill import statistics as ours
from understudy.distill.evaluation.paired_f1 import macro_f1_points

Cell = tuple[str, Callable[[Any], bool]]  # its name; does one set's interval cover the truth?
NO_ANSWER = 0.1  # share of the wrong labels
SKEWED = (0.4, 0.3, 0.15, 0.1, 0.05)
RARE = (0.6, 0.25, 0.1, 0.03, 0.02)
BALANCED = (1 / 3, 1 / 3, 1 / 3)
SHARED = ((1, 0.0), (2, 0.8), (3, 0.4))  # parts of a row, how often they share their luck


def luck(rng: Any, rows: int, parts: int, shared: float) -> Any:
    """Uniform [rows, parts]; all parts of a row have one number with probability `shared`."""
    together = rng.random((rows, 1)) < shared
    return np.where(together, rng.random((rows, 1)), rng.random((rows, parts)))


def two_systems(rng: Any, rows: int, parts: int, shared: float) -> tuple[Any, Any]:
    """The luck of two systems, the same on 7 of 10 rows."""
    first = luck(rng, rows, parts, shared)
    alike = rng.random((rows, 1)) < 0.7
    return first, np.where(alike, first, luck(rng, rows, parts, shared))


def _covers(score: Any, truth: float) -> bool:
    return bool(score.low - 1e-12 <= truth <= score.high + 1e-12)


def accuracy_cells(sizes: tuple[int, ...], accuracies: tuple[float, ...]) -> Iterator[Cell]:
    """Shares of rows (Wilson), and of correlated parts."""
    for rows in sizes:
        for parts, shared in SHARED:
            for accuracy in accuracies:

                def covers(
                    rng: Any, n: int = rows, k: int = parts, s: float = shared, a: float = accuracy
                ) -> bool:
                    right = (luck(rng, n, k, s) < a).sum(axis=1)
                    score = (
                        ours.share(int(right.sum()), n)
                        if k == 1
                        else ours.clustered_share(right, np.full(n, k))
                    )
                    return _covers(score, a)

                yield f"accuracy {accuracy}, {rows} rows of {parts}", covers


def difference_cells(sizes: tuple[int, ...], accuracies: tuple[float, ...]) -> Iterator[Cell]:
    """Differences of 0 and 3 points between two systems on the same rows."""
    for rows in sizes:
        for parts, shared in SHARED:
            for accuracy in accuracies:
                for points in (0.0, 3.0):

                    def covers(
                        rng: Any,
                        n: int = rows,
                        k: int = parts,
                        s: float = shared,
                        a: float = accuracy,
                        d: float = points,
                    ) -> bool:
                        first, second = two_systems(rng, n, k, s)
                        right = (first < a).sum(axis=1), (second < a - d / 100).sum(axis=1)
                        return _covers(ours.paired_points(*right, np.full(n, k)), d)

                    yield f"difference {points:g}, {accuracy}, {rows} rows of {parts}", covers


def macro_cells(sizes: tuple[int, ...], accuracies: tuple[float, ...]) -> Iterator[Cell]:
    """Macro-F1 with balanced and skewed classes, the rarest with 6 expected rows of 300."""
    worlds = (
        ("3 classes", BALANCED, 1, 0.0),
        ("5 skewed", SKEWED, 1, 0.0),
        ("5 skewed", SKEWED, 2, 0.8),
        ("5 rare", RARE, 1, 0.0),
    )
    for rows in sizes:
        for name, chances, parts, shared in worlds:
            for accuracy in accuracies:
                truth = macro_truth(chances, accuracy)

                def covers(
                    rng: Any,
                    n: int = rows,
                    p: tuple[float, ...] = chances,
                    k: int = parts,
                    s: float = shared,
                    a: float = accuracy,
                    t: float = truth,
                ) -> bool:
                    gold, given = _labelled(rng, n, p, k, s, a)
                    return _covers(ours.macro_f1(gold, given, len(p)), t)

                yield f"macro-F1 {name}, {accuracy}, {rows} rows of {parts}", covers


def macro_difference_cells(sizes: tuple[int, ...], accuracies: tuple[float, ...]) -> Iterator[Cell]:
    """Difference in macro-F1 of two systems, the second wrong on 3 rows more in 100."""
    for rows in sizes:
        for accuracy in accuracies:
            truth = macro_truth(SKEWED, accuracy) - macro_truth(SKEWED, accuracy - 0.03)

            def covers(rng: Any, n: int = rows, a: float = accuracy, t: float = truth) -> bool:
                gold, wrong = _classes(rng, n, SKEWED, 1)
                first, second = two_systems(rng, n, 1, 0.0)
                answers = np.where(first < a, gold, wrong), np.where(second < a - 0.03, gold, wrong)
                return _covers(macro_f1_points([(gold, *answers, len(SKEWED))]), 100 * t)

            yield f"macro-F1 difference 5 skewed, {accuracy}, {rows} rows", covers


def macro_truth(chances: tuple[float, ...], accuracy: float) -> float:
    """Macro-F1 of endless rows."""
    expected = np.array(chances)
    wrong = (1 - accuracy) * (1 - NO_ANSWER) / (len(chances) - 1)
    given = expected * accuracy + (1 - expected) * wrong
    return float(np.mean(2 * expected * accuracy / (expected + given)))


def _labelled(
    rng: Any, rows: int, chances: tuple[float, ...], parts: int, shared: float, accuracy: float
) -> tuple[Any, Any]:
    gold, wrong = _classes(rng, rows, chances, parts)
    return gold, np.where(luck(rng, rows, parts, shared) < accuracy, gold, wrong)


def _classes(rng: Any, rows: int, chances: tuple[float, ...], parts: int) -> tuple[Any, Any]:
    """Expected classes, and a wrong answer to each."""
    classes = len(chances)
    gold = rng.choice(classes, size=(rows, parts), p=chances)
    other = (gold + rng.integers(1, classes, gold.shape)) % classes
    return gold, np.where(rng.random(gold.shape) < NO_ANSWER, -1, other)


@cache
def _p(only_first: int, only_second: int) -> float:
    return ours.mcnemar(only_first, only_second)


def false_positives(rng: Any, sets: int, rows: int, accuracy: float) -> tuple[float, float]:
    """Shares of sets where two equal systems differ at p < .05: by rows, and by parts of rows."""
    by_rows = by_parts = 0
    for _ in range(sets):
        first, second = (one < accuracy for one in two_systems(rng, rows, 3, 0.8))
        by_parts += _p(int((first & ~second).sum()), int((second & ~first).sum())) < 0.05
        first, second = first.all(axis=1), second.all(axis=1)
        by_rows += _p(int((first & ~second).sum()), int((second & ~first).sum())) < 0.05
    return by_rows / sets, by_parts / sets


def false_support(rng: Any, sets: int, rows: int, accuracy: float) -> float:
    """How often a system exactly the margin worse is called a stand-in: should be 2.5 %."""
    supported = 0
    for _ in range(sets):
        teacher, student = (luck[:, 0] for luck in two_systems(rng, rows, 1, 0.0))
        right = student < accuracy - 0.02, teacher < accuracy
        found = ours.non_inferiority(*right, np.ones(rows), margin_points=2)
        supported += found.verdict == "supported"
    return supported / sets
