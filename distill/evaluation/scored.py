"""What one system scored on a split, as data: the part of a Report that is about it alone.

Figures against gold and against the teacher stand apart: `Measured.gold`, `Measured.teacher`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...store.rows import Row, Score

Against = Literal["gold", "teacher"]


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

    @property
    def whole(self) -> bool:
        """Whether the parts are the whole answer, as loose fields are: they say nothing more."""
        return self.exact == self.row_exact


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
