"""From which calibrated confidence on a student answers: a threshold with a finite-sample bound.

Learn then Test (Angelopoulos, Bates, Candes, Jordan & Lei 2021, arXiv 2110.01052): every threshold
is a hypothesis, "among the rows that it answers the student agrees in less than was asked", with an
exact binomial p-value (given how many rows it answers, its agreements are binomial), and a fixed
sequence of them is tested, each at the full level, until one stands. The sequence is fixed on
validation rows: it begins where the calibration rows are most likely to show the agreement, not at
the strictest threshold, which too few rows reach, and goes on to looser ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .binomial import lower_bound, p_value, power, rows_for

GRID = 50  # thresholds, at equal steps of coverage of the validation rows
_FEWEST = 20  # answered rows from which a share is guessed, for the number of rows that would do
Scored = tuple[float, bool]  # (score, whether the answer agreed); score 0.0 is never answered


@dataclass(frozen=True, kw_only=True)
class Tested:
    """One threshold on the calibration rows. `low` is its own bound, not corrected for a choice."""

    threshold: float
    answered: int
    agreed: int
    low: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The threshold that the calibration rows support: `chosen` None where they support none.

    `tried` are the thresholds of the sequence that were tested, in order. `rows_needed` is how many
    calibration rows would show the agreement with probability 0.9, if the student agrees as it did
    here: None where something was chosen, or where no number would.
    """

    chosen: Tested | None
    tried: tuple[Tested, ...]
    rows_needed: int | None = None


def choose(
    validation: Sequence[Scored],
    calibration: Sequence[Scored],
    *,
    agreement: float,
    confidence: float = 0.95,
) -> Choice:
    """The loosest threshold that the fixed sequence reaches.

    Where rows are drawn independently and `calibration` decided nothing before, a threshold whose
    true agreement is below `agreement` comes out with probability at most 1 - confidence, whatever
    the student, its calibrator and the validation rows are.
    """
    sequence = fixed_sequence(
        validation, rows=len(calibration), agreement=agreement, confidence=confidence
    )
    tried: list[Tested] = []
    chosen = None
    for one in held_against(sequence, calibration, confidence=confidence):
        tried.append(one)
        if p_value(one.agreed, one.answered, agreement) > 1.0 - confidence:
            break
        chosen = one
    needed = None
    if chosen is None:
        seen = [*validation, *calibration]
        needed = rows_needed(seen, agreement=agreement, confidence=confidence)
    return Choice(chosen=chosen, tried=tuple(tried), rows_needed=needed)


def fixed_sequence(
    validation: Sequence[Scored], *, rows: int, agreement: float, confidence: float
) -> list[float]:
    """The thresholds in the order of their testing, from validation rows alone.

    The first is where `rows` calibration rows are most likely to show `agreement`, if the mean
    score of the validation rows above a threshold is the agreement there.
    """
    thresholds = grid(validation)
    scores = sorted(score for score, _ in validation)
    sums = [0.0]
    for score in reversed(scores):
        sums.append(sums[-1] + score)
    chances = []
    for threshold in thresholds:
        above = len(scores) - bisect_left(scores, threshold)
        expected = rows * above // max(1, len(validation))
        chances.append(power(expected, sums[above] / above, agreement, confidence))
    start = max(range(len(thresholds)), key=lambda place: chances[place], default=0)
    return thresholds[start:]


def grid(validation: Sequence[Scored]) -> list[float]:
    """At most GRID thresholds from strict to loose; the last answers all the rows with a score."""
    scores = sorted((score for score, _ in validation if score > 0.0), reverse=True)
    places = (-(-len(scores) * step // GRID) - 1 for step in range(1, GRID + 1))
    return sorted({scores[place] for place in places if place >= 0}, reverse=True)


def held_against(
    thresholds: Sequence[float], rows: Sequence[Scored], *, confidence: float = 0.95
) -> Iterator[Tested]:
    """What each threshold answers of the rows, how often that agrees, and its bound."""
    ordered = sorted((score, agreed) for score, agreed in rows if score > 0.0)
    scores = [score for score, _ in ordered]
    agreed_above = [0]
    for _, agreed in reversed(ordered):
        agreed_above.append(agreed_above[-1] + agreed)
    for threshold in thresholds:
        answered = len(scores) - bisect_left(scores, threshold)
        right = agreed_above[answered]
        low = lower_bound(right, answered, confidence=confidence)
        yield Tested(threshold=threshold, answered=answered, agreed=right, low=low)


def rows_needed(rows: Sequence[Scored], *, agreement: float, confidence: float) -> int | None:
    """How many rows would show `agreement` with probability 0.9, if they agree as these do."""
    needed = []
    for one in held_against(grid(rows), rows, confidence=confidence):
        if one.answered >= _FEWEST:
            truth = (one.agreed + 0.5) / (one.answered + 1)
            answered = rows_for(truth, agreement, confidence)
            if answered is not None:
                needed.append(-(-answered * len(rows) // one.answered))
    return min(needed, default=None)
