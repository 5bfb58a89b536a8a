"""Does a calibrated cascade keep its promise? Simulated deployments whose truth is known.

    python -m benchmarks.guarantee [--deployments N] [--agreement 0.95] [--rows 1000] [--seed N]
        [--quick]

Every deployment draws its own student (how often it agrees, how much its rows differ, how wrong and
how noisy its confidence is, over two labels), its validation and its calibration rows, and goes the
way of `understudy calibrate`: the calibrator on the ones, the threshold on the others. Its true
agreement on the rows it answers is then read off 200,000 other rows. Half of the students cannot
meet the target, or not with so many rows. Beside it the naive threshold: the loosest one at which
the calibration rows agree as often as was asked.

"Can be met" are students for which an exact test of the one best threshold, known beforehand, on so
many rows succeeds in 4 of 5 draws: where it fails more often, no method could keep the promise and
answer. The table also has those for which the truth allows it on a tenth of the rows or more,
whether so many rows can tell or not, and "known", the coverage of that test of one threshold.

The last line is one JSON object: {"deployments", "violations" (true agreement below the one asked),
"naive_violations", "refused" (share, where it can be met), "coverage_share" (mean coverage there,
refusals as 0, over the most that the truth would allow)}.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from understudy.distill.guarantee.applying import confidence_score
from understudy.distill.guarantee.binomial import power
from understudy.distill.guarantee.calibrator import fit_calibrator
from understudy.distill.guarantee.threshold import Scored, choose

TRUTH = 200_000
SHARES = [step / 100 for step in range(1, 101)]
SURE = 0.8
CONFIDENCE = 0.95
PATHS = ["f1.emocao", "f1.justificativa"]
LEVELS = (1.5, 2.5, 3.0, 3.5, 4.0, 4.5, 5.5)  # mean log-odds of agreement in a label
SPREADS = (1.0, 1.5, 2.0)  # how much rows differ in them
# How confidence follows log-odds: shift, stretch, noise.
DISTORTIONS = {
    "calibrated": (0.0, 1.0, 0.0),
    "overconfident": (1.0, 2.0, 0.5),
    "timid": (-1.0, 0.5, 0.5),
    "noisy": (0.0, 1.0, 1.0),
}


@dataclass(frozen=True)
class Student:
    """How often it agrees and what it says of that."""

    level: float
    spread: float
    distortion: str

    def rows(self, number: int, draw: np.random.Generator) -> tuple[Any, Any]:
        """(label probabilities [number, 2], whether both labels agree [number])."""
        shift, stretch, noise = DISTORTIONS[self.distortion]
        common = self.level + self.spread * draw.normal(size=(number, 1))
        odds = common + 0.5 * draw.normal(size=(number, 2))
        told = shift + stretch * odds + noise * draw.normal(size=(number, 2))
        agreed = (draw.random((number, 2)) < _sigmoid(odds)).all(axis=1)
        return _sigmoid(told), agreed


@dataclass(frozen=True)
class Outcome:
    """One deployment: coverage and whether it broke its promise, of the method and the naive one.

    `possible` is the most that the truth would allow. Of an exact test of one threshold, chosen
    with the truth known, `chance` is the most that it succeeds with, `known` that it covers.
    """

    student: Student
    overall: float
    possible: float
    chance: float
    known: float
    refused: bool
    coverage: float
    violated: bool
    naive_violated: bool


def deploy(student: Student, draw: np.random.Generator, *, rows: int, asked: float) -> Outcome:
    """Calibrate on drawn rows, and read off the truth."""
    fitted, agreed = student.rows(rows, draw)
    known = [
        (dict(zip(PATHS, row, strict=True)), bool(right))
        for row, right in zip(fitted.tolist(), agreed, strict=True)
    ]
    calibrator = fit_calibrator(known, paths=PATHS)
    validation = [(confidence_score(sure, calibrator), right) for sure, right in known]
    calibration = _scored(*student.rows(rows, draw), calibrator)
    choice = choose(validation, calibration, agreement=asked, confidence=CONFIDENCE)
    sure, right = student.rows(TRUTH, draw)
    scores = _scores(sure, calibrator)
    order = np.argsort(-scores)
    true = np.cumsum(right[order]) / np.arange(1, TRUTH + 1)
    ordered = -scores[order]

    def at(threshold: float | None) -> tuple[float, bool]:
        answered = 0 if threshold is None else int(np.searchsorted(ordered, -threshold, "right"))
        return answered / TRUTH, bool(answered and true[answered - 1] < asked)

    coverage, violated = at(choice.chosen.threshold if choice.chosen else None)
    _, naive_violated = at(naive(calibration, asked))
    chances = _chances(true, rows, asked)
    meets = np.nonzero(true[TRUTH // 1000 :] >= asked)[0]
    possible = (int(meets[-1]) + 1 + TRUTH // 1000) / TRUTH if len(meets) else 0.0
    return Outcome(
        student=student,
        overall=float(true[-1]),
        possible=possible,
        chance=max(chances),
        known=max(share * chance for share, chance in zip(SHARES, chances, strict=True)),
        refused=choice.chosen is None,
        coverage=coverage,
        violated=violated,
        naive_violated=naive_violated,
    )


def naive(calibration: list[Scored], asked: float) -> float | None:
    """The loosest threshold at which the calibration rows themselves agree often enough."""
    ordered = sorted(calibration, reverse=True)
    found, right = None, 0
    for place, (score, agreed) in enumerate(ordered, 1):
        right += agreed
        if right / place >= asked:
            found = score
    return found


def _chances(true: Any, rows: int, asked: float) -> list[float]:
    """How likely one exact test succeeds, at thresholds that answer each of SHARES of the rows."""
    return [
        power(round(rows * share), float(true[int(TRUTH * share) - 1]), asked, CONFIDENCE)
        for share in SHARES
    ]


def _scored(sure: Any, agreed: Any, calibrator: dict[str, Any]) -> list[Scored]:
    return [
        (confidence_score(dict(zip(PATHS, row, strict=True)), calibrator), bool(right))
        for row, right in zip(sure.tolist(), agreed, strict=True)
    ]


def _scores(sure: Any, calibrator: dict[str, Any]) -> Any:
    """`confidence_score` of many rows at once."""
    first, product, least = calibrator["weights"]
    total = product * _log_odds(sure.prod(axis=1)) + least * _log_odds(sure.min(axis=1))
    return _sigmoid(first + total)


def _log_odds(chance: Any) -> Any:
    kept = np.clip(chance, 1e-6, 1 - 1e-6)
    return np.log(kept / (1 - kept))


def _sigmoid(value: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-value))


def students() -> list[Student]:
    """Every combination."""
    return [
        Student(level, spread, distortion)
        for level in LEVELS
        for spread in SPREADS
        for distortion in DISTORTIONS
    ]


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """The last line."""
    shown = [one for one in outcomes if one.chance >= SURE]
    return {
        "deployments": len(outcomes),
        "violations": sum(one.violated for one in outcomes),
        "naive_violations": sum(one.naive_violated for one in outcomes),
        "refused": _mean([one.refused for one in shown]),
        "coverage_share": _mean([one.coverage / one.possible for one in shown]),
    }


def print_table(outcomes: list[Outcome]) -> None:
    """By how much of the rows could be answered, and by distortion."""
    print(f"{'':34} {'number':>6} {'refused':>8} {'violated':>8} {'naive':>6} {'coverage':>9}"
          f" {'known':>6} {'possible':>9} {'share':>6}")  # fmt: skip
    edges = (0.0, 0.1, 0.25, 0.5, 0.75, 1.01)
    groups = {"all": outcomes}
    for low, high in itertools.pairwise(edges):
        name = f"possible coverage {low:.2f} to {min(1.0, high):.2f}"
        groups[name] = [one for one in outcomes if low <= one.possible < high]
    for name in DISTORTIONS:
        groups[f"confidence {name}"] = [o for o in outcomes if o.student.distortion == name]
    groups["truth allows a tenth or more"] = [one for one in outcomes if one.possible >= 0.1]
    for chance in (0.9, 0.5, SURE):
        name = f"one test succeeds in {chance:.0%}"
        groups[name] = [one for one in outcomes if one.chance >= chance]
    groups["can be met"] = groups.pop(name)
    groups["cannot be met"] = [one for one in outcomes if one.chance < SURE]
    for name, group in groups.items():
        met = [one for one in group if one.possible > 0]
        print(
            f"{name:34} {len(group):6} {_mean([o.refused for o in group]):8.3f} "
            f"{sum(o.violated for o in group):8} {sum(o.naive_violated for o in group):6} "
            f"{_mean([o.coverage for o in group]):9.3f} {_mean([o.known for o in group]):6.3f} "
            f"{_mean([o.possible for o in group]):9.3f} "
            f"{_mean([o.coverage / o.possible for o in met]):6.3f}"
        )


def _mean(values: list[Any]) -> float:
    return round(sum(values) / len(values), 4) if values else math.nan


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--deployments", type=int, default=1000)
    parser.add_argument("--agreement", type=float, default=0.95)
    parser.add_argument("--rows", type=int, default=1000, help="of each split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="40 deployments")
    options = parser.parse_args()
    draw, known = np.random.default_rng(options.seed), students()
    number = 40 if options.quick else options.deployments
    chosen = [known[place % len(known)] for place in range(number)]
    if options.quick:
        chosen = [known[place] for place in draw.permutation(len(known))[:number]]
    outcomes = [deploy(one, draw, rows=options.rows, asked=options.agreement) for one in chosen]
    print(f"agreement asked {options.agreement}, {options.rows:,} rows of each split")
    print_table(outcomes)
    figures = summary(outcomes)
    answered = sum(not one.refused for one in outcomes)
    print(f"violated among those not refused: {figures['violations'] / max(1, answered):.4f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
