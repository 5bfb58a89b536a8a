"""What an evaluation found, as data: the Report that every rendering shows.

Figures against gold and against the teacher stand apart: `Measured.gold`, `Measured.teacher`. Every
interval is at 95 % and its unit is the row, or its group where rows have groups.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ...store.rows import Row, Score

Against = Literal["gold", "teacher"]
Verdict = Literal["supported", "not supported", "not enough rows", "not measurable"]


class ClassResult(Row):
    """One class of one label: None where its denominator is 0; `support` counts expected."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


class LabelResult(Row):
    """One categorical path: `confusion[expected][given]` counts, "no answer" among the given."""

    accuracy: Score
    macro_f1: Score
    classes: dict[str, ClassResult]
    confusion: dict[str, dict[str, int]]


class Correctness(Row):
    """One system on one split against gold, or against the teacher's answers (agreement).

    `exact`: share of answer parts (top-level answer objects, a sentence in the sample task) with
    every label right; `row_exact`: share of whole answers right; `fields` scores the paths that are
    not labels with the task's comparators. `unscored` counts rows that were asked and have nothing
    to be held against; they are in no share. A row that failed counts as wrong.
    """

    exact: Score
    row_exact: Score
    labels: dict[str, LabelResult] = Field(default_factory=dict)
    fields: dict[str, Score] = Field(default_factory=dict)
    unscored: int = 0


class Rationales(Row):
    """How good the reasonings are.

    `supports`: share of rows whose labels the same student derives again from its rationale alone,
    None where it was not asked; `cue_in_text`: of the cues cited, how many stand in the input;
    `overlap`: token F1 with the teacher's; `words`: mean length.
    """

    rows: int
    supports: Score | None = None
    cue_in_text: Score | None = None
    overlap: Score | None = None
    words: float | None = None


class Bin(Row):
    """One bin of a calibration curve: mean confidence, share right, labels in it."""

    confidence: float
    right: Score
    n: int


class Confidence(Row):
    """What the probabilities of the labels are worth, judged `against` gold or the teacher.

    ECE over 15 bins of equal size (Guo et al. 2017), Brier score of the chosen label, and the
    risk-coverage curve: (share of rows kept, most confident first; share wrong among them).
    """

    against: Against
    labels: int
    ece: float
    brier: float
    curve: list[Bin]
    risk_coverage: list[tuple[float, float]]


class Effort(Row):
    """What a system took. Seconds and tokens are per row; money in US dollars per 1,000 rows.

    `rows_per_second` is the throughput of the run, `cost_basis` says where `cost` comes from
    ("prices of the calls", "machine"), None and None where no price is known.
    """

    seconds_median: float | None = None
    seconds_p95: float | None = None
    rows_per_second: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    cost: float | None = None
    cost_basis: str | None = None
    peak_memory_mb: float | None = None


class Measured(Row):
    """One system on one split. `learnt`: for a student, does it beat the majority class (95 %)?"""

    rows: int
    errors: int
    valid: Score
    gold: Correctness | None = None
    teacher: Correctness | None = None
    rationales: Rationales | None = None
    confidence: Confidence | None = None
    effort: Effort = Field(default_factory=Effort)
    learnt: bool | None = None


class SystemResult(Row):
    """One system: its run and what it scored on every split it answered.

    `arm` is common to the seeds of one recipe (its name without the seed); `training` says what
    training it took: {"seconds": ..., "rows": ..., "usd": ...}, as far as known.
    """

    name: str
    role: str
    model: str
    target: str
    strategy: str
    arm: str
    seed: int | None = None
    run: str
    description: str
    training: dict[str, float] = Field(default_factory=dict)
    splits: dict[str, Measured]


class SwapVerdict(Row):
    """Can this student stand in for the teacher? A test of non-inferiority on one split.

    `difference` is student minus teacher in percentage points of `row_exact` against gold; where
    there is no gold, agreement minus 100 (two systems that disagree on a share d of the rows differ
    by at most d in accuracy). `margin` is in percentage points, positive. Supported only when
    `difference.low` > -margin, and the same holds of the answers' parts where there are several.
    `rows_needed`: how many rows would decide, were the difference as it is here; None where no
    number would. `numbers`: the four (label, figure) that carry the verdict.
    """

    student: str
    teacher: str
    split: str
    against: Against
    margin: float
    difference: Score
    verdict: Verdict
    rows_needed: int | None = None
    numbers: list[tuple[str, str]]
    sentence: str


class Comparison(Row):
    """`first` minus `second`, paired on the same rows, in percentage points of `row_exact`.

    `only_first` and `only_second` count rows that only one got right; `p` is McNemar's exact test
    (of groups, where rows have them), `p_holm` corrected for all comparisons of the split;
    `detectable` is the smallest difference in points that this many rows would show in 80 of 100
    repetitions. `macro_f1` is the paired difference of macro-F1 in points, the mean over labels,
    where there is gold.
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
    sentence: str


class DividendArm(Row):
    """One target of the dividend on one split, over its seeds; gains are against `label`.

    `gain` is in percentage points, `seed_spread` the standard deviation over the seeds of the gain
    (of the share right, for `label`) in the same; tokens are those written to one row.
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


class Dividend(Row):
    """Does reasoning help? Students of the same base and rows on one split, `label` first."""

    base: str
    rows: str
    split: str
    arms: list[DividendArm]
    detectable: float | None = None
    learnt: bool
    sentence: str


class Slice(Row):
    """A part of a split: rows with `by` = `value`; right answers (row_exact) of every system."""

    split: str
    by: str
    value: str
    rows: int
    right: dict[str, Score]


class Leak(Row):
    """A held-out row nearly the same as a row of another split; `similarity` is Jaccard's."""

    split: str
    example: str
    other_split: str
    other: str
    similarity: float


class Leakage(Row):
    """Near-duplicates between the held-out splits and training: how many rows, and the closest.

    `looked_at` held-out rows were held against `against` rows of the training splits; `found`
    counts, by held-out split, how many of them have a near-duplicate there.
    """

    looked_at: int
    against: int = 0
    found: dict[str, int]
    closest: list[Leak]


class ShownRow(Row):
    """One row side by side, for a person to look at; `why` is why it is shown.

    Texts are None under --no-text. `right` says per system whether the whole answer is right by
    gold (by the teacher where there is no gold), None where neither speaks.
    """

    split: str
    example: str
    why: Literal["disagreement", "error", "sample"]
    inputs: dict[str, str] | None
    gold: dict[str, Any] | None
    answers: dict[str, dict[str, Any] | None]
    reasonings: dict[str, str] | None
    errors: dict[str, str] = Field(default_factory=dict)
    right: dict[str, bool | None]
    confidence: dict[str, float] = Field(default_factory=dict)


class ShownRows(Row):
    """The rows of the browser, and how many of how many: `of` counts rows by `why`."""

    rows: list[ShownRow]
    total: int
    of: dict[str, int]


class BreakEven(Row):
    """After how many rows a student has paid for itself, as a range, and what was assumed."""

    student: str
    rows_low: int | None
    rows_high: int | None
    sentence: str


class LearningPoint(Row):
    """Students (or TF-IDF) taught by `labels` of the teacher's labels, on one split."""

    system: str
    split: str
    against: Against
    labels: int
    right: Score


class LearningCurve(Row):
    """Accuracy against number of labels, and whether more look worth their price."""

    points: list[LearningPoint]
    sentence: str


class SplitNote(Row):
    """What a split is, in one sentence, in the order in which the report shows them."""

    name: str
    rows: int
    with_gold: int
    sentence: str


class Curves(Row):
    """A student's training as (step, value): losses, and its agreement on validation rows."""

    name: str
    losses: list[tuple[float, float]]
    validation_losses: list[tuple[float, float]]
    agreements: list[tuple[float, float]]


class Provenance(Row):
    """What makes the report again: commands, versions, hashes."""

    commands: list[str]
    versions: dict[str, str]
    hashes: dict[str, str]


class Report(Row):
    """Everybody side by side; every figure can be recomputed from the store.

    `format` numbers the shape of this document. `created` is the only thing that differs between
    two reports of the same store. `answer` is what the first screen says: can I swap? `reference`
    is the teacher's name among the systems, None where it answered no held-out row. `ceiling` is
    the teacher's agreement with itself where it was asked twice, over all rows that were. `margin`
    is in percentage points. `curves` come from the run folders that are still there.
    """

    format: Literal[2] = 2
    task: str
    created: str
    reference: str | None
    margin: float
    ceiling: Score | None = None
    splits: list[SplitNote]
    systems: list[SystemResult]
    answer: str
    verdicts: list[SwapVerdict]
    comparisons: list[Comparison]
    dividends: list[Dividend]
    break_even: list[BreakEven]
    slices: list[Slice]
    leakage: Leakage | None = None
    learning: LearningCurve | None = None
    rows: ShownRows
    notes: list[str]
    provenance: Provenance
    curves: list[Curves] = Field(default_factory=list)
