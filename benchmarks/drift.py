"""How soon a change in production is found, and how often a quiet week raises an alarm.

    python -m benchmarks.drift [--runs N] [--weeks N] [--seed N] [--quick]

A simulated stand-in in cascade mode: 2,000 calls a week, of whose answered ones 5 % are also put to
the teacher; every run draws its own 1,000 calibration rows, from which its detectors learn what is
usual. Then one of these changes for good: a label's share rises by 0.2; inputs get harder, so that
over all calls the student agrees 5 points less; or the teacher changes its mind, so that agreement
on the answered calls is 5 points lower while neither inputs nor confidence tell (everywhere alike
in log-odds, or on the answered calls alone, which only the sample of them can show). The table
gives the share of runs found within so many calls. The last line is one JSON object:
{"detected_within": {change: calls within which 90 % of runs are found, null where more than the
longest run}, "false_alarm_rate": share of quiet weeks with any alarm}. Above it stands how soon the
stand-in itself, without a watch, goes back to its teacher: by the texts that were checked, of
students that keep what was asked for, or do not.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from understudy.distill.guarantee.binomial import upper_tail
from understudy.distill.guarantee.drift import Drift
from understudy.distill.guarantee.promise import Promise
from understudy.store.rows import Call

WEEK, SAMPLING, ROWS = 2000, 0.05, 1000
ASKED = 0.95
STEPS = (250, 500, 1000, 2000, 4000, 8000, 16000)
AGREEMENTS = (0.97, 0.95, 0.93, 0.92, 0.9, 0.85)
_PROMISED: Any = {"agreement": ASKED, "since": ""}
MIX = {"alta": 0.35, "baixa": 0.35, "estavel": 0.3}


@dataclass(frozen=True)
class World:
    """Calls as they come: what they are about, how hard they are, how often both agree.

    `rise` is added to the first label's share, `harder` taken from every row's log-odds of
    agreement, which the confidence knows of; `mind` from those alone, `answered` likewise, of the
    calls that the student answers.
    """

    level: float = 2.6
    spread: float = 1.6
    noise: float = 0.4
    threshold: float = 0.88
    rise: float = 0.0
    harder: float = 0.0
    mind: float = 0.0
    answered: float = 0.0

    def rows(self, draw: random.Random) -> Iterator[tuple[float, bool, str, int]]:
        """Endless (confidence, whether they agree, label, length)."""
        values = list(MIX)
        shares = [MIX[value] for value in values]
        shares = [shares[0] + self.rise] + [
            share * (1 - shares[0] - self.rise) / (1 - shares[0]) for share in shares[1:]
        ]
        while True:
            odds = self.level - self.harder + self.spread * draw.gauss(0, 1)
            confidence = _sigmoid(odds + self.noise * draw.gauss(0, 1))
            told = odds - self.mind - (self.answered if confidence >= self.threshold else 0.0)
            agreed = draw.random() < _sigmoid(told)
            label = draw.choices(values, shares)[0]
            yield confidence, agreed, label, round(math.exp(draw.gauss(5, 0.5)))

    def calls(self, draw: random.Random) -> Iterator[Call]:
        """Endless calls of a cascade."""
        for confidence, agreed, label, length in self.rows(draw):
            answers = confidence >= self.threshold
            sampled = answers and draw.random() < SAMPLING
            yield Call.model_construct(
                answered_by="student" if answers else "teacher",
                escalated=not answers,
                sampled=sampled,
                agreed=agreed if sampled or not answers else None,
                confidence=confidence,
                labels={"f1.emocao": label},
                length=length,
            )

    def checked(self, rows: int = 100_000) -> float:
        """The share of calls that the student answers and the teacher checks."""
        drawn = zip(range(rows), self.rows(random.Random(1)), strict=False)
        return SAMPLING * sum(row[0] >= self.threshold for _, row in drawn) / rows

    def agreement(self, *, over_all: bool = False, rows: int = 100_000) -> float:
        """The true share of agreement, on the answered calls or over all."""
        draw, right, count = random.Random(1), 0, 0
        for _, (confidence, agreed, _, _) in zip(range(rows), self.rows(draw), strict=False):
            if over_all or confidence >= self.threshold:
                right, count = right + agreed, count + 1
        return right / count


def reference(world: World, draw: random.Random) -> dict[str, object]:
    """What `reference_of` says of a calibration's rows: the same counts from drawn ones."""
    from understudy.distill.guarantee.reference import summary

    rows = [row for _, row in zip(range(ROWS), world.rows(draw), strict=False)]
    return summary(
        labels=[{"f1.emocao": label} for _, _, label, _ in rows],
        lengths=[length for _, _, _, length in rows],
        scores=[confidence for confidence, _, _, _ in rows],
        agreed=[agreed for _, agreed, _, _ in rows],
        threshold=world.threshold,
    )


def first_alarm(usual: World, now: World, draw: random.Random, longest: int) -> tuple[int, str]:
    """After how many calls of `now` the first alarm comes, and which; longest + 1 for none."""
    drift = Drift(reference(usual, draw), agreement=ASKED, week=WEEK, sampling=SAMPLING)
    for number, call in zip(range(1, longest + 1), now.calls(draw), strict=False):
        if alarms := drift.see(call):
            return number, alarms[0].kind
    return longest + 1, "none"


def changes(usual: World, rows: int = 60_000) -> dict[str, World]:
    """The changes, each as large as the issue asks for."""
    return {
        "label share + 0.2": replace(usual, rise=0.2),
        "harder inputs": _lowered(usual, "harder", rows, over_all=True),
        "teacher's mind": _lowered(usual, "mind", rows),
        "answered calls alone": _lowered(usual, "answered", rows),
    }


def _lowered(usual: World, field: str, rows: int, *, over_all: bool = False) -> World:
    """The world in which `field` takes 5 points of agreement."""
    wanted = usual.agreement(over_all=over_all) - 0.05
    low, high = 0.0, 4.0
    for _ in range(12):
        middle = (low + high) / 2
        lowered = replace(usual, **{field: middle})
        if lowered.agreement(over_all=over_all, rows=rows) > wanted:
            low = middle
        else:
            high = middle
    return replace(usual, **{field: high})


def told_apart(usual: float, lowered: float) -> int:
    """How many checked calls tell the two shares apart in 90 % of draws at a level of 5 %, by one
    exact test at the end that knows both: what no watch that knows less can do with fewer."""
    calls = 10
    while True:
        least = next(n for n in range(calls + 2) if upper_tail(n, calls, 1 - usual) <= 0.05)
        if upper_tail(least, calls, 1 - lowered) >= 0.9:
            return calls
        calls += 1


def fallbacks(lives: int, texts: int, seed: int) -> None:
    """Print how many lives of so many checked texts end with the teacher, and after how many."""
    print(
        f"fallback of the stand-in itself, asked {ASKED}; {lives} lives of {texts:,} checked texts"
    )
    print(f"{'true agreement':>22} {'fell back':>10} {'half within':>12} {'90 % within':>12}")
    for share in AGREEMENTS:
        ends = []
        for life in range(lives):
            draw, promise = random.Random(f"{seed} {share} {life}"), Promise("", **_PROMISED)
            while promise.broken is None and promise.asked < texts:
                promise.see(draw.random() < share)
            ends.append(promise.asked if promise.broken else texts + 1)
        ends.sort()
        told = [ends[-(-part * lives // 10) - 1] for part in (5, 9)]
        within = [f"{end:12,}" if end <= texts else f"{'-':>12}" for end in told]
        print(f"{share:22.2f} {sum(end <= texts for end in ends) / lives:10.3f}", *within)


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200, help="of each change")
    parser.add_argument("--weeks", type=int, default=1000, help="quiet ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="few runs: does it work at all")
    options = parser.parse_args()
    runs, weeks, steps = options.runs, options.weeks, STEPS
    if options.quick:
        runs, weeks, steps = 8, 20, STEPS[:4]
    usual = World()
    print(
        f"agreement on answered calls {usual.agreement():.3f} (asked {ASKED}), over all "
        f"{usual.agreement(over_all=True):.3f}; {runs} runs of each change"
    )
    print(f"{'found within':22}", *(f"{step:>7,}" for step in steps), "   first alarm")
    within: dict[str, int | None] = {}
    changed = changes(usual, 6_000 if options.quick else 60_000)
    for name, now in changed.items():
        found = sorted(
            first_alarm(usual, now, random.Random(f"{options.seed} {name} {run}"), steps[-1])
            for run in range(runs)
        )
        shares = [sum(calls <= step for calls, _ in found) / runs for step in steps]
        kinds = [kind for _, kind in found]
        most = max(sorted(set(kinds)), key=kinds.count)
        ninth = found[-(-9 * runs // 10) - 1][0]
        within[name] = ninth if ninth <= steps[-1] else None
        print(f"{name:22}", *(f"{share:7.2f}" for share in shares), f"   {most}")
    before, after = usual.agreement(), changed["answered calls alone"].agreement()
    checked = told_apart(before, after)
    print(
        f"{before:.3f} and {after:.3f} are told apart by {checked} checked calls, if both were "
        f"known and it were looked at once: {checked / usual.checked():,.0f} calls"
    )
    quiet = [
        first_alarm(usual, usual, random.Random(f"{options.seed} quiet {week}"), WEEK)
        for week in range(weeks)
    ]
    false = sum(calls <= WEEK for calls, _ in quiet) / weeks
    kinds = [kind for calls, kind in quiet if calls <= WEEK]
    told = ", ".join(f"{kind} {kinds.count(kind)}" for kind in sorted(set(kinds)))
    print(f"{weeks:,} quiet weeks: {false:.3f} with an alarm ({told or 'none'})")
    fallbacks(*((40, 1000) if options.quick else (1000, 4000)), seed=options.seed)
    print(json.dumps({"detected_within": within, "false_alarm_rate": false}))


if __name__ == "__main__":
    main()
