"""How often a student agrees, as calls come in: an interval that holds at every moment at once.

The mixture martingale of Robbins (1970) with a Beta(1/2, 1/2) mixture, the beta-binomial confidence
sequence of Howard, Ramdas, McAuliffe & Sekhon (2021, arXiv 1810.08240); it is the betting of
Waudby-Smith & Ramdas (2024, arXiv 2010.09686) for yes-or-no observations. Looking at it after every
call, and stopping because of what it shows, costs nothing of its confidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_HALF = 0.5
_START = 2 * math.lgamma(_HALF) - math.lgamma(2 * _HALF)


@dataclass(frozen=True)
class LiveAgreement:
    """So many calls on which both were heard, and on how many they said the same."""

    agreed: int = 0
    asked: int = 0

    def after(self, agreed: bool) -> LiveAgreement:
        """With one more call."""
        return LiveAgreement(self.agreed + agreed, self.asked + 1)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Holds the true share at all times with probability `confidence`: (low, high)."""
        return confidence_sequence(self.agreed, self.asked, confidence=confidence)


def confidence_sequence(
    agreed: int, asked: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """The shares that the calls so far do not speak against, as (low, high)."""
    if asked <= 0:
        return 0.0, 1.0
    limit, middle = math.log(1.0 / (1.0 - confidence)), agreed / asked

    def refuted(share: float) -> bool:
        return log_evidence(agreed, asked, share) >= limit

    low = 0.0 if agreed == 0 else _edge(refuted, 0.0, middle)
    high = 1.0 if agreed == asked else _edge(refuted, 1.0, middle)
    return low, high


def log_evidence(agreed: int, asked: int, share: float) -> float:
    """The logarithm of the martingale against "the true share is `share`", 0 before any call."""
    missed = asked - agreed
    mixed = math.lgamma(agreed + _HALF) + math.lgamma(missed + _HALF) - math.lgamma(asked + 1.0)
    if (share <= 0.0 and agreed) or (share >= 1.0 and missed):
        return math.inf
    said = (agreed * math.log(share) if agreed else 0.0) + (
        missed * math.log1p(-share) if missed else 0.0
    )
    return mixed - _START - said


def _edge(refuted: Callable[[float], bool], outside: float, inside: float) -> float:
    """Where the refuted shares end, between one that is refuted and one that is not."""
    for _ in range(60):
        between = (outside + inside) / 2
        if refuted(between):
            outside = between
        else:
            inside = between
    return outside
