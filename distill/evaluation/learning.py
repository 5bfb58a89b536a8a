"""Accuracy against the number of labels, and whether more of them look worth their price."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ...chains.task import Task
from ...store.rows import Run, Score
from ...store.store import Store
from ..reporting.figures import points as signed
from ..statistics import clustered_share
from .costs import label_costs
from .marking import Answers, Split, marks, read_answers, read_split
from .results import Against, LearningCurve, LearningPoint

LEARNING = "learning"  # parameter of a run on the curve: how many labels taught it
CURVE = "curve"  # another: what all the labels of its curve are
MORE = 1000  # labels that might be bought next
DRAWS = 2000
_NAME = re.compile(r" \d+ labels$")


def learning_of(
    task: Task,
    store: Store,
    splits: Sequence[str],
    *,
    limit: int | None = None,
    teacher: Run | None = None,
) -> LearningCurve | None:
    """The points of every system's newest curve on these splits; None where there is none.

    A point is the share of whole answers right, by gold where the split has any, else by what the
    teacher answered. `teacher` is who the labels were bought from.
    """
    runs = _newest(store.runs(task=task.name))
    if not runs:
        return None
    points: list[LearningPoint] = []
    for name in splits:
        split = read_split(task, store, name, limit=limit)
        taught = read_answers(task, store, split, teacher.id) if teacher is not None else None
        for run in runs:
            points += _points(task, store, split, run, taught)
    if not points:
        return None
    labels, usd = label_costs(store, teacher) if teacher is not None else (0, None)
    return LearningCurve(
        points=points, sentence=_sentence(points, usd / labels if usd is not None else None)
    )


def _points(
    task: Task, store: Store, split: Split, run: Run, taught: Answers | None
) -> list[LearningPoint]:
    """The run's point on this split; nothing where it answered no row of it that can be judged."""
    found = read_answers(task, store, split, run.id)
    if found is None:
        return []
    against: Against = "gold" if split.sheet.has_gold.any() else "teacher"
    right, of = marks(task, split, found, taught=taught).right_rows(against)
    share = clustered_share(right, of, groups=split.sheet.groups)
    point = LearningPoint(
        system=_NAME.sub("", run.name),
        split=split.sheet.split,
        against=against,
        labels=int(run.parameters[LEARNING]),
        right=share,
    )
    return [] if share.value is None else [point]


def is_on_curve(run: Run) -> bool:
    """Whether the run is a point of a learning curve, and no system of its own."""
    return LEARNING in run.parameters


def power_law(labels: Sequence[int], wrong: Sequence[Any], of: Sequence[int]) -> Any:
    """(log a, b) of the error a * n^-b: least squares on logs, weighted by the counts behind them.

    `wrong` may hold arrays [d] of d draws, and so may the result. The form: Hestness et al. 2017
    (arXiv 1712.00409), without the floor that four points cannot show.
    """
    import numpy as np

    x = np.log(np.asarray(labels, float))[:, None]
    counts = np.maximum(np.asarray(wrong, float).reshape(len(labels), -1), 0.5)
    rows = np.asarray(of, float)[:, None]
    error = np.minimum(counts / rows, 1 - 0.5 / rows)
    y, weight = np.log(error), rows * error / (1 - error)
    mean_x = (weight * x).sum(0) / weight.sum(0)
    mean_y = (weight * y).sum(0) / weight.sum(0)
    slope = (weight * (x - mean_x) * (y - mean_y)).sum(0) / (weight * (x - mean_x) ** 2).sum(0)
    return mean_y - slope * mean_x, -slope


def next_gain(points: Sequence[LearningPoint], more: int = MORE) -> Score | None:
    """What the next `more` labels are predicted to bring, in percentage points of right answers.

    The power law through the points of one system on one split says which share of what is wrong
    now goes, so that never more is promised than is wrong; its interval by drawing every
    point's errors anew (a parametric bootstrap, seeded). The draws are independent, though all
    points answer the same rows, which makes it wider than it need be. None for fewer than three.
    """
    import numpy as np

    known = sorted(points, key=lambda point: point.labels)
    if len({point.labels for point in known}) < 3:
        return None
    labels, of = [point.labels for point in known], [point.right.n for point in known]
    wrong = [round((1 - (point.right.value or 0.0)) * point.right.n) for point in known]
    generator = np.random.default_rng(0)
    drawn = [
        # half an error more than was seen: none in a few rows does not mean that there are none
        np.r_[count, generator.binomial(n, (count + 0.5) / (n + 1), DRAWS)]
        for count, n in zip(wrong, of, strict=True)
    ]
    _, slope = power_law(labels, drawn, of)
    gains = 100 * drawn[-1] / of[-1] * (1 - (1 + more / labels[-1]) ** -slope)
    low, high = np.quantile(gains[1:], [0.025, 0.975])
    value = float(gains[0])
    return Score(value=value, low=min(float(low), value), high=max(float(high), value), n=of[-1])


def _newest(runs: Sequence[Run]) -> list[Run]:
    """The runs of every system's newest curve, fewest labels first; `runs` come newest first."""
    curves: dict[str, str] = {}
    chosen: dict[tuple[str, int], Run] = {}
    for run in runs:
        if is_on_curve(run):
            system = _NAME.sub("", run.name)
            if curves.setdefault(system, str(run.parameters.get(CURVE))) == str(
                run.parameters.get(CURVE)
            ):
                chosen.setdefault((system, int(run.parameters[LEARNING])), run)
    return [chosen[key] for key in sorted(chosen)]


def _sentence(points: Sequence[LearningPoint], each: float | None) -> str:
    """On the system that is best with all labels, on the first split."""
    split = points[0].split
    systems: dict[str, list[LearningPoint]] = {}
    for point in points:
        if point.split == split:
            systems.setdefault(point.system, []).append(point)
    best = max(systems, key=lambda name: systems[name][-1].right.value or 0.0)
    last = systems[best][-1]
    gain = next_gain(systems[best])
    head = f"On {split}, {best} with {last.labels:,} labels is right on "
    head += f"{100 * (last.right.value or 0.0):.1f} % of rows"
    if gain is None or gain.value is None or gain.low is None or gain.high is None:
        return f"{head}; for a forecast there are too few points."
    told = f"should the curve go on as so far, the next {MORE:,} labels bring {signed(gain.value)} "
    told += f"points (95 % interval {signed(gain.low)} to {signed(gain.high)}, a power law through "
    told += f"{len(systems[best])} points)"
    if gain.low <= 0:
        return f"{head}; {told}: that they are worth any price is not shown."
    if each is None:
        return f"{head}; {told}: what a label costs is not known, so their worth is yours to judge."
    usd = MORE * each
    if not usd:
        return f"{head}; {told}, for nothing: the teacher's labels are free."
    return f"{head}; {told}, for ${usd:.2f}: ${usd / gain.value:.2f} a point."
