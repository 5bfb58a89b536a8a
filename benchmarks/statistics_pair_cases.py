"""Random cases of two systems, held against scipy, statsmodels and searches of the likelihood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_statsmodels
from statsmodels.stats.multitest import multipletests

from understudy.distill import statistics as ours
from understudy.distill.evaluation.randomisation import sign_flip_p

Z = float(stats.norm.ppf(0.975))


def close(one: float | None, other: float | None, tolerance: float = 1e-9) -> bool:
    """Equal, or both None."""
    if one is None or other is None:
        return one is other
    return bool(abs(one - other) <= tolerance * max(1.0, abs(other)))


def score_is(score: Any, value: float, low: float, high: float, tolerance: float = 1e-7) -> bool:
    pairs = ((score.value, value), (score.low, low), (score.high, high))
    return all(close(one, float(other), tolerance) for one, other in pairs)


def parts_of_rows(rng: Any) -> tuple[Any, Any, Any, Any]:
    """Right parts of two systems, parts and group of each row."""
    rows = int(rng.integers(2, 300))
    of = rng.integers(0, 4, rows) if rng.random() < 0.7 else np.ones(rows, int)
    skill = rng.choice([0.0, 0.5, 0.9, 1.0]) * rng.beta(4, 1, rows)
    first, second = rng.binomial(of, skill), rng.binomial(of, skill)
    groups = rng.integers(0, rows, rows) if rng.random() < 0.5 else None
    return first, second, of, groups


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
    first, second, of, groups = parts_of_rows(rng)
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
    return mirrored and score_is(score, value, 100 * low, 100 * high, rough)


def _non_inferiority(rng: Any) -> bool:
    first, second, of, groups = parts_of_rows(rng)
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


def detectable_is_right(rng: Any) -> bool:
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
    slack = 0.004 if rows * max(apart, found / 100) > 100 else 1e-4
    return power(found / 100) >= 0.8 - slack and power(0.98 * found / 100) < 0.8 + slack


def _sign_flips(rng: Any) -> bool:
    """Fisher's randomisation test, by scipy's enumeration of all signs."""
    differences = rng.integers(-3, 4, int(rng.integers(2, 9)))
    if not differences.any():
        return sign_flip_p(differences) == 1.0
    theirs = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=10_000
    ).pvalue
    return close(sign_flip_p(differences), float(theirs))


PAIR_CHECKS = {
    "McNemar": _mcnemar,
    "Holm": _holm,
    "paired difference": _pairs,
    "non-inferiority": _non_inferiority,
    "randomisation": _sign_flips,
}
