"""Is every figure right, and does every interval hold what it says?

    python -m benchmarks.statistics [--quick] [--cases N] [--sets N]

Random cases are held against scipy, statsmodels and scikit-learn (statistics_cases.py); then worlds
with a known truth are drawn many times (statistics_coverage.py). The last line is one JSON object:
{"cases": .., "mismatches": .., "coverage_low": .., "coverage_high": .., "mcnemar_fpr": ..}, worst
cells; exit status 1 where a case disagrees.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections import Counter
from typing import Any

import numpy as np

from benchmarks.statistics_cases import check_case
from benchmarks.statistics_coverage import (
    accuracy_cells,
    difference_cells,
    false_positives,
    false_support,
    macro_cells,
    macro_difference_cells,
)

ACCURACIES = (0.5, 0.7, 0.8, 0.9, 0.95)


def main() -> None:
    """Parse, compare, simulate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="40 cases, few cells of 150 sets")
    parser.add_argument("--cases", type=int, help="default 1,000")
    parser.add_argument("--sets", type=int, help="of each cell, default 2,000")
    asked = parser.parse_args()
    cases = asked.cases or (40 if asked.quick else 1000)
    sets = asked.sets or (150 if asked.quick else 2000)
    mismatches = _cases(cases)
    low, high = _coverage(sets, asked.quick)
    worst = _tests(sets, asked.quick)
    figures = {
        "cases": cases,
        "mismatches": mismatches,
        "coverage_low": low,
        "coverage_high": high,
        "mcnemar_fpr": worst,
    }
    print(json.dumps(figures))
    if mismatches:
        sys.exit(1)


def _cases(cases: int) -> int:
    """Compare; how many cases disagree anywhere."""
    started = time.perf_counter()
    gc.freeze()  # statsmodels collects garbage in every call for Holm: leave it little to look at
    wrong: Counter[str] = Counter()
    bad = 0
    for number in range(cases):
        found = check_case(number)
        wrong += found
        bad += any(found.values())
    print(f"{cases} random cases in {time.perf_counter() - started:.0f} s, {bad} disagree")
    for name, count in wrong.items():
        print(f"  {name}: {count} disagree")
    return bad


def _coverage(sets: int, quick: bool) -> tuple[float, float]:
    """Coverage of every cell; the lowest and the highest."""
    some, few = ((300,), (0.5, 0.95)) if quick else ((300, 1000), (0.5, 0.8, 0.9, 0.95))
    kinds = {
        "accuracy": accuracy_cells((100, 300, 1000), few if quick else ACCURACIES),
        "paired difference": difference_cells(some, few),
        "macro-F1": macro_cells(some, few),
        "macro-F1 difference": macro_difference_cells(some, few[-1:] if quick else few[1::2]),
    }
    lowest, highest = 1.0, 0.0
    print(f"\ncoverage of 95 % intervals, {sets} sets a cell")
    print(f"  {'':<20} {'cells':>5} {'lowest':>7} {'mean':>7} {'highest':>8} {'seconds':>8}")
    for kind, cells in kinds.items():
        started = time.perf_counter()
        found = {name: _share(covers, sets, name) for name, covers in cells}
        low, high = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
        lowest, highest = min(lowest, found[low]), max(highest, found[high])
        mean, seconds = np.mean(list(found.values())), time.perf_counter() - started
        print(
            f"  {kind:<20} {len(found):>5} {found[low]:>7.4f} {mean:>7.4f} "
            f"{found[high]:>8.4f} {seconds:>8.0f}   lowest: {low}; highest: {high}"
        )
    return lowest, highest


def _share(covers: Any, sets: int, name: str) -> float:
    rng = np.random.default_rng([ord(letter) for letter in name])
    return sum(covers(rng) for _ in range(sets)) / sets


def _tests(sets: int, quick: bool) -> float:
    """McNemar's false positives, and verdicts too kind; the worst share of the former."""
    sizes = (100,) if quick else (100, 300, 1000)
    worst = 0.0
    print(f"\nwhere nothing differs, rows of 3 correlated parts, {sets} sets a cell: p < .05")
    print(f"  {'rows':>5} {'accuracy':>9} {'counting rows':>14} {'counting parts':>15}", end="")
    print("   2 points worse called 2-point stand-in (2.5 % allowed)")
    for rows in sizes:
        for accuracy in (0.5, 0.8, 0.95):
            rng = np.random.default_rng([rows, int(100 * accuracy)])
            by_rows, by_parts = false_positives(rng, sets, rows, accuracy)
            kind = false_support(rng, sets, rows, accuracy)
            worst = max(worst, by_rows)
            print(f"  {rows:>5} {accuracy:>9} {by_rows:>14.4f} {by_parts:>15.4f} {kind:>10.4f}")
    return worst


if __name__ == "__main__":
    main()
