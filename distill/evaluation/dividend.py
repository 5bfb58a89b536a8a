"""The reasoning dividend: what students gain by learning the reasoning, and what it costs them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...store.rows import Score
from ..reporting.figures import points as signed
from ..statistics import clustered_share, detectable_points, holm, paired_points
from ..statistics.intervals import student_t
from .answered import Answering, Marks, Sheet
from .arms import Arm, arms_of
from .costs import machine_usd
from .randomisation import sign_flip_p
from .results import Against, Dividend, DividendArm

ALPHA = 0.05


def dividends(
    found: Sequence[Answering],
    sheet: Sheet,
    *,
    against: Against = "gold",
    speeds: Mapping[str, float | None] | None = None,
    machine_usd_per_hour: float | None = None,
    recipes: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Dividend]:
    """One Dividend for every base and set of rows that taught `label` and another target.

    Students are paired by seed on the same rows. A row's score is how many of the seeds got its
    whole answer right, so an interval covers the choice of test rows; what the choice of seed does
    is `seed_spread`, the standard deviation of the gain over the seeds (of the share right, for
    `label`) in percentage points. `p` flips the sign of each row's difference (Fisher's
    randomisation test, two-sided, exact): with one seed that is McNemar's exact test. Holm corrects
    it for the arms of the split. Extra tokens are those written; dollars per extra right answer
    need a price of the machine and a gain above zero. `speeds` are rows per second by run id,
    `recipes` what is known of how a student was tuned: arms of one recipe are held together where
    there are such, and what is not the same is said.
    """
    groups: dict[tuple[str, str], list[Answering]] = {}
    for one in found:
        facts = one.run.parameters
        if one.run.role == "student" and sheet.split in one.sheets and facts.get("base"):
            groups.setdefault((str(facts["base"]), str(facts.get("rows"))), []).append(one)
    floor = _floor(found, sheet.split)
    dividends = []
    for (base, rows), students in groups.items():
        arms = arms_of(students, sheet.split, recipes or {})
        if len(arms) > 1 and arms[0].target == "label":
            money = (speeds or {}, machine_usd_per_hour)
            dividends.append(_dividend(base, rows, sheet, arms, floor, against, money))
    return dividends


def _floor(found: Iterable[Answering], split: str) -> Marks | None:
    """What the majority class answered."""
    for one in found:
        if (one.run.role, one.run.name) == ("baseline", "majority") and split in one.sheets:
            return one.sheets[split]
    return None


def _dividend(
    base: str,
    rows: str,
    sheet: Sheet,
    arms: Sequence[Arm],
    floor: Marks | None,
    against: Against,
    money: tuple[Mapping[str, float | None], float | None],
) -> Dividend:
    made, apart, together = [], 0.0, 0
    for arm in arms:
        one, share, asked = _measured(sheet, arm, arms[0], floor, against, money)
        made.append(one)
        apart, together = max(apart, share), max(together, asked)
    corrected = holm([arm.p for arm in made])
    made = [arm.model_copy(update={"p_holm": p}) for arm, p in zip(made, corrected, strict=True)]
    learnt = made[0].learnt is not False
    return Dividend(
        base=base,
        rows=rows,
        split=sheet.split,
        arms=made,
        detectable=detectable_points(apart, together) if together else None,
        learnt=learnt,
        sentence=_verdict(sheet.split, made, against),
    )


def _measured(
    sheet: Sheet,
    arm: Arm,
    label: Arm,
    floor: Marks | None,
    against: Against,
    money: tuple[Mapping[str, float | None], float | None],
) -> tuple[DividendArm, float, int]:
    """The arm, the share of rows on which it and `label` are apart, and the rows they share."""
    right, of = _sums(arm.marks, against)
    facts: dict[str, Any] = {}
    apart, together = 0.0, 0
    if arm is label:
        facts["seed_spread"] = _spread([_right_points(marks, against) for marks in arm.marks])
    else:
        facts, apart, together = _gain(sheet, arm, label, against)
        facts |= _extras(arm, label, facts["gain"], money)
    made = DividendArm(
        target=arm.target,
        systems=[one.name for one in arm.systems],
        seeds=[one.seed for one in arm.systems if one.seed is not None],
        right=clustered_share(right, of, groups=sheet.groups),
        learnt=None if floor is None else _learnt(sheet, arm, floor, against),
        otherwise=dict(arm.otherwise),
        **facts,
    )
    return made, apart, together


def _gain(
    sheet: Sheet, arm: Arm, label: Arm, against: Against
) -> tuple[dict[str, Any], float, int]:
    import numpy as np

    pairs = _paired(arm, label)
    first = second = of = np.zeros(len(sheet.ids), int)
    gains = []
    for mine, theirs in pairs:
        ours, scored = mine.right_rows(against)
        others, too = theirs.right_rows(against)
        both = scored & too
        first, second = first + (ours & both).astype(int), second + (others & both).astype(int)
        of = of + both.astype(int)
        gains.append(100 * float((ours[both].sum() - others[both].sum()) / max(1, both.sum())))
    known = of > 0
    difference = first - second
    unit = np.unique(sheet.groups, return_inverse=True)[1].reshape(-1)
    summed = np.bincount(unit, weights=difference).round().astype(np.int64)
    rows = int(known.sum())
    apart = float((difference[known] ** 2).sum()) / len(pairs) ** 2 / rows if rows else 0.0
    return (
        {
            "gain": paired_points(first, second, of, groups=sheet.groups),
            "p": sign_flip_p(summed) if rows else None,
            "seed_spread": _spread(gains),
        },
        apart,
        rows,
    )


def _paired(arm: Arm, label: Arm) -> list[tuple[Marks, Marks]]:
    """The marks of the seeds that both have; where they share none, in the order of the seeds."""
    mine = dict(zip(arm.seeds, arm.marks, strict=True))
    theirs = dict(zip(label.seeds, label.marks, strict=True))
    common = [seed for seed in mine if seed in theirs]
    if common:
        return [(mine[seed], theirs[seed]) for seed in common]
    return list(zip(arm.marks, label.marks, strict=False))


def _learnt(sheet: Sheet, arm: Arm, floor: Marks, against: Against) -> bool | None:
    """Whether the arm is shown to beat the majority class."""
    right, of = _sums(arm.marks, against)
    base, scored = floor.right_rows(against)
    points = paired_points(right, base * of, of * scored, groups=sheet.groups)
    return None if points.low is None else points.low > 0


def _sums(marks: Sequence[Marks], against: Against) -> tuple[Any, Any]:
    """Per row how many of the seeds got it right, and how many were scored."""
    pairs = [one.right_rows(against) for one in marks]
    return sum(right.astype(int) for right, _ in pairs), sum(of.astype(int) for _, of in pairs)


def _right_points(marks: Marks, against: Against) -> float:
    """The percentage of the scored rows that are right."""
    right, of = marks.right_rows(against)
    return 100 * float(right.sum()) / max(1, int(of.sum()))


def _extras(
    arm: Arm, label: Arm, gain: Score, money: tuple[Mapping[str, float | None], float | None]
) -> dict[str, float | None]:
    speeds, per_hour = money
    tokens = _gap(_mean_of(arm, "output_tokens"), _mean_of(label, "output_tokens"))
    seconds = _gap(_mean_of(arm, "seconds"), _mean_of(label, "seconds"))
    usd = _gap(*(_usd(one, speeds, per_hour) for one in (arm, label)))
    worth = usd is not None and gain.value is not None and gain.value > 0
    return {
        "extra_tokens": tokens,
        "extra_milliseconds": None if seconds is None else 1000 * seconds,
        "usd_per_extra_right": max(0.0, usd or 0.0) * 100 / (gain.value or 1) if worth else None,
    }


def _usd(arm: Arm, speeds: Mapping[str, float | None], per_hour: float | None) -> float | None:
    """US dollars of a row, the mean over the seeds."""
    found = [machine_usd(speeds.get(one.run.id), per_hour) for one in arm.systems]
    known = [usd for usd in found if usd is not None]
    return sum(known) / len(known) if known else None


def _mean_of(arm: Arm, column: str) -> float | None:
    import numpy as np

    values = np.concatenate([getattr(marks, column)[marks.asked] for marks in arm.marks])
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else None


def _gap(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _spread(values: Sequence[float]) -> float | None:
    import statistics

    return statistics.stdev(values) if len(values) > 1 else None


def _verdict(split: str, arms: Sequence[DividendArm], against: Against) -> str:
    failed = [arm.target for arm in arms if arm.learnt is False]
    if "label" in failed or len(failed) == len(arms) - 1:
        names, verb = _and(failed), "is" if len(failed) == 1 else "are"
        return (
            f"On {split} there is no verdict on reasoning: {names} {verb} not learnt, that is, not "
            "shown to beat the majority class."
        )
    told = [_told(arm) for arm in arms[1:] if arm.learnt is not False and arm.gain is not None]
    told += [f"{name} is not learnt" for name in failed]
    seeds = min((len(arm.systems) for arm in arms), default=1)
    over = f", {seeds} seeds" if seeds > 1 else ", one seed (another may say otherwise)"
    unit = "right answers" if against == "gold" else "answers like the teacher's"
    apart = "".join(map(_otherwise, arms))
    return f"On {split}{over}, against learning labels alone ({unit}): {'; '.join(told)}.{apart}"


def _otherwise(arm: DividendArm) -> str:
    """A sentence where the arm was not tuned as `label` was: the recipe may be what differs."""
    if not arm.otherwise:
        return ""
    told = "; ".join(f"{name.replace('_', ' ')} {how}" for name, how in arm.otherwise.items())
    return (
        f" {arm.target} was tuned by another recipe ({told}): what differs may come of that, not "
        "of the reasoning."
    )


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _told(arm: DividendArm) -> str:
    gain = arm.gain
    if gain is None or gain.value is None or gain.low is None or gain.high is None:
        return f"{arm.target} cannot be compared"
    value, low, high = (signed(end) for end in (gain.value, gain.low, gain.high))
    figures = f"{value} points (95 % interval {low} to {high})"
    p = arm.p_holm if arm.p_holm is not None else 1.0
    if p >= ALPHA or gain.low <= 0 <= gain.high:
        return f"no difference shown for {arm.target}, {figures}"
    helps, helped = ("helps", "helped") if gain.low > 0 else ("hurts", "hurt")
    spread = arm.seed_spread
    if spread is None:
        return f"{arm.target} {helps}, {figures}"
    over = f"standard deviation over the seeds {spread:.1f}"
    seeds = len(arm.systems)
    if abs(gain.value) <= student_t(seeds - 1) * spread / math.sqrt(seeds):
        return (
            f"{arm.target} {helped} these students, {figures}, but that varies too much to say so "
            f"of the next seed ({over})"
        )
    return f"{arm.target} {helps}, {figures}, {over}"
