"""What this many rows would show: the smallest difference that McNemar's test finds."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Any

_EXACT_UP_TO = 100  # expected discordant rows; from there the approximation is off by under 1 %


def detectable_points(
    discordant: float, rows: int, *, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """Smallest difference, in percentage points, that `rows` rows show with this power.

    `discordant`: the share of rows that only one of the two gets right; where the difference would
    be larger than that, it is as large as the difference. By the exact test for few discordant
    rows, else by the normal approximation with its continuity correction (Connor 1987). None where
    even the largest difference would go unseen.
    """
    if rows <= 0:
        return None

    def found(difference: float) -> float:
        apart = min(1.0, max(discordant, difference))
        if apart * rows <= _EXACT_UP_TO:
            return _exact_power(apart, difference, rows, alpha)
        return _normal_power(apart, difference, rows, alpha)

    if found(1.0) < power:
        return None
    low, high = 0.0, min(1.0, 16 / rows)
    while high < 1 and found(high) < power:
        low, high = high, min(1.0, 1.5 * high)
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) >= power else (middle, high)
    return 100 * high


def _exact_power(apart: float, difference: float, rows: int, alpha: float) -> float:
    """Over all numbers of discordant rows: how often the exact test rejects."""
    import numpy as np

    mean, spread = rows * apart, math.sqrt(rows * apart * (1 - apart))
    counts = np.arange(max(0, int(mean - 7 * spread)), min(rows, math.ceil(mean + 7 * spread)) + 1)
    better = (1 + difference / apart) / 2 if apart else 0.5
    return float(_binomial(rows, apart, counts) @ _rejects(counts, better, alpha))


def _rejects(counts: Any, better: float, alpha: float) -> Any:
    """How often the exact test rejects with so many discordant rows, [m]."""
    import numpy as np

    critical = np.array([_critical(count, alpha) for count in counts.tolist()])[:, None]
    few = np.arange(int(critical.max()))[None, :]
    many = np.maximum(counts[:, None] - few, 0)
    logs = _log_factorials(int(counts[-1]))
    choose = logs[counts][:, None] - logs[few] - logs[many]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.exp(choose + few * np.log(better) + many * np.log1p(-better))
        terms += np.exp(choose + many * np.log(better) + few * np.log1p(-better))
    if better >= 1:
        terms = np.where(few == 0, 1.0, 0.0)
    return np.where(few < critical, terms, 0.0).sum(axis=1)


@lru_cache(maxsize=1024)
def _critical(count: int, alpha: float) -> int:
    """How many of the smallest counts of successes, and of the largest, the exact test rejects."""
    import numpy as np

    tail = np.cumsum(_binomial(count, 0.5, np.arange(count + 1)))
    return min(int(np.searchsorted(tail, alpha / 2, side="right")), (count + 1) // 2)


@lru_cache(maxsize=512)
def _log_factorials(n: int) -> Any:
    import numpy as np

    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])


def _binomial(n: int, p: float, k: Any) -> Any:
    """The chances of `k` [m] successes in n."""
    import numpy as np

    if p >= 1 or p <= 0:
        return np.where(k == (n if p >= 1 else 0), 1.0, 0.0)
    logs = _log_factorials(n)
    return np.exp(logs[n] - logs[k] - logs[n - k] + k * math.log(p) + (n - k) * math.log1p(-p))


def _normal_power(apart: float, difference: float, rows: int, alpha: float) -> float:
    normal = NormalDist()
    critical = normal.inv_cdf(1 - alpha / 2) * math.sqrt(rows * apart) + 1
    spread = math.sqrt(rows * (apart - difference**2))
    if not spread:
        return float(rows * difference >= critical)
    return normal.cdf((rows * difference - critical) / spread) + normal.cdf(
        (-rows * difference - critical) / spread
    )
