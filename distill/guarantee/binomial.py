"""Exact binomial tails and the bounds made of them, in pure Python."""

from __future__ import annotations

import math
from functools import lru_cache

_DIGITS = 1e-17  # a term this much smaller than the sum changes no digit of it


def upper_tail(successes: int, trials: int, chance: float) -> float:
    """P(X >= successes) for X ~ Binomial(trials, chance)."""
    if successes <= 0:
        return 1.0
    if successes > trials or chance <= 0.0:
        return 0.0
    if chance >= 1.0:
        return 1.0
    if successes > trials * chance:
        return min(1.0, _sum(successes, trials, chance))
    return max(0.0, 1.0 - _sum(trials - successes + 1, trials, 1.0 - chance))


def p_value(agreed: int, answered: int, agreement: float) -> float:
    """How likely so many agreements or more are where the true agreement is at most `agreement`."""
    return upper_tail(agreed, answered, agreement)


def lower_bound(agreed: int, answered: int, *, confidence: float = 0.95) -> float:
    """The one-sided lower bound of a share by Clopper and Pearson (1934); 0.0 without any row."""
    if agreed <= 0 or answered <= 0:
        return 0.0
    low, high, miss = 0.0, 1.0, 1.0 - confidence
    for _ in range(80):
        middle = (low + high) / 2
        if upper_tail(agreed, answered, middle) <= miss:
            low = middle
        else:
            high = middle
    return low


def upper_bound(agreed: int, answered: int, *, confidence: float = 0.95) -> float:
    """The one-sided upper bound of a share, likewise; 1.0 without any row."""
    return 1.0 - lower_bound(answered - agreed, answered, confidence=confidence)


@lru_cache(maxsize=100_000)
def least_agreed(answered: int, agreement: float, confidence: float) -> int:
    """The fewest agreements that show a share of at least `agreement`; answered + 1 where all
    rows agreeing would not."""
    low, high = 0, answered + 1
    while low < high:
        middle = (low + high) // 2
        if upper_tail(middle, answered, agreement) <= 1.0 - confidence:
            high = middle
        else:
            low = middle + 1
    return low


def power(answered: int, truth: float, agreement: float, confidence: float) -> float:
    """How likely `answered` rows show `agreement` where the student truly agrees in `truth`."""
    return upper_tail(least_agreed(answered, agreement, confidence), answered, truth)


def rows_for(truth: float, agreement: float, confidence: float, *, sure: float = 0.9) -> int | None:
    """How many answered rows show `agreement` with probability `sure`; None where none would."""
    if truth <= agreement:
        return None
    least = least_rows(agreement, confidence)
    most = least
    while power(most, truth, agreement, confidence) < sure:
        most *= 2
        if most > 10_000_000:
            return None
    low = max(least, most // 2)
    while low < most:
        middle = (low + most) // 2
        if power(middle, truth, agreement, confidence) >= sure:
            most = middle
        else:
            low = middle + 1
    return most


def least_rows(agreement: float, confidence: float) -> int:
    """The fewest answered rows that could show `agreement` at all: if every one of them agreed."""
    return math.ceil(math.log(1.0 - confidence) / math.log(agreement))


def _sum(first: int, trials: int, chance: float) -> float:
    """The terms from `first` on, which lies above the mean: each is smaller than the one before."""
    log_term = (
        math.lgamma(trials + 1)
        - math.lgamma(first + 1)
        - math.lgamma(trials - first + 1)
        + first * math.log(chance)
        + (trials - first) * math.log1p(-chance)
    )
    odds, ratio, total = chance / (1.0 - chance), 1.0, 1.0
    for place in range(first, trials):
        ratio *= odds * (trials - place) / (place + 1)
        total += ratio
        if ratio < _DIGITS * total:
            break
    return math.exp(log_term + math.log(total))
