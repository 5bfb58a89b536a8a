"""Detectors of a change in a stream of calls, each with a bound on its false alarms.

`Rise` is a Shiryaev-Roberts e-detector (Shin, Ramdas & Rinaldo 2023, arXiv 2203.03532): while an
event is no more frequent than its bound, the chance of an alarm within n observations is at most
n / limit. `Cusum` and `Level` are Page's cumulative sums (1954), for yes-or-no observations with a
limit computed exactly, and for ranks; they need fewer observations, and account for what few
reference rows leave unknown. All find a change after any length of quiet. `Below` is no detector
but a test of a share that was promised: it may err once in its whole life.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

_STEPS_UP = (0.05, 0.1, 0.2, 0.4)  # how much more often an event may come, mixed in equal parts
_TIMES = (1.25, 1.5, 2.0, 3.0, 5.0)  # how many times as many misses, mixed in equal parts
_MOST_MISSED = 0.995
_RANKS = math.sqrt(1 / 12)  # the standard deviation of ranks
_FINE = 2  # lattice steps of a Cusum in its smaller increment
_NODES, _MANY = 9, 99  # equally likely values of an unknown share, mean


class Rise:
    """An event has become more frequent than `usual`, a share from 0 to 1."""

    def __init__(self, usual: float, *, limit: float) -> None:
        raised = {min(0.995, usual + step) for step in _STEPS_UP}
        above = sorted(share for share in raised if share > usual)
        self.factors = [(share / usual, (1 - share) / (1 - usual)) for share in above]
        self.evidence = [0.0] * len(self.factors)
        self.limit = limit

    def see(self, event: bool) -> bool:
        """Whether this observation raises the alarm."""
        for place, (yes, no) in enumerate(self.factors):
            self.evidence[place] = (1.0 + self.evidence[place]) * (yes if event else no)
        return bool(self.factors) and sum(self.evidence) >= self.limit * len(self.factors)


class Below:
    """A share, which was to be `promised` at least, is or has become lower; wrong at any time, of a
    share that never was lower, with probability at most `risk`.

    An e-process: bets that from some call on the misses come so many times as often as promised,
    over all multiples of _TIMES and all first calls, each with a weight. While the chance of the
    next agreement, given all that was before, is `promised` or more, no bet gains in the mean, and
    the weights sum up to 1; so their worth exceeds 1 / risk with probability `risk` at most
    (Ville 1939; betting as in Waudby-Smith & Ramdas 2024, arXiv 2010.09686). The weights of first
    calls fall so slowly that a change after a long good time is found, too. `since` tells what came
    after the moment at which the change began, as far as can be told: [agreed, observed].
    """

    def __init__(self, promised: float, *, risk: float) -> None:
        self.promised, self.limit, self.calls, self.unspent = promised, 1.0 / risk, 0, 1.0
        missed = 1.0 - promised
        most = {min(_MOST_MISSED, times * missed) for times in _TIMES}
        bets = sorted(share for share in most if share > missed)
        self.factors = [((1.0 - share) / promised, share / missed) for share in bets if promised]
        self.worth = [0.0] * len(self.factors)
        self.best = [(0.0, 0, 0)] * len(self.factors)  # of one first call: worth, agreed, observed
        self.since = [0, 0]

    def see(self, agreed: bool) -> bool:
        """Whether this observation shows it."""
        self.calls += 1
        if not self.factors:  # all or nothing was promised
            self.since = [self.calls - 1, self.calls]
            return self.promised >= 1.0 and not agreed
        left = math.log(2) / math.log(self.calls + 2)  # of all weight, after this call's
        weight, self.unspent = self.unspent - left, left
        for place, (yes, no) in enumerate(self.factors):
            factor = yes if agreed else no
            self.worth[place] = (self.worth[place] + weight) * factor
            worth, right, seen = self.best[place]
            if worth < weight:
                worth, right, seen = weight, 0, 0
            self.best[place] = worth * factor, right + agreed, seen + 1
        self.since = list(max(self.best)[1:])
        return sum(self.worth) / len(self.worth) + self.unspent >= self.limit


class Level:
    """Values have become lower than those of a reference, told by their ranks among these.

    Page's cusum of ranks, which lie between 0 and 1 and are 1/2 in the mean whatever the law of the
    values. Its limit follows Siegmund's approximation of the mean time between false alarms (1985,
    Sequential Analysis, 10.2), averaged over what the mean rank may be after `rows` reference rows,
    for at most `often` false alarms in `horizon` observations.
    """

    def __init__(self, rows: int, *, step: float, horizon: int, often: float) -> None:
        self.slack = step / _RANKS / 2
        self.limit = _level_limit(self.slack, rows, horizon, often)
        self.sum = 0.0

    def see(self, rank: float) -> bool:
        """Whether this observation raises the alarm."""
        self.sum = max(0.0, self.sum + (0.5 - rank) / _RANKS - self.slack)
        return self.sum >= self.limit


def rank_of(value: float, quantiles: Sequence[float]) -> float:
    """Which share of the reference lies below the value, ties in halves."""
    first, last = bisect_left(quantiles, value), bisect_right(quantiles, value)
    return (first + last) / (2 * len(quantiles))


class Cusum:
    """An event has become more frequent by `step` or more than it was in `events` of `rows`.

    `often` is in how many of `horizon` observations in a row it may raise a false alarm: that
    probability, averaged over what the true share may be after `rows` (a Beta posterior with
    Jeffreys' prior), or at the very share where `exact`. `since` tells what came after the moment
    at which the change began, as far as can be told: [events, observations].
    """

    def __init__(
        self,
        events: float,
        rows: float,
        *,
        step: float,
        horizon: int,
        often: float,
        exact: bool = False,
    ) -> None:
        usual = min(0.9, max(1e-3, events / rows if exact else (events + 0.5) / (rows + 1)))
        self.up, self.down = _increments(usual, min(0.98, usual + step))
        shares = (usual,) if exact else _posterior(events, rows)
        self.limit = _limit(self.up, self.down, shares, horizon, often)
        self.sum = 0
        self.since = [0, 0]

    def see(self, event: bool) -> bool:
        """Whether this observation raises the alarm."""
        self.sum = max(0, self.sum + (self.up if event else -self.down))
        self.since = [self.since[0] + event, self.since[1] + 1] if self.sum else [0, 0]
        return self.sum >= self.limit


def _increments(usual: float, raised: float) -> tuple[int, int]:
    """The two log-likelihood ratios as whole lattice steps: (of an event, minus that of none)."""
    up, down = math.log(raised / usual), -math.log((1 - raised) / (1 - usual))
    unit = min(up, down) / _FINE
    return max(1, round(up / unit)), max(1, round(down / unit))


@lru_cache(maxsize=256)
def _level_limit(slack: float, rows: int, horizon: int, often: float) -> float:
    low, high = 0.0, 1e4
    places = [NormalDist().inv_cdf((node + 0.5) / _MANY) / math.sqrt(rows) for node in range(_MANY)]
    while high - low > 0.01:
        middle = (low + high) / 2
        false = sum(-math.expm1(-horizon / _between(place - slack, middle)) for place in places)
        low, high = (middle, high) if false > often * _MANY else (low, middle)
    return high


def _between(drift: float, limit: float) -> float:
    """Siegmund's mean number of observations until a cusum of normal values reaches its limit."""
    reach = limit + 1.166  # what the sum overshoots by, in standard deviations
    if abs(drift) < 1e-6:
        return reach * reach
    exponent = min(700.0, -2.0 * drift * reach)
    return max(1.0, (math.exp(exponent) - exponent - 1.0) / (2.0 * drift * drift))


@lru_cache(maxsize=256)
def _posterior(events: float, rows: float) -> tuple[float, ...]:
    """Shares at equally likely places of the Beta posterior, by its density on a grid."""
    import numpy as np

    first, second = events + 0.5, rows - events + 0.5
    mean = first / (first + second)
    spread = math.sqrt(mean * (1 - mean) / (first + second + 1))
    low, high = max(1e-6, mean - 8 * spread), min(1 - 1e-6, mean + 8 * spread)
    grid = np.linspace(low, high, 4001)
    logs = (first - 1) * np.log(grid) + (second - 1) * np.log1p(-grid)
    whole = np.cumsum(np.exp(logs - logs.max()))
    places = (np.arange(_NODES) + 0.5) / _NODES * whole[-1]
    return tuple(float(share) for share in grid[np.searchsorted(whole, places)])


@lru_cache(maxsize=256)
def _limit(up: int, down: int, shares: Sequence[float], horizon: int, often: float) -> int:
    """The least limit with so few false alarms in the second `horizon`, none being in the first.

    The first one starts at a sum of 0, which few later ones do.
    """
    low, high = up, up
    while _false_alarms(up, down, shares, horizon, high) > often:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if _false_alarms(up, down, shares, horizon, middle) > often:
            low = middle + 1
        else:
            high = middle
    return high


def _false_alarms(up: int, down: int, shares: Sequence[float], horizon: int, limit: int) -> float:
    """The exact probability, by the Markov chain of the sum, for each share; their mean."""
    import numpy as np

    chance = np.asarray(shares)[:, None]
    state = np.zeros((len(shares), limit))
    state[:, 0] = 1.0
    left = []
    for _ in range(2):
        for _ in range(horizon):
            after = np.zeros_like(state)
            if up < limit:
                after[:, up:] += chance * state[:, : limit - up]
            reach = min(down, limit - 1)
            after[:, : limit - reach] += (1 - chance) * state[:, reach:]
            after[:, 0] += (1 - chance[:, 0]) * state[:, :reach].sum(axis=1)
            state = after
        left.append(state.sum(axis=1))
    return float(np.mean(1.0 - left[1] / np.maximum(left[0], 1e-300)))
