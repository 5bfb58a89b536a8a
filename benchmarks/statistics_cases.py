"""Random cases on which every statistic is held against scipy, statsmodels or scikit-learn.

What no library has (Tango's interval, ECE over equal bins, risk-coverage) is held against a second
implementation that goes another way: likelihood maximised by search, loops over answers.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from benchmarks.statistics_pair_cases import (
    PAIR_CHECKS,
    Z,
    close,
    detectable_is_right,
    parts_of_rows,
    score_is,
)
from understudy.distill import statistics as ours
from understudy.distill.evaluation.paired_f1 import macro_f1_points
from understudy.distill.statistics import classes as classes_of
from understudy.distill.statistics import intervals, patterns


def check_case(number: int) -> Counter[str]:
    """What of one random case does not agree, by the name of the statistic."""
    rng = np.random.default_rng([6, number])
    wrong: Counter[str] = Counter()
    for name, check in CHECKS.items():
        wrong[name] += not check(rng)
    if number % 25 == 0:  # resampling by scipy is slow
        wrong["macro-F1, BCa"] += not _bca(rng)
        wrong["detectable difference"] += not detectable_is_right(rng)
    return wrong


def _wilson(rng: Any) -> bool:
    rows = int(rng.integers(1, 2000))
    right = int(rng.choice([0, rows, rng.integers(0, rows + 1)]))
    low, high = proportion_confint(right, rows, method="wilson")
    return score_is(ours.share(right, rows), right / rows, low, high)


def _labels(rng: Any, most: int = 400) -> tuple[Any, Any, int]:
    rows, parts, classes = (int(rng.integers(1, n)) for n in (most, 4, 9))
    gold = rng.choice(classes, size=(rows, parts), p=rng.dirichlet(np.full(classes, 1.5)))
    noise = rng.integers(-2, classes, (rows, parts))
    given = np.where(rng.random((rows, parts)) < rng.choice([0.5, 0.9, 1]), gold, noise)
    gold = np.where(rng.random((rows, parts)) < rng.choice([0, 0.2]), -1, gold)
    return gold, given, classes


def _classes(rng: Any) -> bool:
    gold, given, classes = _labels(rng)
    known = gold >= 0
    if not known.any():
        return ours.macro_f1(gold, given, classes).value is None
    truth, answer = gold[known], np.where(given < 0, classes, given)[known]
    counts = metrics.confusion_matrix(truth, answer, labels=range(classes + 1))[:-1]
    mine = ours.confusion_counts(gold, given, classes)
    present = sorted((set(truth) | set(answer)) - {classes})
    macro = metrics.f1_score(truth, answer, labels=present, average="macro", zero_division=0)
    theirs = metrics.precision_recall_fscore_support(
        truth, answer, labels=range(classes), zero_division=np.nan
    )
    rows = zip(*theirs, strict=True)
    alike = [
        all(close(-1 if a is None else a, -1 if np.isnan(b) else float(b)) for a, b in pairs)
        for one, row in zip(ours.class_scores(mine), rows, strict=True)
        for pairs in [zip((one.precision, one.recall, one.f1, one.support), row, strict=True)]
    ]
    found = ours.macro_f1(gold, given, classes)
    inside = found.low <= found.value <= found.high and found.low < found.high
    same = close(found.value, float(macro)) and found.n == known.sum()
    right = metrics.f1_score(truth, truth, average="macro")
    points = macro_f1_points([(gold, given, gold, classes)])
    same = same and close(points.value, 100 * (macro - right)) and points.low < points.high
    return bool(np.array_equal(counts, mine) and all(alike) and inside and same)


def _by_units(values: Any, of: Any, groups: Any) -> tuple[float, int]:
    """Variance of a mean of parts by units (statsmodels' cluster-robust OLS), and units."""
    row = np.repeat(np.arange(len(of)) if groups is None else groups, of)
    units = len(np.unique(row))
    fit = OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": row, "use_correction": True}
    )
    return float(fit.cov_params()[0, 0]), units


def _each_part(right: Any, of: Any) -> Any:
    return np.concatenate(
        [np.r_[np.ones(r), np.zeros(n - r)] for r, n in zip(right, of, strict=True)]
    )


def _amounts(rng: Any) -> bool:
    """Student's t by statsmodels' cluster-robust OLS."""
    values = rng.lognormal(size=int(rng.integers(9, 300)))
    groups = rng.integers(0, len(values), len(values)) if rng.random() < 0.5 else None
    score = ours.mean_amount(np.r_[values, np.nan], groups=None if groups is None else [*groups, 0])
    variance, units = _by_units(values, np.ones(len(values), int), groups)
    half, value = stats.t.ppf(0.975, units - 1) * math.sqrt(variance), values.mean()
    return score_is(score, value, max(0, value - half), value + half, 1e-3)


def _clustered(rng: Any) -> bool:
    first, _, of, groups = parts_of_rows(rng)
    score = ours.clustered_share(first, of, groups=groups)
    total = of.sum()
    if not total:
        return score.value is None
    value = first.sum() / total
    known = np.arange(len(of)) if groups is None else groups
    units = len(np.unique(known[of > 0]))
    if units == total:
        worth = total
    elif value in (0, 1) or units < 2:
        worth = units
    else:
        variance, units = _by_units(_each_part(first, of), of, groups)
        worth = min(total, value * (1 - value) / variance) if variance > 1e-20 else total
        worth *= (Z / stats.t.ppf(0.975, units - 1)) ** 2
    low, high = proportion_confint(value * worth, worth, method="wilson")
    # the t quantile is a series, good to 1e-3 from 4 units on
    few = units != total and units < 8
    return score_is(score, value, low, high, 0.02 if few else 1e-4)


def _mean(rng: Any) -> bool:
    values = rng.beta(*rng.uniform(0.3, 5, 2), size=int(rng.integers(9, 300)))
    score = ours.mean_score(np.r_[values, np.nan])
    fit = OLS(values, np.ones(len(values))).fit()
    value = float(fit.params[0])
    worth = value * (1 - value) / float(fit.cov_params()[0, 0])
    worth *= (Z / stats.t.ppf(0.975, len(values) - 1)) ** 2
    low, high = proportion_confint(value * worth, worth, method="wilson")
    return score_is(score, value, low, high, 1e-4) and score.n == len(values)


def _confidence(rng: Any) -> bool:
    answers, bins = int(rng.integers(1, 500)), 15
    confidence = rng.random(answers).round(int(rng.choice([1, 2, 12])))
    right = (rng.random(answers) < confidence ** rng.choice([0.5, 1, 2])).astype(int)
    brier = metrics.brier_score_loss(right, confidence, labels=[0, 1])
    ranks = [stats.percentileofscore(confidence, c, "mean") / 100 for c in confidence]
    places = [min(int(rank * bins + 1e-9), bins - 1) for rank in ranks]
    ece, curve = 0.0, []
    for one in range(bins):
        inside = [answer for answer, place in enumerate(places) if place == one]
        if inside:
            ece += abs(sum(confidence[i] - right[i] for i in inside)) / answers
            curve.append((np.mean(confidence[inside]), right[inside].sum(), len(inside)))
    mine = ours.calibration_bins(confidence, right, bins)
    alike = len(mine) == len(curve) and all(
        close(c, float(mean)) and score == ours.share(int(hits), n)
        for (c, score), (mean, hits, n) in zip(mine, curve, strict=True)
    )
    return (
        alike
        and close(ours.brier(confidence, right), float(brier))
        and close(ours.expected_calibration_error(confidence, right, bins), ece)
        and _risk(confidence, right)
    )


def _risk(confidence: Any, right: Any) -> bool:
    points = ours.risk_coverage(confidence, right)
    full = {
        float(np.mean(confidence >= limit)): float(1 - right[confidence >= limit].mean())
        for limit in set(confidence)
    }
    kept = all(any(close(c, k) and close(r, full[k]) for k in full) for c, r in points)
    whole = len(full) > 50 or len(points) == len(full)
    return kept and whole and len(points) <= 50 and points[-1][0] == 1.0


def _bca(rng: Any) -> bool:
    """Endpoints within an eighth of the width: both are random, from 2,000 and 5,000 resamples."""
    gold, given, classes = _labels(rng, 150)
    sums, counts, _ = classes_of.class_patterns(gold, given, classes, groups=None)
    rows = np.repeat(sums, counts, axis=0)
    mine = patterns.bca(sums, counts, intervals.macro)
    if mine is None:
        return True
    theirs = stats.bootstrap(
        (np.arange(len(rows)),),
        lambda places, axis=-1: intervals.macro(rows[places].sum(axis=-2)),
        n_resamples=5000,
        batch=500,
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    allowed = (theirs.high - theirs.low) / 8 + 1e-9
    return abs(mine[0] - theirs.low) <= allowed and abs(mine[1] - theirs.high) <= allowed


CHECKS = {
    "share": _wilson,
    "classes, macro-F1": _classes,
    "clustered share": _clustered,
    "mean": _mean,
    "mean amount": _amounts,
    **PAIR_CHECKS,
    "confidence": _confidence,
}
