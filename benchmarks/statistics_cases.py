"""Random cases on which every statistic is held against scipy, statsmodels or scikit-learn.

What no library has (Tango's interval, ECE over equal bins, risk-coverage) is held against a second
implementation that goes another way: likelihood maximised by search, loops over answers.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from scipy import optimize, stats
from sklearn import metrics
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_statsmodels
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from understudy.distill import statistics as ours
from understudy.distill.statistics import classes as classes_of
from understudy.distill.statistics import intervals, patterns

Z = float(stats.norm.ppf(0.975))


def check_case(number: int) -> Counter[str]:
    """What of one random case does not agree, by the name of the statistic."""
    rng = np.random.default_rng([6, number])
    wrong: Counter[str] = Counter()
    for name, check in CHECKS.items():
        wrong[name] += not check(rng)
    if number % 25 == 0:  # resampling by scipy is slow
        wrong["macro-F1, BCa"] += not _bca(rng)
        wrong["detectable difference"] += not _detectable(rng)
    return wrong


def close(one: float | None, other: float | None, tolerance: float = 1e-9) -> bool:
    """Equal, or both None."""
    if one is None or other is None:
        return one is other
    return bool(abs(one - other) <= tolerance * max(1.0, abs(other)))


def _score_is(score: Any, value: float, low: float, high: float, tolerance: float = 1e-7) -> bool:
    pairs = ((score.value, value), (score.low, low), (score.high, high))
    return all(close(one, float(other), tolerance) for one, other in pairs)


def _wilson(rng: Any) -> bool:
    rows = int(rng.integers(1, 2000))
    right = int(rng.choice([0, rows, rng.integers(0, rows + 1)]))
    low, high = proportion_confint(right, rows, method="wilson")
    return _score_is(ours.share(right, rows), right / rows, low, high)


def _mcnemar(rng: Any) -> bool:
    b, c = (int(n) for n in rng.integers(0, rng.choice([4, 30, 400]), 2))
    p = ours.mcnemar(b, c)
    table = mcnemar_of_statsmodels([[5, b], [c, 5]], exact=True).pvalue
    return close(p, float(table)) and (
        b + c == 0 or close(p, float(stats.binomtest(b, b + c).pvalue))
    )


def _holm(rng: Any) -> bool:
    ps = rng.random(int(rng.integers(1, 12))) ** rng.choice([1, 4])
    if len(ps) > 2:
        ps[1] = ps[0]
    theirs = multipletests(ps, method="holm")[1]
    found = ours.holm([*ps[:1].tolist(), None, *ps[1:].tolist()])
    rest = [found[0], *found[2:]]
    return found[1] is None and all(close(a, float(b)) for a, b in zip(rest, theirs, strict=True))


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
    return bool(np.array_equal(counts, mine) and all(alike) and inside and same)


def _parts(rng: Any) -> tuple[Any, Any, Any, Any]:
    """Right parts of two systems, parts and group of each row."""
    rows = int(rng.integers(2, 300))
    of = rng.integers(0, 4, rows) if rng.random() < 0.7 else np.ones(rows, int)
    skill = rng.choice([0.0, 0.5, 0.9, 1.0]) * rng.beta(4, 1, rows)
    first, second = rng.binomial(of, skill), rng.binomial(of, skill)
    groups = rng.integers(0, rows, rows) if rng.random() < 0.5 else None
    return first, second, of, groups


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


def _clustered(rng: Any) -> bool:
    first, _, of, groups = _parts(rng)
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
    return _score_is(score, value, low, high, 0.02 if few else 1e-4)


def _mean(rng: Any) -> bool:
    values = rng.beta(*rng.uniform(0.3, 5, 2), size=int(rng.integers(9, 300)))
    score = ours.mean_score(np.r_[values, np.nan])
    fit = OLS(values, np.ones(len(values))).fit()
    value = float(fit.params[0])
    worth = value * (1 - value) / float(fit.cov_params()[0, 0])
    worth *= (Z / stats.t.ppf(0.975, len(values) - 1)) ** 2
    low, high = proportion_confint(value * worth, worth, method="wilson")
    return _score_is(score, value, low, high, 1e-4) and score.n == len(values)


def tango_by_search(more: float, fewer: float, n: float) -> tuple[float, float]:
    """Tango's interval with the likelihood maximised and the ends found by scipy's searches."""

    def score(delta: float) -> float:
        low, high = max(0.0, -delta), (1 - delta) / 2

        def unlikely(q: float) -> float:
            chances = zip((more, fewer, n - more - fewer), (q + delta, q, 1 - 2 * q - delta))  # noqa: B905
            return -sum(k * math.log(max(chance, 1e-300)) for k, chance in chances if k)

        q = optimize.minimize_scalar(
            unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-11}
        ).x
        variance = n * (2 * q + delta - delta**2)
        return (more - fewer - n * delta) / math.sqrt(max(variance, 1e-12))

    value = (more - fewer) / n
    ends = []
    for edge, sign in ((-1 + 1e-9, 1), (1 - 1e-9, -1)):
        reached = sign * score(edge) > Z
        search = optimize.brentq(lambda d, s=sign: s * score(d) - Z, edge, value) if reached else 0
        ends.append(search if reached else float(-sign))
    return ends[0], ends[1]


def _pairs(rng: Any) -> bool:
    first, second, of, groups = _parts(rng)
    score = ours.paired_points(first, second, of, groups=groups)
    back = ours.paired_points(second, first, of, groups=groups)
    if not of.sum():
        return score.value is None
    known = np.arange(len(of)) if groups is None else groups
    gap, total = (first - second).astype(float), float(of.sum())
    sums = np.array([gap[known == u].sum() for u in np.unique(known[of > 0])])
    sizes = np.array([of[known == u].sum() for u in np.unique(known[of > 0])])
    more, fewer, units = sums[sums > 0].sum(), -sums[sums < 0].sum(), len(sums)
    effect = 1.0
    if units != total:
        apart = more + fewer - (more - fewer) ** 2 / total
        effect = total / units
        if units > 1 and apart > 0:
            off = sums - (more - fewer) / total * sizes
            effect = max(1, off @ off / apart * units / (units - 1))
            effect *= (stats.t.ppf(0.975, units - 1) / Z) ** 2
    low, high = tango_by_search(more / effect, fewer / effect, total / effect)
    rough = 0.05 if units != total and units < 8 else 1e-3
    mirrored = close(-back.low, score.high, 1e-6) and close(-back.high, score.low, 1e-6)
    value = 100 * (more - fewer) / total
    return mirrored and _score_is(score, value, 100 * low, 100 * high, rough)


def _non_inferiority(rng: Any) -> bool:
    first, second, of, groups = _parts(rng)
    margin = float(rng.choice([0.5, 2, 5, 20]))
    found = ours.non_inferiority(first, second, of, margin_points=margin, groups=groups)
    score = ours.paired_points(first, second, of, groups=groups)
    if not of.sum():
        return found.verdict == "not measurable"
    expected = "not enough rows"
    if score.low > -margin:
        expected = "supported"
    elif score.value <= -margin:
        expected = "not supported"
    needed = found.rows_needed
    if found.difference != score or found.verdict != expected:
        return False
    if expected != "not enough rows":
        return needed is None
    times = math.ceil(needed / (of > 0).sum())
    parts = [np.tile(column, times) for column in (first, second, of)]
    many = None if groups is None else np.concatenate([groups + 1000 * i for i in range(times)])
    repeated = ours.non_inferiority(*parts, margin_points=margin, groups=many)
    return bool(needed > (of > 0).sum() and repeated.verdict == "supported")


def _confidence(rng: Any) -> bool:
    answers, bins = int(rng.integers(1, 500)), 15
    confidence = rng.random(answers).round(int(rng.choice([1, 2, 12])))
    right = (rng.random(answers) < confidence ** rng.choice([0.5, 1, 2])).astype(int)
    brier = metrics.brier_score_loss(right, confidence, labels=[0, 1])
    ece, curve = 0.0, []
    for one in range(bins):
        inside = [
            place
            for place, c in enumerate(confidence)
            if min((stats.percentileofscore(confidence, c, "mean") / 100 * bins + 1e-9) // 1, 14)
            == one
        ]
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


def _detectable(rng: Any) -> bool:
    """The power at the difference is .8, and less below it: all tables of the exact test summed."""
    rows, apart = int(rng.choice([5, 40, 150, 400, 5000])), float(rng.choice([0, 0.05, 0.3]))
    found = ours.detectable_points(apart, rows)

    def power(difference: float) -> float:
        share = min(1, max(apart, difference))
        spread = 8 * math.sqrt(rows * share * (1 - share)) + 2
        counts = np.arange(max(0, int(rows * share - spread)), min(rows, rows * share + spread) + 1)
        likely = stats.binom.pmf(counts, rows, share)
        critical = stats.binom.ppf(0.025, counts, 0.5)
        critical -= stats.binom.cdf(critical, counts, 0.5) > 0.025
        better = (1 + difference / share) / 2
        rejected = stats.binom.cdf(critical, counts, better)
        rejected = rejected + stats.binom.cdf(critical, counts, 1 - better)
        return float(likely @ np.where(critical < 0, 0, rejected))

    if found is None:
        return power(1.0) < 0.8
    slack = 0.004 if rows * max(apart, found / 100) > 300 else 1e-4
    return power(found / 100) >= 0.8 - slack and power(0.98 * found / 100) < 0.8 + slack


CHECKS = {
    "share": _wilson,
    "McNemar": _mcnemar,
    "Holm": _holm,
    "classes, macro-F1": _classes,
    "clustered share": _clustered,
    "mean": _mean,
    "paired difference": _pairs,
    "non-inferiority": _non_inferiority,
    "confidence": _confidence,
}
