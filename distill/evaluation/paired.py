"""What systems are to each other on the same rows, as data: verdicts, differences, dividends."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...store.rows import Row, Score
from .scored import Against

Verdict = Literal["supported", "not supported", "not enough rows", "not measurable"]


class SwapVerdict(Row):
    """Can this student stand in for the teacher? A test of non-inferiority on one split.

    `difference` is student minus teacher in percentage points of `row_exact` against gold; where
    there is no gold, agreement minus 100 (two systems that disagree on a share d of the rows differ
    by at most d in accuracy). `margin` is in percentage points, positive. Supported only when
    `difference.low` > -margin, and the same holds of the answers' parts where there are several.
    `rows_needed`: how many rows would decide, were the difference as it is here; None where no
    number would; `groups_needed`: how many groups these are, where rows have groups. `numbers`: the
    four (label, figure) that carry the verdict.
    """

    student: str
    teacher: str
    split: str
    against: Against
    margin: float
    difference: Score
    verdict: Verdict
    rows_needed: int | None = None
    groups_needed: int | None = None
    numbers: list[tuple[str, str]]
    sentence: str


class LabelDifference(Row):
    """One label path of a Comparison: `points` of labels right, of the rows judged at this path.

    Counts, p values and `detectable` as there; `p_holm` is corrected for all label paths of all
    comparisons of the split together.
    """

    points: Score
    only_first: int
    only_second: int
    p: float | None
    p_holm: float | None
    detectable: float | None


class Comparison(Row):
    """`first` minus `second`, paired on the same rows, in percentage points of `row_exact`.

    `only_first` and `only_second` count rows that only one got right; `p` is McNemar's exact test
    (of groups, where rows have them), `p_holm` corrected for all comparisons of the split;
    `detectable` is the smallest difference in points that this many rows would show in 80 of 100
    repetitions, were this the only test. `macro_f1` is the paired difference of macro-F1 in points,
    the mean over labels, where there is gold. `labels`: the same test one label path at a time,
    where the task has several.
    """

    first: str
    second: str
    split: str
    against: Against
    points: Score
    macro_f1: Score | None = None
    only_first: int
    only_second: int
    p: float | None
    p_holm: float | None
    detectable: float | None
    labels: dict[str, LabelDifference] = Field(default_factory=dict)
    sentence: str


class DividendArm(Row):
    """One target of the dividend on one split, over its seeds; gains are against `label`.

    `gain` is in percentage points, `seed_spread` the standard deviation over the seeds of the gain
    (of the share right, for `label`) in the same; tokens are those written to one row. `otherwise`:
    fields of the recipe that are not as those of `label`, each as "this, label that", as far as
    they are known.
    """

    target: str
    systems: list[str]
    seeds: list[int]
    right: Score
    seed_spread: float | None = None
    gain: Score | None = None
    p: float | None = None
    p_holm: float | None = None
    extra_tokens: float | None = None
    extra_milliseconds: float | None = None
    usd_per_extra_right: float | None = None
    learnt: bool | None = None
    otherwise: dict[str, str] = Field(default_factory=dict)


class Dividend(Row):
    """Does reasoning help? Students of the same base and rows on one split, `label` first."""

    base: str
    rows: str
    split: str
    arms: list[DividendArm]
    detectable: float | None = None
    learnt: bool
    sentence: str
