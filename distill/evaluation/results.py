"""What an evaluation found, as data: the Report that every rendering shows.

Figures against gold and against the teacher stand apart: `Measured.gold`, `Measured.teacher`. Every
interval is at 95 % and its unit is the row, or its group where rows have groups.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ...store.rows import Row, Score
from .paired import Comparison, Dividend, DividendArm, LabelDifference, SwapVerdict, Verdict
from .scored import (
    Against,
    Bin,
    ClassResult,
    Confidence,
    Correctness,
    Effort,
    LabelResult,
    Measured,
    Rationales,
    SystemResult,
)

__all__ = [
    "Against",
    "Asked",
    "Bin",
    "BreakEven",
    "ClassResult",
    "Comparison",
    "Confidence",
    "Correctness",
    "Curves",
    "Dividend",
    "DividendArm",
    "Effort",
    "LabelDifference",
    "LabelResult",
    "Leak",
    "Leakage",
    "LearningCurve",
    "LearningPoint",
    "Measured",
    "Provenance",
    "Rationales",
    "Report",
    "ShownRow",
    "ShownRows",
    "Slice",
    "SplitNote",
    "SwapVerdict",
    "SystemResult",
    "Verdict",
]


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

    Texts are None under --no-text, and answers hold labels alone. `right` says per system whether
    the whole answer is right by gold (by the teacher where there is no gold), None where neither
    speaks.
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


class Asked(Row):
    """When a system answered (UTC), and how a student was trained, where its run folder tells.

    `first` and `last` are when its first and its last record came. `folder` is the last two names
    of the run folder's path; `trained` is when the store heard of the training, `training` its
    recipe, rows and seed.
    """

    system: str
    run: str
    first: str | None = None
    last: str | None = None
    folder: str | None = None
    trained: str | None = None
    training: dict[str, Any] = Field(default_factory=dict)


class Provenance(Row):
    """What makes the report again: commands, who was asked when, versions, hashes."""

    commands: list[str]
    asked: list[Asked] = Field(default_factory=list)
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
